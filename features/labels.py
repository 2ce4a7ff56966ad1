"""Outcomes: what happened in the horizon. Null while immature; an outcome inside the gap leaves the row out.

Worked example: as of March 1st, gap 7, horizon 90: the horizon is [March 8th, June 6th). With grace 30 and settle 3 the
outcome is mature when the tables are observed until July 9th.
"""

import numpy as np

from features.calendar import NEVER, number
from features.errors import DataError
from features.facts import Part
from features.gathered import Calendar
from features.rollup import Activity
from features.snapshot_config import Event, Increase, SnapshotConfig, SubscriptionEnd
from features.subscriptions import Subscriptions


def of(
    config: SnapshotConfig, part: Part, customer: np.ndarray, as_of: np.ndarray, observed: int
) -> tuple[np.ndarray, np.ndarray]:
    """The outcome of each key and whether it falls inside the gap.

    customer, as_of: int32 (k,); observed: ``observed_until``; returns float64 (k,) of 1, 0 or NaN (immature), and
    bool (k,).
    """
    outcome = config.outcome
    begin = as_of.astype(np.int64) + outcome.gap_days
    end = begin + outcome.horizon_days
    if isinstance(outcome, Increase):
        happened = _increased(outcome, part.activity[outcome.stream], customer, as_of, begin, end)
        in_gap = np.zeros(len(happened), bool)
    elif isinstance(outcome, SubscriptionEnd):
        assert part.subscriptions is not None
        who, ended = part.subscriptions.lapses(config.grace_days)
        happened = _any(who, ended, customer, begin, end)
        in_gap = _any(who, ended, customer, as_of, begin)
    else:
        streams = [part.activity[name] for name in outcome.streams]
        happened = np.any([_any(s.customer, s.day, customer, begin, end) for s in streams], axis=0)
        in_gap = np.any([_any(s.customer, s.day, customer, as_of, begin) for s in streams], axis=0)
        if not isinstance(outcome, Event):
            happened = ~happened
    mature = as_of + config.span_days <= observed
    return np.where(mature, happened.astype(float), np.nan), in_gap


def observed_until(
    config: SnapshotConfig, calendar: dict[str, Calendar], subscriptions: Subscriptions | None, today: int = NEVER
) -> int:
    """The day (exclusive) until which every outcome table is observed: what the tables show, never beyond today."""
    return min(today, _observed(config, calendar, subscriptions))


def _observed(config: SnapshotConfig, calendar: dict[str, Calendar], subscriptions: Subscriptions | None) -> int:
    if config.data.observed_until:
        return number(config.data.observed_until)
    if isinstance(config.outcome, SubscriptionEnd):
        assert subscriptions is not None
        return subscriptions.observed_until()
    for name in config.outcome.streams:
        if not len(calendar[name].days):
            raise DataError(f"{name}: no event of a known customer, so the outcome is never seen; check its id column")
    return min(calendar[name].known_until for name in config.outcome.streams)


def _positions(customer: np.ndarray, day: np.ndarray, key_customer: np.ndarray, key_day: np.ndarray) -> np.ndarray:
    """How many rows (sorted by customer, day) come before each (customer, day)."""
    key = key_customer.astype(np.int64) * 2**32 + key_day
    return np.searchsorted(customer.astype(np.int64) * 2**32 + day, key)


def _any(
    customer: np.ndarray, day: np.ndarray, key_customer: np.ndarray, begin: np.ndarray, end: np.ndarray
) -> np.ndarray:
    """Whether a row of the customer lies in [begin, end)."""
    rows = (customer, day, key_customer)
    return _positions(*rows, end) > _positions(*rows, begin)


def _amount(activity: Activity, measure: str, customer: np.ndarray, begin: np.ndarray, end: np.ndarray) -> np.ndarray:
    """The sum or count of the customer's events in [begin, end), all that is known today."""
    column = activity.total if measure == "sum" else activity.count
    reached = np.concatenate([[0], np.cumsum(column)])
    rows = (activity.customer, activity.day, customer)
    amount = reached[_positions(*rows, end)] - reached[_positions(*rows, begin)]
    return amount / 1e6 if measure == "sum" else amount.astype(float)


def _increased(
    outcome: Increase,
    activity: Activity,
    customer: np.ndarray,
    as_of: np.ndarray,
    begin: np.ndarray,
    end: np.ndarray,
) -> np.ndarray:
    before = _amount(activity, outcome.measure, customer, as_of - outcome.over_days, as_of)
    usual = before * outcome.horizon_days / outcome.over_days
    reached = _amount(activity, outcome.measure, customer, begin, end)
    return (reached >= outcome.ratio * usual) & (reached >= usual + outcome.amount)
