"""The parts every page is built from: the shell, a section, a picture, figures in boxes, a table."""

import re
from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files
from typing import Any

from features.config import Language
from training.info import Metric

Head = Sequence[tuple[str, str]]
_LINES = ("score", "rule", "base", "random", "capacity", "realised", "best", "train", "wait", "test", "horizon")
_SIGNS = {"logistic": "●", "lightgbm": "◆", "ruled": "■", "level": "▲"}
MARKS = {name: f'<b class="{name}"></b>' for name in _LINES} | {
    name: f'<i class="sign {name}">{sign}</i>' for name, sign in _SIGNS.items()
}
_STYLE = """\
.verdict ul{margin:.2rem 0 0;padding-left:1.2em}dl{margin-bottom:.8rem}
dd small{display:block;font-size:.8rem;color:var(--soft)}h3{font-size:1rem;margin:1rem 0 .3rem}
section>ul{margin:.2rem 0 .8rem;padding-left:1.2em;max-width:62rem}ul.plain{list-style:none;padding:0}
.wide{overflow-x:auto;margin-bottom:.8rem}table{margin-bottom:0}td:nth-child(2){font-weight:400}
table.tests td:last-child{white-space:nowrap}td.number,th.number{text-align:right;font-variant-numeric:tabular-nums}
td.number{white-space:nowrap;font-weight:400}td.number small{color:var(--soft)}
tr.other td{border-top:2px solid #9a9a9a}tr.mean td{font-weight:600;border-top:2px solid #9a9a9a}
.folds th,.folds td,.close th,.close td{padding:5px 6px;font-size:.84rem}td.bar{width:52%}td.bar b.bar{margin:0}
.close td.number small{display:block}.wide img{min-width:26rem;max-width:52rem}
.folds td:nth-child(2){white-space:nowrap}
b.score,b.rule,b.base,b.random,b.realised{height:0;vertical-align:.25em}b.score{border-top:3px solid var(--blue)}
b.rule,b.realised{border-top:3px dashed var(--orange)}b.base,b.random{border-top:2px dotted #767676}
b.capacity{width:0;height:1em;border-left:2px dashed #000;margin:0 .5em}
b.best{width:0;height:1em;border-left:2px dotted #000;margin:0 .5em}
b.low,b.high,b.unknown{width:.7em;height:.7em;border-radius:50%;vertical-align:0}b.low{background:#00224e}
b.high{background:#c8b866}b.unknown{background:#fff;border:1px solid #767676}
i.sign{font-style:normal;color:var(--blue)}i.sign.lightgbm{color:#007a5a}i.sign.ruled{color:var(--orange)}
i.sign.level{color:#767676}
@media screen and (max-width:720px){thead{display:table-header-group}tr{display:table-row}td{display:table-cell;
padding:5px 6px;border-bottom:1px solid var(--line)}
table.tests td:first-child{white-space:normal;min-width:9rem}td:nth-child(n+4):before{content:none}
td:empty{display:table-cell}}
@media print{.wide{overflow:visible}.wide img{min-width:0}.folds th,.folds td,.close th,.close td{font-size:.74rem;
padding:3px 4px}}
"""


def shell(lang: Language, title: str, parts: Iterable[str]) -> str:
    """The whole page as well-formed HTML that needs no other file; ``title`` is text."""
    style = files("features.checks").joinpath("page.css").read_text(encoding="utf-8")
    body = "\n".join([f"<h1>{escape(title)}</h1>", *parts])
    return (
        f'<!DOCTYPE html>\n<html xmlns="http://www.w3.org/1999/xhtml" lang="{lang}">\n<head>\n<meta charset="utf-8"/>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1"/>\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}{_STYLE}</style>\n</head>\n"
        f"<body><main>\n{body}\n</main></body>\n</html>\n"
    )


def section(said: dict[str, Any], name: str, content: str, key: bool = True) -> str:
    """A heading, how to read what is below (with a legend made of markup), the content."""
    legend = f"<p>{marked(said[f'{name}_key'])}</p>" if key else ""
    return f'<section id="{name}"><h2>{escape(said[name])}</h2>{legend}{content}</section>'


def empty(said: dict[str, Any], name: str, why: str) -> str:
    """A section with nothing to show, and why."""
    return section(said, name, paragraph(said["empty"].format(why=why)), key=False)


def marked(text: str) -> str:
    """Text with {marks} as the markup of a legend."""
    return worded(text).replace("} ", "}\u00a0").format(**MARKS)


def worded(text: str) -> str:
    """Text as markup, what stands in `backticks` as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


def paragraph(text: str) -> str:
    return f"<p>{worded(text)}</p>"


def listed(texts: Iterable[str], kind: str = "") -> str:
    """Sentences as a list; nothing for none."""
    items = "".join(f"<li>{worded(text)}</li>" for text in texts)
    return f'<ul class="{kind}">{items}</ul>' if items else ""


def image(source: str, alternative: str) -> str:
    """A picture that scrolls by itself where the screen is narrow; ``alternative`` says what it shows."""
    return f'<div class="wide"><img alt="{escape(alternative)}" src="{source}"/></div>'


def cells(pairs: Iterable[tuple[str, str]]) -> str:
    """Figures in boxes: (name as text, figure as markup)."""
    return "<dl>" + "".join(f"<div><dt>{escape(name)}</dt><dd>{own}</dd></div>" for name, own in pairs) + "</dl>"


def span(metric: Metric | None, digits: str, said: dict[str, Any]) -> str:
    """A figure with its 95% interval, as markup; a dash where there is none."""
    if metric is None:
        return "–"
    value, low, high = (format(part, digits) for part in (metric.value, metric.low, metric.high))
    return f"{value} <small>{escape(said['interval'].format(low=low, high=high))}</small>"


def points(metric: Metric | None, said: dict[str, Any]) -> str:
    """A difference of shares with its 95% interval in percentage points, as markup; a dash where there is none."""
    if metric is None:
        return "–"
    value, low, high = (f"{100 * part:+.1f}" for part in (metric.value, metric.low, metric.high))
    return f"{value}{said['point']} <small>{escape(said['interval'].format(low=low, high=high))}</small>"


def number(value: float | None, digits: str) -> str:
    """A figure as text; a dash where there is none."""
    return "–" if value is None or value != value else format(value, digits)


def money(value: float | None) -> str:
    """An amount: whole from 100 on, with two decimals below."""
    return number(value, ",.0f" if value is not None and abs(value) >= 100 else ",.2f")


def row(names: Iterable[str], numbers: Iterable[str], kind: str = "") -> str:
    """A row of a table: names are text, numbers are markup."""
    told = "".join(f"<td>{escape(name)}</td>" for name in names)
    return f'<tr class="{kind}">' + told + "".join(f'<td class="number">{own}</td>' for own in numbers) + "</tr>"


def head(names: Iterable[str], numbers: Iterable[str] = ()) -> Head:
    """Headings of a table: first the columns of names, then those of numbers."""
    return [(name, "") for name in names] + [(name, "number") for name in numbers]


def table(columns: Head, rows: Iterable[str], kind: str = "") -> str:
    """A table that scrolls by itself where the screen is narrow; without ``columns`` it has no head."""
    named = "".join(f'<th scope="col" class="{side}">{escape(name)}</th>' for name, side in columns)
    top = f"<thead><tr>{named}</tr></thead>" if columns else ""
    body = "\n".join(rows)
    return f'<div class="wide {kind}"><table class="{kind}">{top}<tbody>\n{body}\n</tbody></table></div>'
