"""The checks as one self-contained page, in English or Japanese: verdict, findings, pictures."""

from collections.abc import Iterator
from datetime import date
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd

from features.checks import charts, findings
from features.checks.findings import Finding, Level
from features.checks.quality import Report
from features.command import appearing
from features.config import Language

_SIGN: dict[Level, str] = {"ok": "✓", "warning": "▲", "error": "✕"}
_MARKS = {name: f'<b class="{name}"></b>' for name in ("train", "wait", "test", "horizon", "bar", "bartest")}


def words(lang: Language) -> dict[str, str]:
    """The fixed words of the page."""
    return findings.words()["page"][lang]


def page(report: Report, config: Path, lang: Language, today: date) -> str:
    """The whole page as well-formed HTML. config: the YAML that was checked, for the commands to type next."""
    said = words(lang)
    title = f"{said['title']}{said['colon']}{report.config.data.name} / {config.stem}"
    parts = [_head(report, lang, today), _verdict(report, config, lang), _table(report, lang)]
    body = "\n".join([f"<h1>{escape(title)}</h1>", *parts, *_pictures(report, lang)])
    style = Path(__file__).with_name("page.css").read_text(encoding="utf-8")
    return (
        f'<!DOCTYPE html>\n<html xmlns="http://www.w3.org/1999/xhtml" lang="{lang}">\n<head>\n<meta charset="utf-8"/>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1"/>\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n"
        f"<body><main>\n{body}\n</main></body>\n</html>\n"
    )


def verdict(report: Report, config: Path, path: Path, lang: Language) -> list[str]:
    """The lines below the findings: do the data pass, where is the page, what to type next."""
    said, state = words(lang), _state(report)
    counts = {"errors": report.count("error"), "warnings": report.count("warning")}
    page = f"{said['page']}{said['colon']}{path}"
    return [said[f"verdict_{state}"].format(**counts), page, f"{said[_next(report)]} {_command(report, config)}"]


def write(text: str, path: Path) -> None:
    """Write the page; it appears whole or not at all. Raises ConfigError when it cannot be written."""
    with appearing(path, "--html") as half:
        half.write_text(text, encoding="utf-8")


def _state(report: Report) -> Level:
    return report.findings[0].level


def _next(report: Report) -> str:
    return "next_fine" if report.passed else "next_error"


def _head(report: Report, lang: Language, today: date) -> str:
    first, last = report.span
    about = words(lang)["about"].format(first=first, last=last, today=today)
    return f'<p class="about">{escape(about)}</p>'


def _verdict(report: Report, config: Path, lang: Language) -> str:
    said = words(lang)
    state, lines = _state(report), verdict(report, config, Path(), lang)
    pairs = [f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in _figures(report, lang)]
    return (
        f'<section class="verdict {state}"><p class="mark">{_SIGN[state]}</p><div><h2>{escape(lines[0])}</h2>'
        f"<p>{escape(said[_next(report)])} <code>{escape(_command(report, config))}</code></p></div></section>"
        f"<dl>{''.join(pairs)}</dl>"
    )


def _command(report: Report, config: Path) -> str:
    return f"python -m training train {config}" if report.passed else f"python -m features check {config}"


def _figures(report: Report, lang: Language) -> Iterator[tuple[str, str]]:
    said = words(lang)
    yield said["customers"], f"{len(report.known.customers):,}"
    yield said["events"], f"{sum(int(own.counts.sum()) for own in report.known.calendar.values()):,}"
    if report.made is None:
        return
    mature = report.made.frame[report.made.frame["outcome"].notna()]
    yield said["features"], f"{len(report.made.features):,}"
    yield said["dates"], f"{mature['as_of'].nunique():,}"
    yield said["had"], f"{mature.loc[mature['outcome'] == 1, 'customer_id'].nunique():,}"
    yield said["share"], f"{mature['outcome'].mean():.1%}" if len(mature) else "–"


def _table(report: Report, lang: Language) -> str:
    said = words(lang)
    names = ["level", "check", "found", "needed", "todo"]
    names = names if any(finding.todo for finding in report.findings) else names[:-1]
    head = "".join(f'<th scope="col" class="{name}">{escape(said[name])}</th>' for name in names)
    rows = "\n".join(_row(report, finding, lang, len(names)) for finding in report.findings)
    table = f"<table><thead><tr>{head}</tr></thead><tbody>\n{rows}\n</tbody></table>"
    return f"<section><h2>{escape(said['findings'])}</h2>{table}</section>"


def _row(report: Report, finding: Finding, lang: Language, columns: int) -> str:
    about = f'<br/><span class="of">{escape(_label(report, finding.about, lang))}</span>' if finding.about else ""
    level = f'<span class="level">{_SIGN[finding.level]} {escape(findings.word(finding.level, lang))}</span>'
    cells = [level, escape(findings.title(finding.check, lang)) + about, *map(escape, finding.told(lang))]
    return f'<tr class="{finding.level}">' + "".join(f"<td>{cell}</td>" for cell in cells[:columns]) + "</tr>"


def _label(report: Report, about: str, lang: Language) -> str:
    """Streams and attributes by the name people gave them, and the name in the YAML."""
    named: dict[str, Any] = {**report.config.data.streams, **report.config.data.customers.attributes}
    labels = {name: own.label.get(lang) for name, own in named.items()}
    parts = [f"{labels[name]} ({name})" if labels.get(name) else name for name in about.split(", ")]
    return ", ".join(parts)


def _pictures(report: Report, lang: Language) -> Iterator[str]:
    said = words(lang)
    mature = _mature(report)
    if mature:
        yield _section(lang, "folds", _image(charts.folds(report, mature), said["folds"]))
    if report.made is not None and len(report.made.frame):
        yield _section(lang, "outcomes", _image(charts.outcomes(report, mature), said["outcomes"]))
        if quiet := charts.silent(report):
            yield _section(lang, "silent", _image(quiet, said["silent"]))
    small = "".join(_small(report, name, lang) for name in report.config.data.streams)
    yield _section(lang, "streams", f'<div class="small">{small}</div>')


def _mature(report: Report) -> list[date]:
    if report.made is None:
        return []
    moments = report.made.frame.loc[report.made.frame["outcome"].notna(), "as_of"].unique()
    return [pd.Timestamp(moment).date() for moment in sorted(moments)]


def _small(report: Report, name: str, lang: Language) -> str:
    events = int(report.known.calendar[name].counts.sum())
    caption = f"{_label(report, name, lang)}{words(lang)['colon']}{events:,}"
    image = _image(charts.stream(report, name), caption)
    return f"<figure>{image}<figcaption>{escape(caption)}</figcaption></figure>"


def _section(lang: Language, name: str, content: str) -> str:
    """A heading, how to read the picture (with a legend made of markup), the picture."""
    said = words(lang)
    key = escape(said[f"{name}_key"]).replace("} ", "}\u00a0").format(**_MARKS)
    return f"<section><h2>{escape(said[name])}</h2><p>{key}</p>{content}</section>"


def _image(source: str, alternative: str) -> str:
    return f'<img alt="{escape(alternative)}" src="{source}"/>'
