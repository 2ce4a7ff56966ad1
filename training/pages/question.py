"""Population and outcome of a model in words."""

from typing import Any

from features.config import Language
from training.config import TrainConfig


def population(config: TrainConfig, lang: Language, said: dict[str, Any]) -> str:
    """Who gets a score."""
    own = config.population
    table = getattr(config.data, "table", None)
    if table:
        return said["population_table"].format(table=table)
    if own.seen:
        streams = _named(config, own.seen.streams, lang, said)
        text = said["population_seen"].format(streams=streams, days=own.seen.days)
    else:
        text = said["population_subscription"]
    return said["tenure"].format(text=text, days=own.min_tenure_days) if own.min_tenure_days else text


def outcome(config: TrainConfig, lang: Language, said: dict[str, Any]) -> str:
    """What the score is the probability of."""
    own, label = config.outcome, getattr(config.data, "label", None)
    kind = "label" if label else own.kind if own.kind in said else "other"
    attribute, how = getattr(own, "attribute", None), getattr(own, "how", None)
    text = said[kind].format(
        streams=_named(config, getattr(own, "streams", ()), lang, said),
        horizon=own.horizon_days,
        how=said["how"][how] if how else "",
        measure=said["measures"].get(getattr(own, "measure", ""), ""),
        ratio=getattr(own, "ratio", 1.0),
        amount=getattr(own, "amount", 0.0),
        level=_attribute(config, attribute, lang) if attribute else said["level"],
        attribute=_attribute(config, attribute, lang) if attribute else "",
        order=" → ".join(getattr(own, "order", ())),
        label=label,
        kind=own.kind,
    )
    if kind in ("inactivity", "label"):
        return text
    return said["period"].format(text=text, first=own.gap_days, last=own.gap_days + own.horizon_days)


def _named(config: TrainConfig, streams: tuple[str, ...], lang: Language, said: dict[str, Any]) -> str:
    return said["and"].join(config.data.streams[name].label.get(lang) or name for name in streams)


def _attribute(config: TrainConfig, name: str, lang: Language) -> str:
    own = config.data.customers.attributes.get(name)
    return (own.label.get(lang) if own else None) or name
