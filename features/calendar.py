"""All date arithmetic: local days, as-of dates, day numbers. Every interval is half-open.

A day is an int32: days since 1970-01-01 in the project's time zone. Example: with ``Asia/Tokyo``, the instant
2025-03-31T15:00Z is local midnight of April 1st, so a list as of April 1st does not see it.
"""

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np

SECOND, DAY = 1_000_000, 86_400_000_000
NEVER = 2**31 - 1
EPOCH = date(1970, 1, 1)
_FIRST, _LAST = datetime(1900, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
_START = datetime(1970, 1, 1, tzinfo=UTC)


@lru_cache
def offsets(zone: str) -> tuple[np.ndarray, np.ndarray]:
    """One table of zone offsets: from which instant on (µs, ascending) which offset from UTC holds (µs)."""
    info = ZoneInfo(zone)

    def offset(second: int) -> int:
        moment = (_START + timedelta(seconds=second)).astimezone(info)
        return int((moment.utcoffset() or timedelta()).total_seconds())

    low, end = (int((moment - _START).total_seconds()) for moment in (_FIRST, _LAST))
    since, values = [low], [offset(low)]
    for step in range(low, end, 4 * 86_400):
        if offset(step + 4 * 86_400) != values[-1]:
            for day in range(step, step + 4 * 86_400, 3_600):
                left, right = day, day + 3_600
                if offset(right) == values[-1]:
                    continue
                while right - left > 1:
                    middle = (left + right) // 2
                    left, right = (middle, right) if offset(middle) == values[-1] else (left, middle)
                since.append(right)
                values.append(offset(right))
    return np.array(since, np.int64) * SECOND, np.array(values, np.int64) * SECOND


def _offset_at(moments: np.ndarray, since: np.ndarray, values: np.ndarray) -> np.ndarray:
    if len(values) == 1 or (len(moments) and moments.min() >= since[-1]):
        return values[-1:]
    return values[np.maximum(np.searchsorted(since, moments, side="right") - 1, 0)]


def local_days(instants: np.ndarray, zone: str) -> np.ndarray:
    """The local day of each instant. instants: int64 µs since 1970 UTC, (n,); returns int32 (n,)."""
    since, values = offsets(zone)
    return ((instants + _offset_at(instants, since, values)) // DAY).astype(np.int32)


def instants(wall: np.ndarray, zone: str) -> np.ndarray:
    """The instants of wall-clock times without a zone; PEP 495 with ``fold=0`` where a time stands twice or never.

    wall: int64 µs since 1970-01-01 00:00 on the clock of ``zone``, (n,); returns int64 µs UTC, (n,).
    """
    return wall - _offset_at(wall, *_turns(zone))


@lru_cache
def _turns(zone: str) -> tuple[np.ndarray, np.ndarray]:
    """From which moment on the clock of the zone itself which offset holds."""
    since, values = offsets(zone)
    return since + np.maximum(np.concatenate([values[:1], values[:-1]]), values), values


def midnights(days: np.ndarray, zone: str) -> np.ndarray:
    """The instants (int64 µs UTC) at which local days begin."""
    return instants(days.astype(np.int64) * DAY, zone)


def number(day: date) -> int:
    """The day number of a date."""
    return (day - EPOCH).days


def day_of(number_: int) -> date:
    """The date of a day number."""
    return EPOCH + timedelta(days=int(number_))


def as_of_dates(every: str, first: date, last: date) -> list[date]:
    """The as-of dates in [first, last]: month starts, or every N days counted from Monday 1970-01-05.

    Counting from one fixed Monday keeps the dates the same when the data grow at either end.
    """
    if every == "month":
        months = range(first.year * 12 + first.month - 1, last.year * 12 + last.month)
        dates = [date(month // 12, month % 12 + 1, 1) for month in months]
        return [day for day in dates if first <= day <= last]
    step = int(every.removesuffix("d"))
    start = number(first) + (4 - number(first)) % step
    return [day_of(day) for day in range(start, number(last) + 1, step)]


def period_start(day: date, per: str) -> date:
    """The first day of the capacity period (day, week from Monday, month) that holds ``day``."""
    if per == "week":
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if per == "month" else day
