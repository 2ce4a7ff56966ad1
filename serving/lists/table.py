"""A list on the terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from features.config import Language
from serving.words.sentences import number, words

WIDTH_WITHOUT_TERMINAL = 140
AUDIBLE = 0.01
SOMETIMES = ("risks", "change")
COLUMNS = ("rank", "customer", "score", "risks", "change", "reasons", "value_at_risk", "gain", "action", "owner")
RIGHT = ("rank", "score", "risks", "change", "value_at_risk", "gain")


def show(about: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], lang: Language) -> None:
    """Print the head, one row per customer with its reasons, and how to read it."""
    said = words(lang)
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=WIDTH_WITHOUT_TERMINAL)
    model = said["models"].get(about["model"], about["model"])
    title = said["title"].format(**{**about, "model": model}, Model=model[:1].upper() + model[1:])
    console.print(Text(title, style="bold"))
    if about["note"]:
        console.print(Text(about["note"], style="yellow"))
    cells = [_cells(row, said) for row in rows]
    table = Table(show_lines=True, header_style="bold")
    shown = [name for name in COLUMNS if name not in SOMETIMES or any(row[name] for row in cells)]
    for name in shown:
        table.add_column(said["columns"][name], justify="right" if name in RIGHT else "left", overflow="fold")
    for row in cells:
        table.add_row(*(Text(row[name]) for name in shown))
    console.print(table)
    console.print(Text(about["legend"], style="dim"))
    if any(row["low"] is not None for row in rows):
        console.print(Text(about["interval"], style="dim"))


def _cells(row: Mapping[str, Any], said: Mapping[str, Any]) -> dict[str, str]:
    first, others = row["reasons"][:1], row["reasons"][1:]
    heard = [*first, *(reason for reason in others if abs(reason["points"]) >= AUDIBLE)]
    return {
        "rank": str(row["rank"]),
        "customer": f"{row['name']}\n{row['customer_id']}" if row["name"] else row["customer_id"],
        "score": f"{row['score']:.1%} {said['bands'][row['band']]}{_interval(row)}",
        "risks": "\n".join(
            f"{said['days']['many'].format(n=days)}{said['colon']}{risk:.1%}"
            for days, risk in (row["risks"] or {}).items()
        ),
        "change": "" if row["change"] is None else _points(row["change"]),
        "reasons": "\n".join(f"{_points(r['points'])}{said['colon']}{_text(r, said)}" for r in heard),
        "value_at_risk": number(row["value_at_risk"]),
        "gain": number(row["gain"]),
        "action": said["actions"][row["action"]],
        "owner": row["owner"] or "",
    }


def _interval(row: Mapping[str, Any]) -> str:
    return "" if row["low"] is None else f"\n{100 * row['low']:.1f}–{row['high']:.1%}"


def _points(share: float) -> str:
    return f"{100 * share:+.1f}".replace("-", "−")


def _text(reason: Mapping[str, Any], said: Mapping[str, Any]) -> str:
    """The sentence without what the sign of the points says, and without a 。 that would wrap alone."""
    return reason["text"].removesuffix(said["lowers"]).removesuffix("。")
