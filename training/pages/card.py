"""The model card: what the model is for, on what it was made, how good it was, what it cannot do."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from features.config import Language
from training import report
from training.bundle import Bundle
from training.job import Evaluation
from training.pages import carded, limits
from training.pages.families import MOST, families
from training.pages.judged import heading
from training.pages.material import Extras
from training.pages.question import outcome, population
from training.pages.why import chosen_by_customers, cross_validated, why
from training.pages.why import words as page_words

FILES: dict[Language, str] = {"en": "card.html", "ja": "card-ja.html"}
JSON = "card.json"
LANGS: tuple[Language, ...] = ("en", "ja")
Card = dict[str, Any]


@cache
def words() -> dict[Language, dict[str, Any]]:
    """Everything a card says, in both languages."""
    return yaml.safe_load(Path(__file__).with_name("card.yaml").read_text(encoding="utf-8"))


def write(evaluation: Evaluation, bundle: Bundle | None, extras: Extras, folder: Path) -> None:
    """Write card.json, card.html and card-ja.html."""
    made = card(evaluation, bundle, extras)
    (folder / JSON).write_text(json.dumps(made, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    for lang, name in FILES.items():
        (folder / name).write_text(carded.html(made, lang, words()[lang]), encoding="utf-8")


def card(evaluation: Evaluation, bundle: Bundle | None, extras: Extras | None = None) -> Card:
    """The card as plain objects. The keys are the same for every model; what is not known is null or empty.

    Texts are given as {"en": …, "ja": …}; ``summary`` is the English ``description``.
    """
    own, extras, facts = evaluation, extras or Extras(), report.summary(evaluation)
    config = own.config
    kind = "nothing" if bundle is None else "rule" if own.served == own.rule else "model"
    served = {"kind": kind, "name": own.served if bundle else None}
    made = {
        "schema_version": 1,
        "data_name": config.data.name,
        "model": config.model,
        "version": bundle.version if bundle else None,
        "sha256": bundle.sha256 if bundle else None,
        "served": {**served, **_both(lambda lang: _served(own, kind, lang))},
        "intended_use": _both(lambda lang: words()[lang]["intended_lines"]),
        "not_intended_use": _both(lambda lang: words()[lang]["not_intended_lines"]),
        "data": _data(own, facts),
        "population": {"settings": config.population.model_dump(mode="json"),
                       **_both(lambda lang: population(config, lang, words()[lang]))},
        "outcome": {"settings": config.outcome.model_dump(mode="json"),
                    **_both(lambda lang: outcome(config, lang, words()[lang]))},
        "features": _features(own, bundle),
        "folds": _folds(own, facts),
        "metrics": facts["metrics"],
        "at_capacity": facts["at_capacity"],
        "list_at_capacity": _listed(extras),
        "grade": {"letter": own.grade.letter, "heading": _both(lambda lang: heading(own, page_words()[lang])),
                  "reasons": _both(lambda lang: why(own, page_words()[lang])), "figures": own.grade.figures},
        "slices": limits.slices(own, extras),
        "contacts": limits.contacts(own, extras, words()),
        "limits": _both(lambda lang: limits.limits(own, extras, lang, words()[lang])),
        "versions": dict(bundle.info.versions) if bundle else {},
    }  # fmt: skip
    return {**made, "summary": description(made)}


def _both(text: Any) -> dict[str, Any]:
    return {lang: text(lang) for lang in LANGS}


def _served(own: Evaluation, kind: str, lang: Language) -> str:
    name = page_words()[lang]["candidates"].get(own.served or "", own.served)
    return words()[lang]["made_with"][kind].format(name=name)


def _data(own: Evaluation, facts: dict[str, Any]) -> dict[str, Any]:
    dates = facts["dates"]["mature"]
    return {
        "name": own.config.data.name,
        "dates": len(dates),
        "first": dates[0] if dates else None,
        "last": dates[-1] if dates else None,
        "rows": facts["rows"],
        "customers": len(np.unique(own.rows.customer)),
        "customers_with_outcome": facts["customers_with_outcome"],
        "base_rate": facts["base_rate"],
        "fingerprint": own.fingerprint,
    }


def _features(own: Evaluation, bundle: Bundle | None) -> dict[str, Any]:
    """How many there are, and the families with most weight, largest first: mean absolute contribution in log-odds."""
    if bundle is None or own.served is None:
        return {"count": 0, "families": 0, "leading": []}
    columns = bundle.info.features
    at = {column["name"]: position for position, column in enumerate(own.rows.columns)}
    moves = families(bundle, own.rows.matrix[:, [at[name] for name in bundle.info.names]]).moves
    labels = {column["family"]: column["label"] for column in columns}
    leading = [
        {"family": name, "moves": round(float(value), 6), **{lang: labels[name].get(lang) or name for lang in LANGS}}
        for name, value in moves.head(MOST).items()
    ]
    return {"count": len(columns), "families": len(moves), "leading": leading}


def _listed(extras: Extras) -> dict[str, float | None] | None:
    """The published list at capacity, by expected gain, mean over the dates; null where it was not computed."""
    if extras.profit is None:
        return None
    mean = vars(extras.profit.mean)
    return {name: None if value is None else round(float(value), 6) for name, value in mean.items()}


def _folds(own: Evaluation, facts: dict[str, Any]) -> dict[str, Any]:
    crossed = cross_validated(own)
    kind = "none" if own.scored.empty else "customers" if crossed else "dates"
    plan = {name: [] if crossed else facts["dates"][name] for name in ("selection", "test")}
    chosen = "none" if own.selection.empty else "customers" if chosen_by_customers(own) else "dates"
    return {"kind": kind, "chosen": chosen, "span_days": own.config.span_days, **plan}


def description(made: Card, lang: Language = "en") -> str:
    """The card in a few paragraphs of Markdown, for a registry that shows text."""
    said = words()[lang]
    lines = [f"**{made['grade']['heading'][lang]}**", *(f"- {reason}" for reason in made["grade"]["reasons"][lang])]
    question = (f"{said[f'{name}_label']}{said['colon']}{made[name][lang]}" for name in ("population", "outcome"))
    figures = [
        f"- {page_words()[lang][name]} {own['value']:.4f} ({own['low']:.4f}, {own['high']:.4f})"
        for name, own in made["metrics"].items()
    ]
    limited = [f"**{said['limits']}**", *(f"- {limit}" for limit in made["limits"][lang])]
    return "\n\n".join(
        "\n".join(part) for part in ([made["served"][lang]], lines, question, figures, limited) if part
    )  # fmt: skip


def tags(made: Card) -> dict[str, str]:
    """What a version can be searched by, beside its own tags."""
    data = made["data"]
    dated = {"card_first": data["first"], "card_last": data["last"], "card_tested": made["folds"]["kind"]}
    counts = {"card_rows": data["rows"], "card_customers_with_outcome": data["customers_with_outcome"]}
    return {name: str(value) for name, value in {**dated, **counts}.items() if value is not None}
