"""Every measure and every outcome as plain loops: slow, obvious, and independent of the code it judges.

A key is (customer, as_of). An event is visible to it if it is that customer's, occurred and was known before
the as-of date, and occurred no earlier than the history reaches. Values are whole micro-units or None.

An outcome sees all that is known today. Each kind says of one single day whether its event is on it.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

NEVER = 2**31 - 1
MICRO = 1_000_000


@dataclass(frozen=True)
class Event:
    customer: int
    day: int
    known: int
    time: int = 0
    value: int | None = None
    entity: int = -1
    until: int = NEVER


def visible(events: Iterable[Event], customer: int, as_of: int, history_days: int) -> list[Event]:
    own = [event for event in events if event.customer == customer]
    known = [event for event in own if event.day < as_of and event.known < as_of]
    return [event for event in known if event.day >= as_of - history_days]


def between(events: Iterable[Event], first: int, end: int) -> list[Event]:
    return [event for event in events if first <= event.day < end]


def valued(events: Iterable[Event]) -> list[int]:
    return [event.value for event in events if event.value is not None]


def in_order(events: Iterable[Event]) -> list[Event]:
    """The events with a value, the last one last."""
    return sorted((e for e in events if e.value is not None), key=lambda e: (e.day, e.time, e.value))


def count(events: list[Event], as_of: int, window: int) -> float:
    return len(between(events, as_of - window, as_of))


def days(events: list[Event], as_of: int, window: int) -> float:
    return len({event.day for event in between(events, as_of - window, as_of)})


def total(events: list[Event], as_of: int, window: int) -> float:
    return sum(valued(between(events, as_of - window, as_of))) / MICRO


def mean(events: list[Event], as_of: int, window: int) -> float | None:
    values = valued(between(events, as_of - window, as_of))
    return float(Fraction(sum(values), len(values) * MICRO)) if values else None


def distinct(events: list[Event], as_of: int, window: int) -> float:
    return len({event.entity for event in between(events, as_of - window, as_of) if event.entity >= 0})


def trend(events: list[Event], as_of: int, window: int) -> float:
    now = len(between(events, as_of - window, as_of))
    before = len(between(events, as_of - 2 * window, as_of - window))
    return math.log((now + 1) / (before + 1))


def recency(events: list[Event], as_of: int, window: None) -> float | None:
    return as_of - max(event.day for event in events) if events else None


def tenure(events: list[Event], as_of: int, window: None) -> float | None:
    return as_of - min(event.day for event in events) if events else None


def gap(events: list[Event], as_of: int, window: None) -> float | None:
    active = {event.day for event in events}
    return (max(active) - min(active)) / (len(active) - 1) if len(active) >= 2 else None


def gap_ratio(events: list[Event], as_of: int, window: None) -> float | None:
    typical = gap(events, as_of, None)
    quiet = recency(events, as_of, None)
    return None if typical is None or quiet is None else quiet / typical


def spike(events: list[Event], as_of: int, window: None) -> float:
    weeks = weekly(events, as_of, 9)
    now, past = weeks[0], weeks[1:]
    average = sum(past) / len(past)
    variance = sum((week - average) ** 2 for week in past) / len(past)
    return (now - average) / math.sqrt(variance + 1)


def weekly(events: list[Event], as_of: int, weeks: int) -> list[int]:
    """Events of the last 7 days, of the 7 before them, and so on."""
    return [len(between(events, as_of - 7 * (k + 1), as_of - 7 * k)) for k in range(weeks)]


def slope(events: list[Event], as_of: int, window: None) -> float:
    points = [(-k, number) for k, number in enumerate(weekly(events, as_of, 8))]
    x_mean = Fraction(sum(x for x, _ in points), 8)
    y_mean = Fraction(sum(y for _, y in points), 8)
    covariance = sum((x - x_mean) * (y - y_mean) for x, y in points)
    return float(covariance / sum((x - x_mean) ** 2 for x, _ in points))


def decline_weeks(events: list[Event], as_of: int, window: None) -> float:
    weeks = weekly(events, as_of, 9)
    number = 0
    while number < 8 and weeks[number] < weeks[number + 1]:
        number += 1
    return number


def users(events: list[Event]) -> dict[int, set[int]]:
    """Every known entity with its active days."""
    found: dict[int, set[int]] = {}
    for event in events:
        if event.entity >= 0:
            found.setdefault(event.entity, set()).add(event.day)
    return found


def new_users(events: list[Event], as_of: int, window: int) -> float:
    return sum(min(days) >= as_of - window for days in users(events).values())


def key_user_quiet(events: list[Event], as_of: int, window: None) -> float | None:
    ranked = sorted((len(days), max(days)) for days in users(events).values())
    return as_of - ranked[-1][1] if ranked else None


def last(events: list[Event], as_of: int, window: None) -> float | None:
    values = [event.value for event in in_order(events)]
    return values[-1] / MICRO if values else None


def change(events: list[Event], as_of: int, window: None) -> float | None:
    ordered = in_order(events)
    earlier = [event for event in ordered if event.day < ordered[-1].day]
    return (ordered[-1].value - earlier[-1].value) / MICRO if earlier else None


def still_open(events: list[Event], as_of: int) -> list[Event]:
    return [event for event in events if event.until >= as_of]


def open_(events: list[Event], as_of: int, window: None) -> float:
    return len(still_open(events, as_of))


def oldest_open_days(events: list[Event], as_of: int, window: None) -> float:
    return max((as_of - event.day for event in still_open(events, as_of)), default=0)


def seats_used(events: list[Event], as_of: int, window: int, seats: float | None) -> float | None:
    return distinct(events, as_of, window) / seats if seats else None


MEASURES: dict[str, Callable[..., float | None]] = {
    "count": count,
    "days": days,
    "sum": total,
    "mean": mean,
    "distinct": distinct,
    "trend": trend,
    "recency": recency,
    "tenure": tenure,
    "gap": gap,
    "gap_ratio": gap_ratio,
    "spike": spike,
    "slope": slope,
    "decline_weeks": decline_weeks,
    "new_users": new_users,
    "key_user_quiet": key_user_quiet,
    "last": last,
    "change": change,
    "open": open_,
    "oldest_open_days": oldest_open_days,
}
WINDOWED = ("count", "days", "sum", "mean", "distinct", "new_users", "trend")


def compute(
    events: Sequence[Event],
    keys: Sequence[tuple[int, int]],
    measures: Sequence[tuple[str, int | None]],
    history_days: int,
) -> list[list[float]]:
    """One row per key, one column per (measure, window); NaN where a measure is null."""
    rows = []
    for customer, as_of in keys:
        seen = visible(events, customer, as_of, history_days)
        row = [MEASURES[name](seen, as_of, window) for name, window in measures]
        rows.append([math.nan if value is None else float(value) for value in row])
    return rows


@dataclass(frozen=True)
class Term:
    customer: int
    start: int
    end: int = NEVER
    renewal: int = NEVER
    value: float = 0
    involuntary: bool = False


@dataclass(frozen=True)
class Change:
    """A change of an attribute at an hour of a day; of two at the same time the one known later is the last."""

    day: int
    hour: int
    known: int
    value: float | str | None
    customer: int


@dataclass(frozen=True)
class Company:
    """One customer with all that is known today."""

    events: list[Event]
    terms: list[Term]
    changes: list[Change]
    grace: int
    history: int

    def lapses(self, day: int) -> bool:
        """Service ends on the day, and none goes on or begins within the grace (0 is a day: back at once is no end)."""
        ends = any(term.end == day for term in self.terms)
        return ends and not any(term.end > day and term.start < day + max(self.grace, 1) for term in self.terms)

    def way(self, day: int, renewal_days: int, failures: list[Event], within: int) -> str:
        """How the service that ended on the day did."""
        ended = [term for term in self.terms if term.end == day]
        if visible(failures, ended[0].customer, day, within) or any(term.involuntary for term in ended):
            return "involuntary"
        renewed = any(term.renewal < NEVER and abs(term.renewal - day) <= renewal_days for term in ended)
        return "non_renewal" if renewed else "cancellation"

    def value(self, day: int) -> float | None:
        """What is paid on the day; in a pause, what was paid before it; None once the service has ended."""
        since = min((term.start for term in self.terms), default=NEVER)
        for past in range(day, since - 1, -1):
            active = [term for term in self.terms if term.start <= past < term.end]
            if active or self.lapses(past):
                return sum(term.value for term in active) if active else None
        return None

    def attribute(self, day: int) -> float | str | None:
        """The value at the end of the day."""
        changes = [change for change in self.changes if change.day <= day]
        return max(changes, key=lambda c: (c.day, c.hour, c.known, c.value is None, c.value)).value if changes else None


def fallen(now: float | None, base: float | None, ratio: float) -> bool:
    """A ratio of 0.9 is nine tenths."""
    return now is not None and base is not None and base > 0 and Fraction(now) <= Fraction(str(ratio)) * Fraction(base)


def grown(now: float | None, base: float | None, ratio: float, amount: float) -> bool:
    if now is None or base is None:
        return False
    return now > base and Fraction(now) >= Fraction(str(ratio)) * Fraction(base) and now - base >= amount


def risen(now: str | None, base: str | None, order: Sequence[str]) -> bool:
    return now in order and base in order and order.index(now) > order.index(base)


def _on(own: Company, outcome: Any, as_of: int, until: int) -> Callable[[int], bool]:
    """Whether the event of the outcome is on a day."""
    if outcome.kind == "subscription_end":
        return own.lapses
    if outcome.kind in ("event", "inactivity"):
        days = {event.day for event in own.events}
        return lambda day: day in days
    if outcome.kind == "new_entity":
        had = {event.entity for event in between(own.events, as_of - own.history, as_of)} | {-1}
        fresh = {event.day for event in own.events if event.entity not in had}
        return lambda day: day in fresh
    level = own.attribute if outcome.attribute else own.value
    base, left = level(as_of - 1), _first(own.lapses, as_of, until)
    if outcome.kind == "contraction":
        return lambda day: (left is None or day < left) and fallen(level(day), base, outcome.ratio)
    if outcome.kind == "growth":
        return lambda day: (left is None or day < left) and grown(level(day), base, outcome.ratio, outcome.amount)
    return lambda day: (left is None or day < left) and risen(level(day), base, outcome.order)


def _first(on: Callable[[int], bool], since: int, end: int) -> int | None:
    return next((day for day in range(since, end) if on(day)), None)


def judge(
    own: Company, outcome: Any, as_of: int, until: int, failures: Sequence[Event] = ()
) -> tuple[int, bool, int | None]:
    """Whether the outcome happened, whether it is in the gap, and the day of the event in the horizon, before until."""
    on, begin = _on(own, outcome, as_of, until), as_of + outcome.gap_days
    early, day = _first(on, as_of, begin), _first(on, begin, until)
    how = getattr(outcome, "how", None)
    if how and day is not None and own.way(day, outcome.renewal_days, list(failures), outcome.within_days) != how:
        day = None
    happened = day is not None and day < begin + outcome.horizon_days
    event_day = None if day is None else day - begin
    return int(happened != (outcome.kind == "inactivity")), early is not None, event_day


def increased(events: list[Event], outcome: Any, as_of: int) -> bool:
    """The sum over the horizon against the own mean before; ratio and sums are such that floats are exact enough."""
    begin = as_of + outcome.gap_days
    usual = total(events, as_of, outcome.over_days) * outcome.horizon_days / outcome.over_days
    reached = sum(valued(between(events, begin, begin + outcome.horizon_days))) / MICRO
    return reached >= outcome.ratio * usual and reached >= usual + outcome.amount
