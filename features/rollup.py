"""Activity rows to daily activity: what happened on which local day, and since which day it was known. Compiled."""

from dataclasses import dataclass, field

import numpy as np
from numba import njit

from features.calendar import NEVER
from features.errors import DataError

__all__ = ["NEVER", "Activity", "Events", "counting_sort", "daily"]


def _none32() -> np.ndarray:
    return np.zeros(0, np.int32)


def _none64() -> np.ndarray:
    return np.zeros(0, np.int64)


@dataclass(frozen=True)
class Events:
    """Activity rows of one stream, in any order; arrays of equal length n. A raw event has count 1.

    customer: int32 code; day, known: int32 local day occurred and known (known ≥ day); count, valued: int64 number
    of events and of values; total: int64 sum of the values in micro-units. Empty where the stream has none: time,
    int64 µs, orders the values of a day; entity, int32 code or -1; until, int32 day of the end or NEVER.
    """

    customer: np.ndarray
    day: np.ndarray
    known: np.ndarray
    count: np.ndarray
    valued: np.ndarray
    total: np.ndarray
    time: np.ndarray = field(default_factory=_none64)
    entity: np.ndarray = field(default_factory=_none32)
    until: np.ndarray = field(default_factory=_none32)


@dataclass(frozen=True)
class Activity:
    """Daily activity of one stream, in three tables of parallel arrays.

    The first: one row per customer, day, known day, with the ``count``, the number of values ``valued``, their
    ``total`` (micro-units) and, where events carry a time, the value that is last by (time, value). entity_*: one row
    per customer, entity, day, known day. open_*: one row per event whose end is after the day it began. Rows are
    sorted by these columns.
    """

    customer: np.ndarray
    day: np.ndarray
    known: np.ndarray
    count: np.ndarray
    valued: np.ndarray
    total: np.ndarray
    last_time: np.ndarray = field(default_factory=_none64)
    last: np.ndarray = field(default_factory=_none64)
    entity_customer: np.ndarray = field(default_factory=_none32)
    entity: np.ndarray = field(default_factory=_none32)
    entity_day: np.ndarray = field(default_factory=_none32)
    entity_known: np.ndarray = field(default_factory=_none32)
    open_customer: np.ndarray = field(default_factory=_none32)
    open_day: np.ndarray = field(default_factory=_none32)
    open_known: np.ndarray = field(default_factory=_none32)
    open_until: np.ndarray = field(default_factory=_none32)

    def part(self, first: int, end: int) -> "Activity":
        """That of the customers with a code in [first, end), which become 0 and up."""
        cut = dict[str, np.ndarray]()
        for prefix in ("", "entity_", "open_"):
            customer = getattr(self, f"{prefix}customer")
            low, high = np.searchsorted(customer, [first, end])
            names = [name for name in vars(self) if _table(name) == prefix]
            cut |= {name: getattr(self, name)[low:high] for name in names}
            cut[f"{prefix}customer"] = cut[f"{prefix}customer"] - np.int32(first)
        return Activity(**cut)


def _table(column: str) -> str:
    """The prefix of the table a column of Activity belongs to."""
    return next((prefix for prefix in ("entity_", "open_") if f"{column}_".startswith(prefix)), "")


def daily(events: Events, rows: np.ndarray | None = None) -> Activity:
    """Roll activity rows up to daily activity. The result does not depend on their order, nor on an earlier roll-up.

    rows: the numbers of some rows, ascending; the others are passed over. Raises DataError when a customer's sums could
    leave the range of int64 micro-units.
    """
    rows = np.arange(len(events.day)) if rows is None else rows
    keys = (events.day, events.customer) if events.known is events.day else (events.known, events.day, events.customer)
    order = _sorted(rows, *keys)
    columns = (events.customer, events.day, events.known, events.count, events.valued, events.total, events.time)
    *rolled, largest = _roll(order, *columns)
    if largest >= 2.0**62:
        raise DataError("values: one customer's sum is over 4.6e12; sums are exact in int64 micro-units: rescale them")
    names = ("customer", "day", "known", "count", "valued", "total", "last_time", "last")
    return Activity(**dict(zip(names, rolled)), **_entities(events, rows), **_opened(events, rows))


def _entities(events: Events, rows: np.ndarray) -> dict[str, np.ndarray]:
    if len(events.entity) == 0:
        return {}
    rows = rows[events.entity[rows] >= 0]
    keys = (events.known, events.day, events.entity, events.customer)
    order = _sorted(rows, *keys)
    new = np.ones(len(order), bool)
    new[1:] = np.any([key[order[1:]] != key[order[:-1]] for key in keys], axis=0)
    order = order[new]
    named = {"customer": events.customer, "": events.entity, "day": events.day, "known": events.known}
    return {f"entity_{name}".rstrip("_"): column[order] for name, column in named.items()}


def _opened(events: Events, rows: np.ndarray) -> dict[str, np.ndarray]:
    if len(events.until) == 0:
        return {}
    rows = rows[events.until[rows] > events.day[rows]]
    rows = np.repeat(rows, events.count[rows])
    order = _sorted(rows, events.until, events.known, events.day, events.customer) if len(rows) else rows
    named = {"customer": events.customer, "day": events.day, "known": events.known, "until": events.until}
    return {f"open_{name}": column[order] for name, column in named.items()}


def _sorted(rows: np.ndarray, *keys: np.ndarray) -> np.ndarray:
    """The rows in the order of the last key, then the one before it, and so on."""
    for key in keys:
        rows = counting_sort(rows, key)
    return rows


@njit(cache=True, nogil=True)
def counting_sort(rows: np.ndarray, key: np.ndarray) -> np.ndarray:
    """Row numbers, each once, rearranged so that ``key`` (int32) ascends, stable; a counting sort where that pays."""
    if len(rows) == 0:
        return rows
    place = 1
    while place < len(rows) and key[rows[place]] >= key[rows[place - 1]]:
        place += 1
    if place == len(rows):
        return rows
    low, high = np.int64(key.min()), np.int64(key.max())
    if high - low > 8 * len(rows) + 100_000:
        return rows[np.argsort(key[rows], kind="mergesort")]
    first = np.zeros(high - low + 2, np.int64)
    if len(rows) == len(key):
        for value in key:
            first[value - low + 1] += 1
    else:
        for row in rows:
            first[key[row] - low + 1] += 1
    for cell in range(1, len(first)):
        first[cell] += first[cell - 1]
    out = np.empty_like(rows)
    for row in rows:
        out[first[key[row] - low]] = row
        first[key[row] - low] += 1
    return out


@njit(cache=True, nogil=True)
def tally(
    day: np.ndarray, known: np.ndarray, mask: np.ndarray, count: np.ndarray, streams: int
) -> tuple[np.ndarray, np.ndarray]:
    """Events of each stream on each day, int64 (streams, days), and the newest day known of each, int64 (streams,).

    day: from 0 up; mask: bit i for stream i, empty where all rows belong to one; count: empty for one each.
    """
    counts = np.zeros((streams, np.int64(day.max()) + 1), np.int64)
    newest = np.full(streams, -(2**31), np.int64)
    for row in range(len(day)):
        for i in range(streams):
            if len(mask) == 0 or mask[row] & (1 << i):
                counts[i, day[row]] += count[row] if len(count) else 1
                newest[i] = max(newest[i], known[row])
    return counts, newest


@njit(cache=True, nogil=True)
def _roll(
    order: np.ndarray,
    customer: np.ndarray,
    day: np.ndarray,
    known: np.ndarray,
    count: np.ndarray,
    valued: np.ndarray,
    total: np.ndarray,
    time: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, float]:
    """One row per customer, day and known day of the ordered rows; last, the largest sum of absolute values."""
    rows, timed = len(order), len(time) > 0
    who, when, since = np.empty(rows, np.int32), np.empty(rows, np.int32), np.empty(rows, np.int32)
    sums = np.zeros((3, rows), np.int64)
    moment, last = np.zeros(rows if timed else 0, np.int64), np.zeros(rows if timed else 0, np.int64)
    at, own, largest = -1, 0.0, 0.0
    for row in order:
        if at < 0 or who[at] != customer[row] or when[at] != day[row] or since[at] != known[row]:
            own = 0.0 if at < 0 or who[at] != customer[row] else own
            at += 1
            who[at], when[at], since[at] = customer[row], day[row], known[row]
        if timed and valued[row] > 0 and (sums[1, at] == 0 or (time[row], total[row]) > (moment[at], last[at])):
            moment[at], last[at] = time[row], total[row]
        sums[0, at] += count[row]
        sums[1, at] += valued[row]
        sums[2, at] += total[row]
        own += abs(float(total[row]))
        largest = max(largest, own)
    n, timed_rows = at + 1, at + 1 if timed else 0
    found = who[:n], when[:n], since[:n], sums[0, :n], sums[1, :n], sums[2, :n], moment[:timed_rows], last[:timed_rows]
    return *found, largest
