"""Every feature: its name, family, unit, empty value and meaning. The one file to edit to add a measure.

The formulas are in ``windows.py``, the sentences in ``serving/words/locale``.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

from features import buying
from features.data_config import Stream
from features.errors import ConfigError
from features.snapshot_config import SnapshotConfig

Labels = dict[str, str]


@dataclass(frozen=True)
class Measure:
    """What can be measured of a stream, or of a customer.

    ``needs`` names the stream's key without which it makes no sense; ``rates``: it makes sense of ratings too;
    ``direction``: a higher value speaks of more or growing activity (1), of less or falling (−1), or of neither (0).
    """

    name: str
    unit: str
    empty: float | None
    meaning: str
    windowed: bool = False
    needs: str | None = None
    rates: bool = False
    direction: int = 0


@dataclass(frozen=True)
class Feature:
    """One column of a snapshot: a measure of one stream over a window, or an attribute as of the date."""

    name: str
    source: str
    measure: str
    days: int | None
    family: str
    kind: str
    unit: str
    label: Labels


MEASURES = (
    Measure("count", "count", 0, "number of events", windowed=True, rates=True, direction=1),
    Measure("days", "days", 0, "number of days with an event", windowed=True, direction=1),
    Measure("trend", "ratio", 0, "ln((count + 1) / (count of the window before + 1))", windowed=True, direction=1),
    Measure("sum", "value", 0, "sum of the values", windowed=True, needs="value"),
    Measure("mean", "value", None, "mean of the values", windowed=True, needs="value", rates=True),
    Measure("distinct", "count", 0, "number of different entities", windowed=True, needs="entity", direction=1),
    Measure(
        "new_users",
        "count",
        0,
        "users whose first event within the history lies in the window",
        windowed=True,
        needs="users",
        direction=1,
    ),
    Measure("recency", "days", None, "days since the last event, so yesterday is 1", rates=True, direction=-1),
    Measure("tenure", "days", None, "days since the first event within the history"),
    Measure("gap", "days", None, "typical gap: (last day − first day) / (days with an event − 1)", direction=-1),
    Measure("gap_ratio", "ratio", None, "silence against the own rhythm: recency / gap", direction=-1),
    Measure("spike", "ratio", 0, "(last 7 days − mean of the 8 weeks before) / √(their variance + 1)", direction=1),
    Measure("slope", "per week", 0, "least-squares slope of the counts of the last 8 weeks", direction=1),
    Measure(
        "decline_weeks",
        "weeks",
        0,
        "weeks in a row, up to the last 7 days, with fewer events than the week before",
        direction=-1,
    ),
    Measure(
        "key_user_quiet",
        "days",
        None,
        "days since the last event of the user with the most active days",
        needs="users",
        direction=-1,
    ),
    Measure("last", "score", None, "last rating, by day, then time, then value", needs="rating", rates=True),
    Measure("change", "score", None, "last rating less the last one on an earlier day", needs="rating", rates=True),
    Measure("open", "count", 0, "events that began and have not ended", needs="until"),
    Measure("oldest_open_days", "days", 0, "age of the oldest of them", needs="until"),
)
CUSTOMER_MEASURES = (
    Measure("attribute", "value", None, "the attribute as it was valid and known before the date"),
    Measure("tenure_days", "days", None, "days since `known_from`, else since the first subscription"),
    Measure("days_to_renewal", "days", None, "days until the next renewal of an active subscription"),
    Measure("value", "value", 0, "value of the active subscriptions"),
    Measure("seats_used", "share", None, "users seen in the last days / seats", direction=1),
)
SIGNS = {1: "+", -1: "−", 0: ""}
BY_NAME = {measure.name: measure for measure in (*MEASURES, *CUSTOMER_MEASURES)}
_OF_USERS = ("distinct", "new_users", "key_user_quiet")
_OWN = {
    "tenure_days": ("tenure", {"en": "Time as a customer", "ja": "利用期間"}),
    "days_to_renewal": ("renewal", {"en": "Renewal", "ja": "契約更新"}),
    "value": ("subscription_value", {"en": "Subscription value", "ja": "契約金額"}),
    "seats_used": ("seats_used", {"en": "Share of seats used", "ja": "利用された席の割合"}),
}


# What a snapshot holds beside its features.
SIDE = (
    *("customer_id", "unit", "as_of", "outcome", "name", "owner", "renewal", "last_contact"),
    *("contacted", "event_day", "followed_days", *buying.COLUMNS),
)


def features(config: SnapshotConfig) -> tuple[Feature, ...]:
    """The features of a configuration, in the order of the snapshot's columns.

    Raises ConfigError when an entry of ``exclude`` matches no feature, or when two columns would have one name.
    """
    every = (*_of_streams(config), *_of_customers(config))
    taken = set(SIDE)
    for feature in every:
        if feature.name in taken:
            raise ConfigError(
                f"data.yaml: {feature.name}: another column of the snapshot has this name; rename the attribute"
            )
        taken.add(feature.name)
    for pattern in config.exclude:
        if not any(fnmatchcase(feature.name, pattern) for feature in every):
            raise ConfigError(f"exclude: {pattern} matches no feature; `python -m features catalogue` lists them")
    kept = tuple(f for f in every if not any(fnmatchcase(f.name, pattern) for pattern in config.exclude))
    if not kept:
        raise ConfigError("exclude: no feature is left; exclude less")
    return kept


def measures_of(stream: Stream) -> Iterator[Measure]:
    """The measures that make sense for a stream."""
    rating = stream.kind == "rating"
    has = {None: True, "rating": rating} | {key: getattr(stream, key) for key in ("value", "entity", "users", "until")}
    for measure in MEASURES:
        if has[measure.needs] and (measure.rates or not rating):
            yield measure


def _of_streams(config: SnapshotConfig) -> Iterator[Feature]:
    for name, stream in config.data.behaviour().items():
        label = _label(name, stream.label)
        for measure in measures_of(stream):
            family = f"{name}_{stream.entity}" if measure.name in _OF_USERS else name
            for days in config.windows.days if measure.windowed else (None,):
                column = f"{name}_{measure.name}" + (f"_{days}d" if days else "")
                yield Feature(column, name, measure.name, days, family, "number", measure.unit, label)


def _of_customers(config: SnapshotConfig) -> Iterator[Feature]:
    customers, subscriptions = config.data.customers, config.data.subscriptions
    for name, attribute in customers.attributes.items():
        kind = "category" if attribute.type == "category" else "number"
        unit = {"category": "category", "flag": "flag", "number": "value"}[attribute.type]
        yield Feature(name, name, "attribute", None, name, kind, unit, _label(name, attribute.label))
    own: dict[str, tuple[object, str, int | None]] = {
        "tenure_days": (customers.known_from or subscriptions, "customer", None),
        "days_to_renewal": (subscriptions and subscriptions.renewal, "subscription", None),
        "value": (subscriptions and subscriptions.value, "subscription", None),
    }
    seats = customers.seats
    own["seats_used"] = (True, seats.stream, seats.days) if seats else (False, "", None)
    for measure in CUSTOMER_MEASURES[1:]:
        there, source, days = own[measure.name]
        if there:
            family, label = _OWN[measure.name]
            column = "subscription_value" if measure.name == "value" else measure.name
            yield Feature(column, source, measure.name, days, family, "number", measure.unit, label)


def tables() -> str:
    """All measures as the Markdown tables of ``docs/measures.md``."""
    groups = {
        "Per stream and window (`windows.days`)": [m for m in MEASURES if m.windowed],
        "Per stream": [m for m in MEASURES if not m.windowed],
        "Per customer": CUSTOMER_MEASURES,
    }
    head = "| measure | value | unit | empty | direction | needs |\n|---|---|---|---|---|---|"
    return "\n\n".join("\n".join([f"## {title}", "", head, *map(_line, own)]) for title, own in groups.items())


def _line(measure: Measure) -> str:
    empty = "null" if measure.empty is None else f"{measure.empty:g}"
    needs = f"`{measure.needs}`" if measure.needs else ""
    cells = (f"`{measure.name}`", measure.meaning, measure.unit, empty, SIGNS[measure.direction], needs)
    return f"| {' | '.join(cells)} |"


def _label(name: str, label: dict) -> Labels:
    plain = name.replace("_", " ").capitalize()
    return {"en": label.get("en", plain), "ja": label.get("ja", label.get("en", name))}
