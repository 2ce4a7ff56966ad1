"""What a card says of parts of the customers, of contacts, and of what the model cannot do."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from features.config import Language
from training import job
from training.job import Evaluation
from training.pages.foot import off
from training.pages.groups import label, part_name
from training.pages.material import Extras
from training.pages.why import cross_validated, served_calibration, words
from training.worth.slices import said as compared
from training.worth.treated import said as told


def slices(own: Evaluation, extras: Extras) -> dict[str, Any]:
    """Every part with its figures, and the sure differences as sentences; null where none were computed."""
    found = extras.slices
    if found is None:
        return {"computed": False, "parts": [], "differences": {"en": [], "ja": []}}
    sure = [one for one in found.differences if one.sure]
    sentences = {
        lang: [compared(one, label(own, one.slice.attribute, lang), lang) for one in sure] for lang in _languages()
    }
    parts = [_plain(part) | {"label": {lang: label(own, part.attribute, lang) for lang in _languages()}}
             for part in found.slices]  # fmt: skip
    return {"computed": True, "parts": parts, "differences": sentences}


def _languages() -> tuple[Language, Language]:
    return "en", "ja"


def _plain(part: Any) -> dict[str, Any]:
    """A dataclass with its metrics as plain objects."""
    metrics = {name: value.model_dump() for name, value in vars(part).items() if hasattr(value, "model_dump")}
    return asdict(part) | metrics


def contacts(own: Evaluation, extras: Extras, words: dict[Language, dict[str, Any]]) -> dict[str, Any]:
    """Capacity, hold-out, and what contacts did on the test rows."""
    capacity, found = own.config.capacity, extras.treated
    figures = {"contacts": own.contacts, "per": capacity.per, "by": capacity.by, "rest_days": capacity.rest_days}
    counted = {name: getattr(found, name) for name in ("contacted", "held", "broken")} if found else {}
    texts: dict[str, list[str]] = {}
    for lang in _languages():
        said = words[lang]
        line = said["contacts_line"].format(
            contacts=own.contacts, per=said["per"][capacity.per], rest=capacity.rest_days, holdout=own.config.holdout
        )
        texts[lang] = [line, *_treated(extras, lang, said)]
    nothing = {"contacted": None, "held": None, "broken": None}
    return {**figures, "holdout": own.config.holdout, **nothing, **counted, **texts}


def _treated(extras: Extras, lang: Language, said: dict[str, Any]) -> list[str]:
    if extras.treated is None:
        return [said["no_treated"]]
    return list(told(extras.treated, lang))


def limits(own: Evaluation, extras: Extras, lang: Language, said: dict[str, Any]) -> list[str]:
    """What the model cannot do, in sentences."""
    return list(_limits(own, extras, lang, said))


def _limits(own: Evaluation, extras: Extras, lang: Language, said: dict[str, Any]) -> Iterator[str]:
    value, rows = own.config.value, own.rows
    if own.scored.empty:
        yield said["limit_undated"]
    elif cross_validated(own):
        yield said["limit_crossed"]
    if own.served and own.served == own.rule:
        yield said["limit_rule"].format(rule=own.rule)
        yield from served_calibration(own, words()[lang])
    yield from off(extras.hazard, words()[lang])
    yield said["limit_cause"]
    yield said["limit_uplift"]
    yield said[f"limit_effect_{value.contact}"].format(effect=value.effect, cost=value.contact_cost)
    if rows.dates:
        yield said["limit_drift"].format(last=rows.dates[-1])
    if rows.customers_with_outcome < 2 * job.FEW:
        yield said["limit_customers"].format(had=rows.customers_with_outcome, enough=2 * job.FEW)
    few = [part for part in extras.slices.slices if part.few] if extras.slices else []
    if few:
        names = (f"{label(own, part.attribute, lang)} {part_name(part, lang)}" for part in few)
        yield said["limit_few"].format(names=said["and"].join(names))
    if not own.config.holdout:
        yield said["limit_contacts"]
