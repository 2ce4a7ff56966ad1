"""What the models are: which are served, the card of each, and the limits of this service."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.responses import Response

from serving.http import questions, spreadsheet
from serving.http.reading import run_tag
from serving.http.replies import Ask, plain
from serving.life.live import Live
from serving.lists import risk_list
from serving.problem import Refusal
from serving.scores import schema
from serving.stores.records import Key
from serving.words import sentences
from training.bundle import Info

SETTINGS = ("value", "capacity", "windows", "population", "outcome")
PLAIN = ("data", "kind", "grade", "rule", "timezone", "history_days", "grace_days", "holdout", "base_rate")
TRAINED = ("customers_with_outcome", "fingerprint", "versions")
FEATURE = ("name", "family", "source", "measure", "days", "kind", "unit", "categories")


def models(live: Live, ask: Ask) -> Response:
    """What is served for every model of the config, from memory: it answers without the store too."""
    states = [state(live, model, ask.query.lang) for model in live.config.models]
    return plain({"models": states}, ask.tag(states))


def state(live: Live, model: str, lang: Any) -> dict[str, Any]:
    """What is served of a model now, or why nothing is."""
    said, served = sentences.words(lang), live.get(model)
    named = {"model": model, "name": said["models"].get(model, model)}
    if served is None:
        return {**named, "served": None, "why_not": live.why_not().get(model, "try again")}
    about = risk_list.about(served.head, lang)
    told = {
        **{name: about[name] for name in ("model_version", "grade")},
        "rule": served.head.rule,
        **{name: about[name] for name in ("base_rate", "reference", "as_of", "horizon")},
        "rows": served.run.rows,
        "list_version": served.run.version,
        "stale": served.stale is not None,
        "why_stale": said["stale"][served.stale] if served.stale else None,
    }
    return {**named, "served": told, "why_not": None}


def card(live: Live, ask: Ask) -> Response:
    """The card of the bundle that is served now."""
    model = ask.parameters["model"]
    if model not in live.config.models:
        raise Refusal(404, f"no such model; models: {', '.join(live.config.models)}")
    served = live.get(model)
    if served is None:
        detail = f"{model} is not ready: {live.why_not().get(model, 'try again')}"
        raise Refusal(503, detail, retry_after="5")
    bundle, lang = served.bundle, ask.query.lang
    info, said = bundle.info, sentences.words(lang)
    headers = ask.tag(bundle.sha256, run_tag(served.run))
    content = {
        "model": model,
        "name": said["models"].get(model, model),
        "model_version": bundle.version,
        "sha256": bundle.sha256,
        "predicts": _predicts(info, said["card"]),
        **{name: getattr(info, name) for name in PLAIN},
        "reference": bundle.base_probability,
        **{name: getattr(info, name).model_dump(mode="json") for name in SETTINGS},
        "metrics": {name: metric.model_dump(mode="json") for name, metric in info.metrics.items()},
        "horizons": list(bundle.curve.horizons) if bundle.curve else [],
        "interval": said["interval"] if bundle.spread else None,
        "trained": {name: getattr(info, name) for name in TRAINED},
        "families": _families(info, lang),
        "limits": [*said["card"]["limits"], *([said["card"]["rule_limit"]] if info.kind == "rule" else [])],
    }
    return plain(content, headers)


def _predicts(info: Info, said: dict[str, Any]) -> str:
    begin = info.outcome.gap_days
    outcome = said["outcomes"][info.outcome.kind]
    return str(said["scores"]).format(outcome=outcome, start=begin, end=begin + info.outcome.horizon_days)


def _families(info: Info, lang: Any) -> list[dict[str, Any]]:
    """The families, each with its features; a feature with its label in the language asked for."""
    families: dict[str, list[dict[str, Any]]] = {}
    for column in info.features:
        label = column["label"].get(lang) or column["label"].get("en") or column["source"]
        said: Mapping[str, object] = column
        feature: dict[str, Any] = {name: said[name] for name in FEATURE}
        families.setdefault(column["family"], []).append({**feature, "label": label})
    return [{"family": family, "features": features} for family, features in families.items()]


def limits(live: Live, ask: Ask) -> Response:
    """The numbers this service keeps, and what the calling key may do."""
    with Session(live.engine) as session:
        key = session.scalars(select(Key).where(Key.name == ask.owner)).first()
    content = {
        **live.config.limits.model_dump(mode="json"),
        "rows_per_call": schema.MOST_SCORES,
        "events_per_call": schema.MOST_EVENTS,
        "reasons": questions.MOST_REASONS,
        "rows_per_page": questions.MOST_ROWS,
        "entries_per_page": questions.MOST_LISTS,
        "rows_per_spreadsheet": spreadsheet.MOST_SHEET_ROWS,
        "key": _key(key) if key else None,
    }
    return plain(content, ask.tag(content))


def _key(key: Key) -> dict[str, Any]:
    scopes = key.scopes.split(",")
    return {"name": key.name, "scopes": scopes, "per_minute": key.per_minute, "expires_at": _time(key.expires_at)}


def _time(at: datetime | None) -> str | None:
    return f"{at.isoformat()}Z" if at else None
