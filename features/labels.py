"""Outcomes: what happened in the horizon. Null while immature; an outcome inside the gap leaves the row out.

Each kind is a day: the first, at or after another, on which its event is seen, by all that is known today. An increase
alone has none. Worked example: as of March 1st, gap 7, horizon 90: the horizon is [March 8th, June 6th). With grace 30
and settle 3 the outcome is mature when the tables are observed until July 9th.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from features import levels, windows
from features.attributes import Changing
from features.calendar import NEVER, number
from features.errors import DataError
from features.facts import Facts, Part
from features.levels import Levels, walk
from features.outcome import (
    Contraction,
    Growth,
    Inactivity,
    Increase,
    Label,
    Level,
    NewEntity,
    SubscriptionEnd,
    Upgrade,
)
from features.rollup import Activity
from features.snapshot_config import SnapshotConfig
from features.subscriptions import place

First = Callable[[np.ndarray], np.ndarray]
NEARLY = 1e-9  # of a level: 0.7 × 90 is not quite 63 in floating point


@dataclass(frozen=True)
class Outcomes:
    """What happened to each key (k,).

    outcome: 1, 0 or NaN (immature), float64; in_gap: bool, it fell inside the gap; event_day: days from the first day
    of the horizon to the first event at or after it, NaN where none is seen, float64.
    """

    outcome: np.ndarray
    in_gap: np.ndarray
    event_day: np.ndarray


def of(config: SnapshotConfig, part: Part, customer: np.ndarray, as_of: np.ndarray, observed: int) -> Outcomes:
    """The outcome of each key. customer, as_of: int32 (k,); observed: ``observed_until``."""
    outcome, asked = config.outcome, as_of.astype(np.int64)
    begin = asked + outcome.gap_days
    end = begin + outcome.horizon_days
    if isinstance(outcome, Increase):
        happened = _increased(outcome, part.activity[outcome.stream], customer, as_of, begin, end)
        day, in_gap = np.full(len(customer), NEVER), np.zeros(len(customer), bool)
    else:
        first = _first(config, part, customer, asked)
        day, in_gap = first(begin), first(asked) < begin
        if isinstance(outcome, SubscriptionEnd) and outcome.how:
            day = np.where(np.isin(place(customer, day), _ends(config, outcome, part)), day, NEVER)
        happened = day < end
        if isinstance(outcome, Inactivity):
            happened = ~happened
    mature = as_of + config.span_days <= observed
    event_day = np.where(day == NEVER, np.nan, day - begin)
    return Outcomes(np.where(mature, happened.astype(float), np.nan), in_gap, event_day)


def followed_days(config: SnapshotConfig, as_of: np.ndarray, observed: int) -> np.ndarray:
    """For how many days from the first of the horizon each key's event is seen for certain, may be negative: (k,)."""
    return (observed - as_of.astype(np.int64) - config.span_days + config.outcome.horizon_days).astype(float)


def observed_until(config: SnapshotConfig, known: Facts) -> int:
    """The day (exclusive) until which every outcome table is observed: what the tables show, never beyond today."""
    return min(known.today, _observed(config, known))


def _observed(config: SnapshotConfig, known: Facts) -> int:
    if config.data.observed_until:
        return number(config.data.observed_until)
    days = list[int]()
    for name in getattr(config.outcome, "streams", ()):
        if not len(known.calendar[name].days):
            raise DataError(f"{name}: no event of a known customer, so the outcome is never seen; check its id column")
        days.append(known.calendar[name].known_until)
    if config.outcome.ends_with_service(config.data):
        assert known.subscriptions is not None
        days.append(known.subscriptions.observed_until())
    return min(days + [_changes_until(name, known) for name in config.outcome.attributes])


def _changes_until(name: str, known: Facts) -> int:
    """The newest day a change became known; one that is planned for later than any event is no observation."""
    history = known.attributes[name]
    assert isinstance(history, Changing)
    if not len(history.changes.known):
        raise DataError(f"{name}: no change of a known customer, so the outcome is never seen; check its id column")
    return min(int(history.changes.known.max()), max(own.known_until for own in known.calendar.values()))


def _first(config: SnapshotConfig, part: Part, customer: np.ndarray, as_of: np.ndarray) -> First:
    """From days (k,) to the first day at or after each on which the event of the key is seen, NEVER without one."""
    outcome, terms = config.outcome, part.subscriptions
    if isinstance(outcome, SubscriptionEnd):
        assert terms is not None
        return lambda since: _next(*terms.lapses(config.grace_days), customer, since)
    if isinstance(outcome, NewEntity):
        return _first_entity(part.activity[outcome.stream], customer, as_of, config.data.history_days)
    if isinstance(outcome, Level | Upgrade):
        return _first_level(outcome, part, customer, as_of, config.grace_days)
    assert not isinstance(outcome, Label)  # a ready-made table brings its outcome
    return _first_event([part.activity[name] for name in outcome.streams], customer)


def _first_event(activity: Sequence[Activity], customer: np.ndarray) -> First:
    def first(since: np.ndarray) -> np.ndarray:
        return np.min([_next(own.customer, own.day, customer, since) for own in activity], axis=0)

    return first


def _first_entity(activity: Activity, customer: np.ndarray, as_of: np.ndarray, history: int) -> First:
    """An event with an entity that was not there in the history before the as-of date."""
    who, day, previous = _comings(activity, history)
    end = np.searchsorted(who, customer, side="right")
    latest, always = as_of - history - 1.0, np.full(len(customer), -np.inf)

    def first(since: np.ndarray) -> np.ndarray:
        row = walk(previous, _before(who, day, customer, since), end, always, latest)
        return np.where(row < 0, NEVER, np.append(day, 0)[row])

    return first


def _comings(activity: Activity, history: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Days on which an entity came to a customer, for the first time or after more than a history.

    Customer, day, and the day it was there before (-inf: never), ordered by these.
    """
    who, entity, day = activity.entity_customer, activity.entity, activity.entity_day
    again = np.zeros(len(day), bool)
    again[1:] = (who[1:] == who[:-1]) & (entity[1:] == entity[:-1])
    previous = np.where(again, np.append(0, day[:-1])[: len(day)], -np.inf)
    rows = np.flatnonzero(day - previous > history)
    rows = rows[np.lexsort((previous[rows], day[rows], who[rows]))]
    return who[rows], day[rows], previous[rows]


def _first_level(
    outcome: Level | Upgrade, part: Part, customer: np.ndarray, as_of: np.ndarray, grace_days: int
) -> First:
    """A level beyond a bar that is set by the level on the as-of date, before the service ends."""
    moved = _levels(outcome, part, grace_days)
    low, high = _bars(outcome, moved.at(customer, as_of))
    gone = np.full(len(customer), NEVER)
    if part.subscriptions is not None:
        gone = _next(*part.subscriptions.lapses(grace_days), customer, as_of)

    def first(since: np.ndarray) -> np.ndarray:
        day = moved.first(customer, since, low, high)
        return np.where(day < gone, day, NEVER)

    return first


def _levels(outcome: Level | Upgrade, part: Part, grace_days: int) -> Levels:
    if outcome.attribute is None:
        assert part.subscriptions is not None
        return levels.of_value(part.subscriptions, grace_days)
    history = part.attributes[outcome.attribute]
    assert isinstance(history, Changing)
    return levels.of_attribute(history, outcome.order if isinstance(outcome, Upgrade) else ())


def _bars(outcome: Level | Upgrade, base: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The least and the greatest level that is the event, by the level on the as-of date; NaN where there is none."""
    slack = NEARLY * np.abs(base)
    if isinstance(outcome, Contraction):
        return np.full(len(base), -np.inf), np.where(base > 0, outcome.ratio * base + slack, np.nan)
    low = np.nextafter(base + slack, np.inf)
    if isinstance(outcome, Growth):
        low = np.maximum(low, np.maximum(outcome.ratio * base, base + outcome.amount) - slack)
    return low, np.full(len(base), np.inf)


def _ends(config: SnapshotConfig, outcome: SubscriptionEnd, part: Part) -> np.ndarray:
    """The places of the ends that came about as the outcome says: by payment, else with a renewal, else cancelled."""
    terms = part.subscriptions
    assert terms is not None
    who, ended = terms.lapses(config.grace_days)
    unpaid = terms.ending(who, ended, terms.involuntary)
    if outcome.payment:
        failed = part.activity[outcome.payment]
        days = outcome.within_days
        unpaid |= windows.compute(failed, who, ended, [("count", days)], history_days=days)[:, 0] > 0
    renewal = terms.ending(who, ended, terms.at_renewal(outcome.renewal_days))
    way = np.select([unpaid, renewal], ["involuntary", "non_renewal"], "cancellation")
    return place(who, ended)[way == outcome.how]


def _before(customer: np.ndarray, day: np.ndarray, key_customer: np.ndarray, key_day: np.ndarray) -> np.ndarray:
    """How many rows (sorted by customer, day) come before each (customer, day)."""
    return np.searchsorted(place(customer, day), place(key_customer, key_day))


def _next(customer: np.ndarray, day: np.ndarray, key_customer: np.ndarray, since: np.ndarray) -> np.ndarray:
    """The day of the customer's first row (sorted by customer, day) at or after ``since``, NEVER without one: (k,)."""
    row = _before(customer, day, key_customer, since)
    own = np.append(customer, -1)[row] == key_customer
    return np.where(own, np.append(day, 0)[row].astype(np.int64), NEVER)


def _amount(activity: Activity, measure: str, customer: np.ndarray, begin: np.ndarray, end: np.ndarray) -> np.ndarray:
    """The sum or count of the customer's events in [begin, end), all that is known today."""
    column = activity.total if measure == "sum" else activity.count
    reached = np.concatenate([[0], np.cumsum(column)])
    rows = (activity.customer, activity.day, customer)
    amount = reached[_before(*rows, end)] - reached[_before(*rows, begin)]
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
