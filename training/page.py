"""One training as one self-contained page, in English and Japanese: grade, pictures, families, folds."""

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd

from features.config import Language
from training import charts, evaluate, grade, plots, report
from training.bundle import Bundle
from training.job import Evaluation
from training.why import limit, passes, unscored, why, words

FILES: dict[Language, str] = {"en": "report.html", "ja": "report-ja.html"}
FAMILIES = 12
_DIGITS = {
    "rows": ",.0f", "base_rate": ".1%", "average_precision": ".3f", "roc_auc": ".3f", "drift": "+.4f",
    "brier": ".4f", "precision": ".1%", "found": ".1%", "lift": ".2f", "ece": ".4f", "contacts": ",.0f",
}  # fmt: skip
_MARKS = {name: f'<b class="{name}"></b>' for name in ("score", "rule", "base", "random", "capacity")}
_STYLE = """\
.verdict ul{margin:.2rem 0 0;padding-left:1.2em}dl{margin-bottom:.8rem}
dd small{display:block;font-size:.8rem;color:var(--soft)}
.wide{overflow-x:auto}table{margin-bottom:0}td:nth-child(2),td:last-child{font-weight:400;white-space:nowrap}
td.number,th.number{text-align:right;font-variant-numeric:tabular-nums}tr.other td{border-top:2px solid #9a9a9a}
.folds th,.folds td{padding:5px 6px;font-size:.84rem}td.bar{width:60%}td.bar b.bar{margin:0}
b.score,b.rule,b.base,b.random{height:0;vertical-align:.25em}b.score{border-top:3px solid var(--blue)}
b.rule{border-top:3px dashed var(--orange)}b.base,b.random{border-top:2px dotted #767676}
b.capacity{width:0;height:1em;border-left:2px dashed #000;margin:0 .5em}
@media screen and (max-width:720px){thead{display:table-header-group}tr{display:table-row}td{display:table-cell;
padding:5px 6px;border-bottom:1px solid var(--line)}td:nth-child(n+4):before{content:none}}
@media print{.wide{overflow:visible}}
"""


@dataclass(frozen=True)
class Training:
    """What the page is made of, the same in every language. pictures: name -> address; families: largest first."""

    evaluation: Evaluation
    bundle: Bundle | None
    facts: dict[str, Any]
    pictures: dict[str, str]
    families: pd.Series


def write(evaluation: Evaluation, bundle: Bundle | None, folder: Path) -> None:
    """Write report.html and report-ja.html."""
    training = gather(evaluation, bundle)
    for lang, name in FILES.items():
        (folder / name).write_text(page(training, lang), encoding="utf-8")


def gather(evaluation: Evaluation, bundle: Bundle | None) -> Training:
    """The facts, the pictures and the families of a training."""
    families, pictures = pd.Series(dtype=float), {}
    if bundle and evaluation.served:
        own = evaluate.inputs(evaluation.served, evaluation.rows)
        families = plots.families(bundle, evaluation.rows.matrix[:, own])
    if len(evaluation.scored):
        pictures = {
            "reliability": charts.reliability(evaluation.scored["outcome"].to_numpy(), evaluation.served_scores),
            "gains": charts.gains(evaluation.scored, evaluation.contacts),
            "folds": charts.folds(evaluation.scored),
        }
    return Training(evaluation, bundle, report.summary(evaluation), pictures, families)


def page(training: Training, lang: Language) -> str:
    """The whole page as well-formed HTML."""
    said, config = words()[lang], training.evaluation.config
    title = escape(f"{said['title']}{said['colon']}{config.data.name} / {config.model}")
    style = files("features.checks").joinpath("page.css").read_text(encoding="utf-8")
    parts = [f"<h1>{title}</h1>", _about(training, said), _verdict(training, said), _figures(training, said)]
    body = "\n".join([*parts, *_sections(training, lang)])
    return (
        f'<!DOCTYPE html>\n<html xmlns="http://www.w3.org/1999/xhtml" lang="{lang}">\n<head>\n<meta charset="utf-8"/>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1"/>\n'
        f"<title>{title}</title>\n<style>\n{style}{_STYLE}</style>\n</head>\n"
        f"<body><main>\n{body}\n</main></body>\n</html>\n"
    )


def _about(training: Training, said: dict[str, Any]) -> str:
    dates = training.facts["dates"]["mature"]
    about = said["about"].format(
        rows=training.facts["rows"],
        dates=len(dates),
        first=dates[0],
        last=dates[-1],
        tests=len(training.facts["dates"]["test"]),
        version=training.bundle.version if training.bundle else said["no_bundle"],
    )
    return f'<p class="about">{escape(about)}</p>'


def _verdict(training: Training, said: dict[str, Any]) -> str:
    own = training.evaluation
    letter, rule, served = own.grade.letter, own.rule or "", own.served
    level = "error" if not training.bundle else "warning" if letter == "C" else "ok"
    kind = "nothing" if not training.bundle else "rule" if served == rule else "model"
    text = said[f"served_{kind}"].format(name=said["candidates"].get(served, served), rule=rule)
    reasons = "".join(f"<li>{escape(reason)}</li>" for reason in why(own, said))
    heading = said[f"grade_{letter}"] if own.grade.figures else said["grade_none"]
    return (
        f'<section class="verdict {level}"><p class="mark">{letter}</p><div><h2>{escape(heading)}</h2>'
        f"<ul>{reasons}</ul><p>{escape(text)}</p></div></section>"
    )


def _figures(training: Training, said: dict[str, Any]) -> str:
    facts = training.facts
    pairs = [("base_rate", f"{facts['base_rate']:.1%}"), ("had", f"{facts['customers_with_outcome']:,}")]
    for name, metric in facts["metrics"].items():
        value, low, high = (format(metric[part], _DIGITS[name]) for part in ("value", "low", "high"))
        pairs.append((name, f"{value}<small>{escape(said['interval'].format(low=low, high=high))}</small>"))
    note = said["figures_key"] if facts["metrics"] else said["no_figures"]
    return f"<section>{_cells(pairs, said)}<p>{escape(note)}</p></section>"


def _cells(pairs: list[tuple[str, str]], said: dict[str, Any]) -> str:
    return "<dl>" + "".join(f"<div><dt>{escape(said[name])}</dt><dd>{own}</dd></div>" for name, own in pairs) + "</dl>"


def _sections(training: Training, lang: Language) -> Iterator[str]:
    said, own = words()[lang], training.evaluation
    if own.grade.figures:
        yield _section(said, "tests", _tests(own.grade.figures, said))
    nothing = f"<p>{escape(said['empty'].format(why=unscored(own, said)))}</p>"
    for name in ("reliability", "gains", "folds"):
        source = training.pictures.get(name)
        picture = f'<img alt="{escape(said[name])}" src="{source}"/>' if source else ""
        content = picture + (_capacity(training, said) if picture and name == "gains" else "")
        yield _section(said, name, content) if content else _section(said, name, nothing, key=False)
    bars = _families(training, lang) if len(training.families) else nothing
    yield _section(said, "families", bars, key=len(training.families) > 0)
    yield _section(said, "table", _folds(own, said), key=len(own.selection) + len(own.tests) > 0)


def _section(said: dict[str, Any], name: str, content: str, key: bool = True) -> str:
    """A heading, how to read what is below (with a legend made of markup), the content."""
    legend = escape(said[f"{name}_key"]).replace("} ", "}\u00a0").format(**_MARKS)
    return f"<section><h2>{escape(said[name])}</h2>{f'<p>{legend}</p>' if key else ''}{content}</section>"


def _capacity(training: Training, said: dict[str, Any]) -> str:
    reached = [(name, format(value, _DIGITS[name])) for name, value in training.facts["at_capacity"].items()]
    return f"<p>{escape(said['capacity_key'])}</p>{_cells(reached, said)}"


def _tests(f: dict[str, float], said: dict[str, Any]) -> str:
    span = said["interval"].format(low=f"{f['gain_low']:.3f}", high=f"{f['gain_high']:.3f}")
    share = said["least"].format(value=f"{grade.BETTER_DATES:.0%}")
    limits = [said["most"].format(value=f"{limit(f, letter):.4f}") for letter in "AB"]
    shown = {
        "surplus": (f"{f['surplus_low']:.3f}", said["least"].format(value=f"{grade.SURPLUS:.2f}"), "–"),
        "gain": (f"{f['gain']:.3f} {span}", said["above"], said["above"]),
        "dates": (said["of"].format(some=f["dates_better"], all=f["dates"]), share, share),
        "ece": (f"{f['ece']:.4f}", *limits),
    }
    rows = []
    for test, passed in passes(f).items():
        level = "ok" if passed["A"] else "warning" if passed["B"] else "error"
        marks = "\u3000".join(f"{'✓' if passed[letter] else '✕'}\u00a0{letter}" for letter in "AB")
        cells = (said[f"test_{test}"], *shown[test], marks)
        rows.append(f'<tr class="{level}">' + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>")
    return _table([(said[name], "") for name in ("test", "found_value", "needed_A", "needed_B", "passed")], rows)


def _families(training: Training, lang: Language) -> str:
    said, shown = words()[lang], training.families.head(FAMILIES)
    names, longest = labels(training, lang), max(shown.max(), 1e-12)
    rows = [
        f'<tr><td>{escape(names[family])}</td><td class="number">{value:.3f}</td>'
        f'<td class="bar"><b class="bar" style="width:{100 * value / longest:.1f}%"></b></td></tr>'
        for family, value in shown.items()
    ]
    return _table([(said["family"], ""), (said["moves"], "number"), ("", "")], rows)


def labels(training: Training, lang: Language) -> dict[str, str]:
    """Family -> what people call it, with the family's own name where several are called the same."""
    columns = training.bundle.info.features if training.bundle else []
    named = {column["family"]: column["label"].get(lang) or column["family"] for column in columns}
    every = list(named.values())
    return {own: f"{label} ({own})" if every.count(label) > 1 else label for own, label in named.items()}


def _folds(own: Evaluation, said: dict[str, Any]) -> str:
    every = pd.concat([own.selection, own.tests])
    if every.empty:
        return f"<p>{escape(said['no_table'])}</p>"
    shown = every[~every["rule"].astype(bool) | (every["candidate"] == own.rule)]
    numbers = [name for name in said["columns"] if name in _DIGITS and name in shown]
    head = [(said["columns"][name], "") for name in ("stage", "fold", "candidate")]
    head += [(said["columns"][name], "number") for name in numbers]
    before = shown[["stage", "fold"]].shift()
    rows = []
    for fold, last in zip(shown.to_dict("records"), before.to_dict("records"), strict=True):
        other = ' class="other"' if fold["fold"] != last["fold"] else ""
        cells = "".join(f"<td>{escape(cell)}</td>" for cell in _named(fold, said))
        values = ("–" if pd.isna(fold[name]) else format(fold[name], _DIGITS[name]) for name in numbers)
        rows.append(f"<tr{other}>{cells}" + "".join(f'<td class="number">{value}</td>' for value in values) + "</tr>")
    return _table(head, rows, "wide folds")


def _named(fold: dict[str, Any], said: dict[str, Any]) -> tuple[str, str, str]:
    part = fold["fold"].removeprefix("customers ")
    day = part if part == fold["fold"] else said["part"].format(part=part)
    name = said["rule"].format(name=fold["candidate"]) if fold["rule"] else said["candidates"][fold["candidate"]]
    return said["selection" if fold["stage"] == "selection" else "test_stage"], day, name


def _table(head: list[tuple[str, str]], rows: list[str], kind: str = "wide") -> str:
    cells = "".join(f'<th scope="col" class="{side}">{escape(name)}</th>' for name, side in head)
    body = "\n".join(rows)
    return f'<div class="{kind}"><table><thead><tr>{cells}</tr></thead><tbody>\n{body}\n</tbody></table></div>'
