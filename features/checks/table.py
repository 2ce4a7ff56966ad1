"""The findings as a table on the terminal: as wide as it is, levels told by words."""

from rich.box import HORIZONTALS
from rich.console import Console
from rich.table import Table
from rich.text import Text

from features.checks import ready_made
from features.checks.findings import Level, title, word, words
from features.checks.quality import Report
from features.config import Language

WIDTH_WITHOUT_TERMINAL, NARROW = 140, 110
_STYLE: dict[Level, str] = {"error": "bold red", "warning": "yellow", "ok": ""}


def show(report: Report | ready_made.Report, lang: Language, width: int | None = None) -> None:
    """Print one row per finding; on a narrow terminal what is found, needed and to do stand below each other."""
    console = Console(highlight=False, width=width)
    if width is None and not console.is_terminal:
        console = Console(highlight=False, width=WIDTH_WITHOUT_TERMINAL)
    said, narrow = words()["page"][lang], console.width < NARROW
    table = Table(header_style="bold", show_lines=True, box=HORIZONTALS)
    table.add_column(said["level"], no_wrap=True)
    wide = ["check", "found", "needed", *(["todo"] if any(finding.todo for finding in report.findings) else [])]
    for name in wide[:2] if narrow else wide:
        table.add_column(said[name], overflow="fold")
    for finding in report.findings:
        found, *others = finding.told(lang)
        name = title(finding.check, lang) + (f"\n{finding.about}" if finding.about else "")
        labelled = [f"{said[key]}{said['colon']}{text}" for key, text in zip(("needed", "todo"), others) if text]
        cells = ["\n".join([found, *labelled])] if narrow else [found, *others][: len(wide) - 1]
        level = Text(word(finding.level, lang), style=_STYLE[finding.level])
        table.add_row(level, Text(name), *map(Text, cells))
    console.print(table)
