"""Every measure as plain loops over raw events: slow, obvious, and independent of the kernel it judges.

A key is (customer, as_of). An event is visible to it if it is that customer's, occurred and was known before
the as-of date, and occurred no earlier than the history reaches. Values are whole micro-units or None.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

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
