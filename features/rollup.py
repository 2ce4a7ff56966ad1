"""Events to daily activity: what happened on which local day, and since which day it was known."""

from dataclasses import dataclass

import numpy as np

from features.calendar import NEVER
from features.errors import DataError

__all__ = ["NEVER", "Activity", "Events", "daily"]


@dataclass(frozen=True)
class Events:
    """Events of one stream, in any order; arrays of equal length n.

    customer: int32 code; day, known: int32 local day occurred and known (known ≥ day); time: int64 µs, orders the
    events of a day; value: int64 micro-units where ``valued``; entity: int32 code or -1; until: int32 day of the end
    or NEVER.
    """

    customer: np.ndarray
    day: np.ndarray
    known: np.ndarray
    time: np.ndarray
    value: np.ndarray
    valued: np.ndarray
    entity: np.ndarray
    until: np.ndarray


@dataclass(frozen=True)
class Activity:
    """Daily activity of one stream, in three tables of parallel arrays.

    The first: one row per customer, day, known day, with the ``count``, the number of values ``valued``, their
    ``total`` (micro-units) and the value that is last by (time, value). entity_*: one row per customer, entity, day,
    known day. open_*: one row per event whose end is after the day it began. Rows are sorted by these columns.
    """

    customer: np.ndarray
    day: np.ndarray
    known: np.ndarray
    count: np.ndarray
    valued: np.ndarray
    total: np.ndarray
    last_time: np.ndarray
    last: np.ndarray
    entity_customer: np.ndarray
    entity: np.ndarray
    entity_day: np.ndarray
    entity_known: np.ndarray
    open_customer: np.ndarray
    open_day: np.ndarray
    open_known: np.ndarray
    open_until: np.ndarray


def _starts(*columns: np.ndarray) -> np.ndarray:
    """Where a new combination of the sorted columns begins."""
    if len(columns[0]) == 0:
        return np.zeros(0, np.int64)
    new = np.zeros(len(columns[0]), bool)
    new[0] = True
    for column in columns:
        new[1:] |= column[1:] != column[:-1]
    return np.flatnonzero(new)


def _sums(values: np.ndarray, starts: np.ndarray) -> np.ndarray:
    return np.add.reduceat(values, starts) if len(starts) else np.zeros(0, np.int64)


def daily(events: Events) -> Activity:
    """Roll events up to daily activity. The result does not depend on the order of the events.

    Raises DataError when a customer's sums could leave the range of int64 micro-units.
    """
    value = np.where(events.valued, events.value, 0)
    if np.abs(value.astype(np.float64)).sum() >= 2.0**62:
        raise DataError("values: their sum is over 4.6e12; sums are exact in int64 micro-units: rescale the column")
    keys = (value, events.time, events.valued, events.known, events.day, events.customer)
    order = np.lexsort(keys)
    customer, day, known = events.customer[order], events.day[order], events.known[order]
    starts = _starts(customer, day, known)
    ends = np.append(starts[1:], len(order)) - 1 if len(starts) else starts
    valued = events.valued[order].astype(np.int64)
    with_entity = np.flatnonzero(events.entity >= 0)
    columns = (events.known, events.day, events.entity, events.customer)
    by_entity = with_entity[np.lexsort([column[with_entity] for column in columns])]
    seen = by_entity[_starts(*(column[by_entity] for column in reversed(columns)))]
    with_end = np.flatnonzero(events.until > events.day)
    columns = (events.until, events.known, events.day, events.customer)
    opened = with_end[np.lexsort([column[with_end] for column in columns])]
    return Activity(
        customer=customer[starts],
        day=day[starts],
        known=known[starts],
        count=np.diff(np.append(starts, len(order))),
        valued=_sums(valued, starts),
        total=_sums(value[order], starts),
        last_time=events.time[order][ends],
        last=value[order][ends],
        entity_customer=events.customer[seen],
        entity=events.entity[seen],
        entity_day=events.day[seen],
        entity_known=events.known[seen],
        open_customer=events.customer[opened],
        open_day=events.day[opened],
        open_known=events.known[opened],
        open_until=events.until[opened],
    )
