"""What a customer has bought so far, as of each date: numbers for the expected lifetime value, never features."""

import numpy as np

from features import windows
from features.rollup import Activity

COLUMNS = ("buying_days", "buying_recency", "buying_age", "buying_mean")


def columns(activity: Activity, customer: np.ndarray, day: np.ndarray, history_days: int) -> dict[str, np.ndarray]:
    """The four columns of ``COLUMNS`` for keys sorted by customer and day: float64 (k,), from facts known before it.

    buying_days: distinct days with a purchase within the history, 0 for none. buying_recency: days from the first to
    the last of them. buying_age: days from the first one to the date. buying_mean: sum of values per day over the
    days after the first one, in the stream's unit; null where there is none. A first purchase older than the history
    is not seen: a later one stands for it.
    """
    wanted = [("days", history_days), ("recency", None), ("tenure", None), ("sum", history_days)]
    days, recency, age, total = windows.compute(activity, customer, day, wanted, history_days).T
    first = _on_day(activity, customer, day - np.nan_to_num(age).astype(np.int64), day)
    mean = np.full(len(day), np.nan)
    np.divide(total - first, days - 1, out=mean, where=days > 1)
    return dict(zip(COLUMNS, (days, age - recency, age, mean)))


def _on_day(activity: Activity, customer: np.ndarray, which: np.ndarray, as_of: np.ndarray) -> np.ndarray:
    """The sum of the values of one day of each key, as known before its date, (k,)."""
    place = _place(activity.customer, activity.day)
    low, high = (np.searchsorted(place, _place(customer, which), side) for side in ("left", "right"))
    found = np.zeros(len(customer), np.int64)
    # Rows of one day stand by the day they became known: seldom more than one.
    for step in range(int((high - low).max(initial=0))):
        row = np.minimum(low + step, len(place) - 1)
        found += np.where((low + step < high) & (activity.known[row] < as_of), activity.total[row], 0)
    return found / 1e6


def _place(customer: np.ndarray, day: np.ndarray) -> np.ndarray:
    return customer.astype(np.int64) << 32 | (day.astype(np.int64) + 2**31)
