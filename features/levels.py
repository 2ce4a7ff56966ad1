"""Numbers that hold from one day to the next: seats, the place of a plan in an order, the value of subscriptions."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from features.attributes import Changing
from features.calendar import NEVER
from features.subscriptions import Subscriptions, place


def walk(number: np.ndarray, row: np.ndarray, end: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """The first place of [row, end) whose number is in [low, high], -1 without one; all but number (k,).

    Work: one step for all keys together per place that any of them has to pass over.
    """
    row, out, waiting = row.copy(), np.full(len(row), -1), np.flatnonzero(row < end)
    while len(waiting):
        at = number[row[waiting]]
        met = (at >= low[waiting]) & (at <= high[waiting])
        out[waiting[met]] = row[waiting[met]]
        row[waiting] += 1
        waiting = waiting[~met & (row[waiting] < end[waiting])]
    return out


@dataclass(frozen=True)
class Levels:
    """One row per customer and day of a change, in this order: the level from the end of that day on, NaN for none."""

    customer: np.ndarray
    day: np.ndarray
    level: np.ndarray

    def at(self, customer: np.ndarray, as_of: np.ndarray) -> np.ndarray:
        """The level with which each customer comes to the as-of date, by all that is known today: float64 (k,)."""
        row = self._before(customer, as_of)
        return np.where(self._of(row, customer), np.append(self.level, np.nan)[row], np.nan)

    def first(self, customer: np.ndarray, since: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
        """The first day at or after ``since`` at whose end the level is in [low, high], NEVER without one: (k,)."""
        row = self._before(customer, since + 1)
        row += ~self._of(row, customer)
        found = walk(self.level, row, np.searchsorted(self.customer, customer, side="right"), low, high)
        return np.where(found < 0, NEVER, np.maximum(np.append(self.day, 0)[found], since))

    def _before(self, customer: np.ndarray, day: np.ndarray) -> np.ndarray:
        """The last row before each customer and day."""
        return np.searchsorted(place(self.customer, self.day), place(customer, day)) - 1

    def _of(self, row: np.ndarray, customer: np.ndarray) -> np.ndarray:
        return (row >= 0) & (np.append(self.customer, -1)[row] == customer)


def of_attribute(history: Changing, order: tuple[str, ...] = ()) -> Levels:
    """The number of an attribute, or the place of a category in the ``order``; the last change of a day counts."""
    changes = history.changes
    new = np.ones(len(changes.day), bool)
    new[1:] = (changes.customer[1:] != changes.customer[:-1]) | (changes.day[1:] != changes.day[:-1])
    starts = np.flatnonzero(new)
    last = np.maximum.reduceat(changes.last, starts) if len(starts) else changes.last
    level = history.values[last]
    if order:
        place = {value: float(number) for number, value in enumerate(order)}
        level = np.array([place.get(value, np.nan) for value in level], np.float64)
    return Levels(changes.customer[starts], changes.day[starts], level)


def of_value(terms: Subscriptions, grace_days: int) -> Levels:
    """The value of the active subscriptions. A pause within the grace keeps the last value; a lapse leaves none.

    Example, grace 30: [Jan 1, Feb 1) worth 100 and [Feb 10, never) worth 80: 100 from January 1st, 80 from
    February 10th.
    """
    kept = terms.end > terms.start
    ends = kept & (terms.end < NEVER)
    steps = pd.DataFrame({
        "customer": np.concatenate([terms.customer[kept], terms.customer[ends]]),
        "day": np.concatenate([terms.start[kept], terms.end[ends]]),
        "active": np.concatenate([np.ones(kept.sum(), np.int64), -np.ones(ends.sum(), np.int64)]),
        "value": np.concatenate([terms.value[kept], -terms.value[ends]]),
    })  # fmt: skip
    levels = steps.groupby(["customer", "day"]).sum().groupby(level="customer").cumsum().reset_index()
    customer, day = levels["customer"].to_numpy(np.int32), levels["day"].to_numpy(np.int32)
    active = levels["active"].to_numpy() > 0
    lapsed = np.isin(place(customer, day), place(*terms.lapses(grace_days)))
    rows = active | lapsed
    return Levels(customer[rows], day[rows], np.where(active, levels["value"].to_numpy(), np.nan)[rows])
