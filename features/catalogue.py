"""Every feature: its name, family, unit, empty value and meaning. The one file to edit to add a measure.

The formulas are in ``windows.py``, the sentences in ``serving/locale``.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

from features.data_config import Stream
from features.errors import ConfigError
from features.snapshot_config import SnapshotConfig

Labels = dict[str, str]


@dataclass(frozen=True)
class Measure:
    """What can be measured of a stream.

    ``needs`` names the stream's key without which it makes no sense; ``rates``: it makes sense of ratings too.
    """

    name: str
    unit: str
    empty: float | None
    meaning: str
    windowed: bool = False
    needs: str | None = None
    rates: bool = False


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
    Measure("count", "count", 0, "events in the window", windowed=True, rates=True),
    Measure("days", "days", 0, "days with an event in the window", windowed=True),
    Measure("trend", "ratio", 0, "ln((count + 1) / (count of the window before + 1))", windowed=True),
    Measure("sum", "value", 0, "sum of the values in the window", windowed=True, needs="value"),
    Measure("mean", "value", None, "mean of the values in the window", windowed=True, needs="value", rates=True),
    Measure("distinct", "count", 0, "different entities in the window", windowed=True, needs="entity"),
    Measure("recency", "days", None, "days since the last event", rates=True),
    Measure("tenure", "days", None, "days since the first event within the history"),
    Measure("gap", "days", None, "typical gap: mean days between days with an event"),
    Measure("gap_ratio", "ratio", None, "silence against the own rhythm: recency / gap"),
    Measure("spike", "ratio", 0, "last 7 days against mean and spread of the 8 weeks before"),
    Measure("last", "score", None, "the last rating", needs="rating", rates=True),
    Measure("change", "score", None, "the last rating less the one on an earlier day", needs="rating", rates=True),
    Measure("open", "count", 0, "events that began and have not ended", needs="until"),
    Measure("oldest_open_days", "days", 0, "age of the oldest one not ended", needs="until"),
)
CUSTOMER_MEASURES = (
    Measure("attribute", "value", None, "the attribute as it was known before the date"),
    Measure("tenure_days", "days", None, "days since the customer is known"),
    Measure("days_to_renewal", "days", None, "days until the next renewal"),
    Measure("value", "value", 0, "value of the active subscriptions"),
)
_OWN = {
    "tenure_days": ("tenure", {"en": "Time as a customer", "ja": "契約期間"}),
    "days_to_renewal": ("renewal", {"en": "Renewal", "ja": "契約更新"}),
    "value": ("subscription_value", {"en": "Subscription value", "ja": "契約金額"}),
}


def features(config: SnapshotConfig) -> tuple[Feature, ...]:
    """The features of a configuration, in the order of the snapshot's columns.

    Raises ConfigError when an entry of ``exclude`` matches no feature.
    """
    every = (*_of_streams(config), *_of_customers(config))
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
    has = {None: True, "value": stream.value, "entity": stream.entity, "until": stream.until, "rating": rating}
    for measure in MEASURES:
        if has[measure.needs] and (measure.rates or not rating):
            yield measure


def _of_streams(config: SnapshotConfig) -> Iterator[Feature]:
    for name, stream in config.data.behaviour().items():
        label = _label(name, stream.label)
        for measure in measures_of(stream):
            family = f"{name}_{stream.entity}" if measure.name == "distinct" else name
            for days in config.windows.days if measure.windowed else (None,):
                column = f"{name}_{measure.name}" + (f"_{days}d" if days else "")
                yield Feature(column, name, measure.name, days, family, "number", measure.unit, label)


def _of_customers(config: SnapshotConfig) -> Iterator[Feature]:
    customers, subscriptions = config.data.customers, config.data.subscriptions
    for name, attribute in customers.attributes.items():
        kind = "category" if attribute.type == "category" else "number"
        unit = {"category": "category", "flag": "flag", "number": "value"}[attribute.type]
        yield Feature(name, name, "attribute", None, name, kind, unit, _label(name, attribute.label))
    own = {
        "tenure_days": customers.known_from or subscriptions,
        "days_to_renewal": subscriptions and subscriptions.renewal,
        "value": subscriptions and subscriptions.value,
    }
    for measure in CUSTOMER_MEASURES[1:]:
        if own[measure.name]:
            family, label = _OWN[measure.name]
            source = "customer" if measure.name == "tenure_days" else "subscription"
            column = "subscription_value" if measure.name == "value" else measure.name
            yield Feature(column, source, measure.name, None, family, "number", measure.unit, label)


def _label(name: str, label: dict) -> Labels:
    plain = name.replace("_", " ").capitalize()
    return {"en": label.get("en", plain), "ja": label.get("ja", label.get("en", name))}
