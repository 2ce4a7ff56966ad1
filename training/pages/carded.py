"""A model card as one self-contained page, made from its JSON alone."""

from html import escape
from typing import Any

from features.config import Language
from training.info import Metric
from training.pages.judged import DIGITS
from training.pages.markup import cells, head, listed, money, number, paragraph, row, section, shell, span, table
from training.pages.why import words as page_words
from training.worth.words import words as worth_words

_LEVEL = {"model": "ok", "rule": "warning", "nothing": "error"}


def html(card: dict[str, Any], lang: Language, said: dict[str, Any]) -> str:
    """The whole page as well-formed HTML."""
    title = f"{said['title']}{said['colon']}{card['data_name']} / {card['model']}"
    own = page_words()[lang]
    parts = [_verdict(card, lang, said), _part(said, "intended", listed(card["intended_use"][lang]))]
    parts += [_part(said, "not_intended", listed(card["not_intended_use"][lang])), _question(card, lang, said)]
    parts += [_data(card, lang, said), _folds(card, said), _metrics(card, own, said), _slices(card, lang, own, said)]
    parts += [
        _part(said, "limits", listed(card["limits"][lang])),
        _part(said, "contacts", listed(card["contacts"][lang])),
    ]
    versions = table([], [row(pair, ()) for pair in card["versions"].items()]) if card["versions"] else "<p>–</p>"
    return shell(lang, title, [*parts, _part(said, "versions", versions)])


def _part(said: dict[str, Any], name: str, content: str) -> str:
    return section(said, name, content, key=False)


def _verdict(card: dict[str, Any], lang: Language, said: dict[str, Any]) -> str:
    grade, served = card["grade"], card["served"]
    heading, version = grade["heading"][lang], card["version"] or said["no_version"]
    about = said["about"].format(name=served[lang], version=version, heading=heading)
    return (
        f'<p class="about">{escape(about)}</p><section class="verdict {_LEVEL[served["kind"]]}">'
        f'<p class="mark">{grade["letter"]}</p><div><h2>{escape(heading)}</h2>{listed(grade["reasons"][lang])}</div>'
        "</section>"
    )


def _question(card: dict[str, Any], lang: Language, said: dict[str, Any]) -> str:
    rows = [row((said[f"{name}_label"], card[name][lang]), ()) for name in ("population", "outcome")]
    return _part(said, "population", table([], rows))


def _data(card: dict[str, Any], lang: Language, said: dict[str, Any]) -> str:
    data, features = card["data"], card["features"]
    dates = said["dates_line"].format(count=data["dates"], first=data["first"], last=data["last"])
    leading = said["and"].join(own[lang] for own in features["leading"][:5]) or "–"
    pairs = {
        "name": data["name"],
        "dates": dates if data["dates"] else "–",
        "rows": f"{data['rows']:,}",
        "customers": f"{data['customers']:,}",
        "had": f"{data['customers_with_outcome']:,}",
        "base_rate": f"{data['base_rate']:.1%}",
        "features": said["features_line"].format(**{**features, "leading": leading}),
        "fingerprint": data["fingerprint"],
    }
    return _part(said, "data", table([], [row((said[name], text), ()) for name, text in pairs.items()]))


def _folds(card: dict[str, Any], said: dict[str, Any]) -> str:
    folds = card["folds"]
    if folds["kind"] != "dates":
        return _part(said, "folds", paragraph(said["folds_crossed" if folds["kind"] == "customers" else "folds_none"]))
    counts = {name: len(folds[name]) for name in ("selection", "test")}
    line = said["folds_parted" if folds["chosen"] == "customers" else "folds_line"].format(
        **counts, dates=said["and"].join(folds["test"]), span=folds["span_days"]
    )
    return _part(said, "folds", paragraph(line))


def _metrics(card: dict[str, Any], own: dict[str, Any], said: dict[str, Any]) -> str:
    if card["folds"]["kind"] == "customers":
        said = said | {"metrics": said["metrics_crossed"]}
    if not card["metrics"]:
        return _part(said, "metrics", paragraph(said["no_metrics"]))
    pairs = [(own[name], span(Metric(**metric), DIGITS[name], own)) for name, metric in card["metrics"].items()]
    reached = card["at_capacity"]
    at = [(own[name], escape(format(value, DIGITS[name]))) for name, value in reached.items() if name != "contacts"]
    note = paragraph(said["at_capacity"].format(contacts=reached["contacts"]))
    return _part(said, "metrics", cells(pairs) + note + cells(at) + _listed(card, own, said))


def _listed(card: dict[str, Any], own: dict[str, Any], said: dict[str, Any]) -> str:
    """The published list's own figures, which is ranked by expected gain and not by score."""
    found = card["list_at_capacity"]
    if found is None:
        return ""
    shares = [(own[f"worth_{name}"], number(found[name], ".1%")) for name in ("precision", "found", "money")]
    gains = [(own[f"worth_{name}"], money(found[name])) for name in ("expected", "realised")]
    return paragraph(said["list_at_capacity"]) + cells([*shares, *gains])


def _slices(card: dict[str, Any], lang: Language, own: dict[str, Any], said: dict[str, Any]) -> str:
    slices = card["slices"]
    if not slices["parts"]:
        return _part(said, "slices", paragraph(said["no_slices"]))
    numbers = ("customers", "had", "base_rate", "mean_score", "average_precision", "selected", "recall")
    rows = [row((part["label"][lang], _named(part, lang)), _values(part, own)) for part in slices["parts"]]
    columns = head((own["attribute"], own["slice"]), (own[f"slice_{name}"] for name in numbers))
    lines = slices["differences"][lang] or [said["no_differences"]]
    return _part(said, "slices", table(columns, rows, "close") + listed(lines))


def _named(part: dict[str, Any], lang: Language) -> str:
    return part["name"] or worth_words()[lang]["slices"][part["kind"]]


def _values(part: dict[str, Any], own: dict[str, Any]) -> list[str]:
    shares = [number(part[name], ".1%") for name in ("base_rate", "mean_score")]
    intervals = [span(Metric(**part[name]) if part[name] else None, ".1%", own) for name in ("selected", "recall")]
    counts = [f"{part['customers']:,}", f"{part['outcomes']:,}"]
    return [*counts, *shares, number(part["average_precision"], ".3f"), *intervals]
