"""Daily activity + spine to behaviour windows: the compiled kernel, one pass of moving pointers a stream.

For every key and every look-back of b days it gives the visible activity in [as_of − b, as_of): prefix sums over the
customer's rows, less the rows that became known only later. All measures follow from these. Cost: rows + keys.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numba import njit

from features.rollup import Activity

WEEKS = 8
Measure = tuple[str, int | None]


def compute(
    activity: Activity, customer: np.ndarray, as_of: np.ndarray, measures: Sequence[Measure], history_days: int
) -> np.ndarray:
    """The measures of one stream for each key.

    customer, as_of: int32 (k,), any order; measures: (name, days or None); returns float64 (k, m), NaN = null. Values
    are in the stream's own units. Formulas: ``docs/measures.md``.
    """
    order = np.lexsort((as_of, customer))
    keys = (customer[order].astype(np.int32), as_of[order].astype(np.int32))
    facts = _Facts(activity, *keys, measures, history_days)
    out = np.empty((len(order), len(measures)))
    for column, (name, days) in enumerate(measures):
        out[order, column] = _FORMULAS[name](facts, days)
    return out


class _Facts:
    """What the formulas draw on: cumulative activity per look-back, and the rest only where asked for."""

    def __init__(
        self,
        activity: Activity,
        customer: np.ndarray,
        as_of: np.ndarray,
        measures: Sequence[Measure],
        history_days: int,
    ):
        self.key = (customer, as_of)
        self.activity, self.history = activity, history_days
        names = {name for name, _ in measures}
        windows = {days for _, days in measures if days}
        weekly = {7 * k for k in range(1, WEEKS + 2)} if "spike" in names else set()
        self.lookbacks = np.array(sorted(windows | {2 * w for w in windows} | weekly | {history_days}), np.int64)
        a = activity
        rows = (a.customer, a.day, a.known, a.count, a.valued, a.total)
        self.count, self.days, self.valued, self.total, self.latest, self.first = _cumulate(
            *rows, *self.key, self.lookbacks, history_days
        )
        self.recency = np.where(self.latest == _NONE, np.nan, as_of - self.latest)
        if names & {"last", "change"}:
            self.last, self.before, self.rated = _last(
                a.customer, a.day, a.known, a.valued, a.last_time, a.last, *self.key, history_days
            )
        if "distinct" in names:
            entities = (a.entity_customer, a.entity, a.entity_day, a.entity_known)
            self.distinct = _distinct(*entities, *self.key, self.lookbacks, history_days)
        if names & {"open", "oldest_open_days"}:
            intervals = (a.open_customer, a.open_day, a.open_known, a.open_until)
            self.open, self.oldest = _open(*intervals, *self.key, history_days)

    def at(self, table: np.ndarray, days: int) -> np.ndarray:
        return table[:, np.searchsorted(self.lookbacks, days)]

    def gap(self) -> np.ndarray:
        days = self.at(self.days, self.history)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(days < 2, np.nan, (self.latest - self.first) / (days - 1))


def _mean(facts: _Facts, days: int) -> np.ndarray:
    number = facts.at(facts.valued, days)
    return np.where(number == 0, np.nan, facts.at(facts.total, days) / 1e6 / np.maximum(number, 1))


def _trend(facts: _Facts, days: int) -> np.ndarray:
    now, both = facts.at(facts.count, days), facts.at(facts.count, 2 * days)
    return np.log((now + 1) / (both - now + 1))


def _spike(facts: _Facts, days: None) -> np.ndarray:
    reached = np.stack([facts.at(facts.count, 7 * k) for k in range(1, WEEKS + 2)], axis=1)
    weeks = np.diff(reached, axis=1)
    return (reached[:, 0] - weeks.mean(axis=1)) / np.sqrt(weeks.var(axis=1) + 1)


_FORMULAS: dict[str, Callable] = {
    "count": lambda facts, days: facts.at(facts.count, days),
    "days": lambda facts, days: facts.at(facts.days, days),
    "sum": lambda facts, days: facts.at(facts.total, days) / 1e6,
    "mean": _mean,
    "distinct": lambda facts, days: facts.at(facts.distinct, days),
    "trend": _trend,
    "recency": lambda facts, days: facts.recency,
    "tenure": lambda facts, days: np.where(facts.latest == _NONE, np.nan, facts.key[1] - facts.first),
    "gap": lambda facts, days: facts.gap(),
    "gap_ratio": lambda facts, days: facts.recency / facts.gap(),
    "spike": _spike,
    "last": lambda facts, days: np.where(facts.rated > 0, facts.last / 1e6, np.nan),
    "change": lambda facts, days: np.where(facts.rated > 1, (facts.last - facts.before) / 1e6, np.nan),
    "open": lambda facts, days: facts.open,
    "oldest_open_days": lambda facts, days: facts.oldest,
}
_NONE = -(2**31)


@njit(cache=True, nogil=True)
def _bounds(sorted_customer: np.ndarray, key_customer: np.ndarray) -> tuple[np.ndarray, ...]:
    """For each key (sorted by customer) the customer's rows [start, end)."""
    start = np.empty(len(key_customer), np.int64)
    end = np.empty(len(key_customer), np.int64)
    row, size = 0, len(sorted_customer)
    for k in range(len(key_customer)):
        c = key_customer[k]
        if k > 0 and key_customer[k - 1] == c:
            start[k], end[k] = start[k - 1], end[k - 1]
            continue
        while row < size and sorted_customer[row] < c:
            row += 1
        start[k] = row
        while row < size and sorted_customer[row] == c:
            row += 1
        end[k] = row
    return start, end


@njit(cache=True, nogil=True)
def _cumulate(
    customer: np.ndarray,
    day: np.ndarray,
    known: np.ndarray,
    count: np.ndarray,
    valued: np.ndarray,
    total: np.ndarray,
    key_customer: np.ndarray,
    as_of: np.ndarray,
    lookbacks: np.ndarray,
    history: int,
) -> tuple[np.ndarray, ...]:
    keys, size = len(key_customer), len(lookbacks)
    counts = np.zeros((keys, size), np.int64)
    days = np.zeros((keys, size), np.int64)
    values = np.zeros((keys, size), np.int64)
    totals = np.zeros((keys, size), np.int64)
    latest = np.full(keys, _NONE, np.int64)
    first = np.full(keys, _NONE, np.int64)
    start, end = _bounds(customer, key_customer)
    lows = np.zeros(size, np.int64)
    fresh = np.zeros(len(day) + 1, np.int64)
    sums = np.zeros((3, len(day) + 1), np.int64)
    delay, longest = 0, np.searchsorted(lookbacks, history)
    for i in range(len(day)):
        new_day = i == 0 or customer[i] != customer[i - 1] or day[i] != day[i - 1]
        fresh[i + 1] = fresh[i] + new_day
        sums[0, i + 1] = sums[0, i] + count[i]
        sums[1, i + 1] = sums[1, i] + valued[i]
        sums[2, i + 1] = sums[2, i] + total[i]
    high = 0
    for k in range(keys):
        a = as_of[k]
        if k == 0 or key_customer[k] != key_customer[k - 1]:
            high = start[k]
            lows[:] = start[k]
            delay = 0
            for i in range(start[k], end[k]):
                delay = max(delay, known[i] - day[i])
        while high < end[k] and day[high] < a:
            high += 1
        for b in range(size):
            floor = a - min(lookbacks[b], history)
            while lows[b] < high and day[lows[b]] < floor:
                lows[b] += 1
            counts[k, b] = sums[0, high] - sums[0, lows[b]]
            values[k, b] = sums[1, high] - sums[1, lows[b]]
            totals[k, b] = sums[2, high] - sums[2, lows[b]]
            days[k, b] = fresh[high] - fresh[lows[b]]
        row = high - 1
        while row >= start[k] and day[row] >= a - delay:
            if known[row] >= a:
                new_day = fresh[row + 1] - fresh[row]
                for b in range(size):
                    if row >= lows[b]:
                        counts[k, b] -= count[row]
                        values[k, b] -= valued[row]
                        totals[k, b] -= total[row]
                        days[k, b] -= new_day
            row -= 1
        low = lows[longest]
        row = high - 1
        while row >= low and known[row] >= a:
            row -= 1
        if row >= low:
            latest[k] = day[row]
            while known[low] >= a:
                low += 1
            first[k] = day[low]
    return counts, days, values, totals, latest, first


@njit(cache=True, nogil=True)
def _last(
    customer: np.ndarray,
    day: np.ndarray,
    known: np.ndarray,
    valued: np.ndarray,
    time: np.ndarray,
    value: np.ndarray,
    key_customer: np.ndarray,
    as_of: np.ndarray,
    history: int,
) -> tuple[np.ndarray, ...]:
    """The last visible value, the last one on a day before that, and how many of the two there are."""
    keys = len(key_customer)
    last, before = np.zeros(keys, np.int64), np.zeros(keys, np.int64)
    rated = np.zeros(keys, np.int64)
    start, end = _bounds(customer, key_customer)
    for k in range(keys):
        a = as_of[k]
        found_day, best = _NONE, -1
        row = np.searchsorted(day[start[k] : end[k]], a) + start[k] - 1
        while row >= start[k] and day[row] >= a - history:
            if known[row] < a and valued[row] > 0:
                if day[row] != found_day and best >= 0:
                    if rated[k] == 1:
                        break
                    last[k], rated[k] = value[best], 1
                    best = -1
                if best < 0 or (time[row], value[row]) > (time[best], value[best]):
                    best = row
                found_day = day[row]
            row -= 1
        if best >= 0 and rated[k] == 0:
            last[k], rated[k] = value[best], 1
        elif best >= 0:
            before[k], rated[k] = value[best], 2
    return last, before, rated


@njit(cache=True, nogil=True)
def _distinct(
    customer: np.ndarray,
    entity: np.ndarray,
    day: np.ndarray,
    known: np.ndarray,
    key_customer: np.ndarray,
    as_of: np.ndarray,
    lookbacks: np.ndarray,
    history: int,
) -> np.ndarray:
    """The number of entities whose last visible day lies within each look-back."""
    keys, size = len(key_customer), len(lookbacks)
    out = np.zeros((keys, size), np.int64)
    start, end = _bounds(customer, key_customer)
    for k in range(keys):
        a = as_of[k]
        row = end[k] - 1
        while row >= start[k]:
            who, found = entity[row], False
            while row >= start[k] and entity[row] == who:
                if not found and day[row] < a and known[row] < a:
                    found = True
                    for b in range(size):
                        if day[row] >= a - min(lookbacks[b], history):
                            out[k, b] += 1
                row -= 1
    return out


@njit(cache=True, nogil=True)
def _open(
    customer: np.ndarray,
    day: np.ndarray,
    known: np.ndarray,
    until: np.ndarray,
    key_customer: np.ndarray,
    as_of: np.ndarray,
    history: int,
) -> tuple[np.ndarray, ...]:
    """How many intervals are open, and the age in days of the oldest."""
    keys = len(key_customer)
    number, oldest = np.zeros(keys, np.int64), np.zeros(keys, np.int64)
    start, end = _bounds(customer, key_customer)
    for k in range(keys):
        a = as_of[k]
        for row in range(start[k], end[k]):
            if day[row] >= a:
                break
            if day[row] >= a - history and known[row] < a and until[row] >= a:
                number[k] += 1
                oldest[k] = max(oldest[k], a - day[row])
    return number, oldest
