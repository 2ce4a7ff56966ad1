"""A list on the terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from features.config import Language
from serving.sentences import number, words

WIDTH_WITHOUT_TERMINAL = 140
AUDIBLE = 0.01
COLUMNS = ("rank", "customer", "score", "change", "reasons", "value_at_risk", "gain", "action", "owner")
RIGHT = ("rank", "score", "change", "value_at_risk", "gain")


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
    shown = [name for name in COLUMNS if name != "change" or any(row["change"] for row in cells)]
    for name in shown:
        table.add_column(said["columns"][name], justify="right" if name in RIGHT else "left", overflow="fold")
    for row in cells:
        table.add_row(*(Text(row[name]) for name in shown))
    console.print(table)
    console.print(Text(about["legend"], style="dim"))


def _cells(row: Mapping[str, Any], said: Mapping[str, Any]) -> dict[str, str]:
    first, others = row["reasons"][:1], row["reasons"][1:]
    heard = [*first, *(reason for reason in others if abs(reason["points"]) >= AUDIBLE)]
    return {
        "rank": str(row["rank"]),
        "customer": f"{row['name']}\n{row['customer_id']}" if row["name"] else row["customer_id"],
        "score": f"{row['score']:.1%} {said['bands'][row['band']]}",
        "change": "" if row["change"] is None else _points(row["change"]),
        "reasons": "\n".join(f"{_points(r['points'])}{said['colon']}{_text(r, said)}" for r in heard),
        "value_at_risk": number(row["value_at_risk"]),
        "gain": number(row["gain"]),
        "action": said["actions"][row["action"]],
        "owner": row["owner"] or "",
    }


def _points(share: float) -> str:
    return f"{100 * share:+.1f}".replace("-", "−")


def _text(reason: Mapping[str, Any], said: Mapping[str, Any]) -> str:
    """The sentence without what the sign of the points says, and without a 。 that would wrap alone."""
    return reason["text"].removesuffix(said["lowers"]).removesuffix("。")
