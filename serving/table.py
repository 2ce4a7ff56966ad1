"""A list on the terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from features.config import Language
from serving.sentences import number, words

WIDTH_WITHOUT_TERMINAL = 140
AUDIBLE = 0.0005


def show(about: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], lang: Language) -> None:
    """Print the head, one row per customer with its reasons, and how to read the points."""
    said = words(lang)
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=WIDTH_WITHOUT_TERMINAL)
    console.print(Text(said["title"].format(**about), style="bold"))
    if about["note"]:
        console.print(Text(about["note"], style="yellow"))
    table = Table(show_lines=True, header_style="bold")
    for name in (
        "rank",
        "customer",
        "score",
        "change",
        "reasons",
        "value_at_risk",
        "gain",
        "action",
        "owner",
    ):
        right = name in ("rank", "score", "change", "value_at_risk", "gain")
        table.add_column(said["columns"][name], justify="right" if right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in _cells(row, said)))
    console.print(table)
    console.print(Text(said["legend"], style="dim"))


def _cells(row: Mapping[str, Any], said: Mapping[str, Any]) -> list[str]:
    heard = [reason for reason in row["reasons"] if abs(reason["points"]) >= AUDIBLE]
    reasons = [f"{100 * r['points']:+.1f}{said['colon']}{r['text'].removesuffix(said['lowers'])}" for r in heard]
    return [
        str(row["rank"]),
        f"{row['name']}\n{row['customer_id']}" if row["name"] else row["customer_id"],
        f"{row['score']:.1%} {said['bands'][row['band']]}",
        "" if row["change"] is None else f"{100 * row['change']:+.1f}",
        "\n".join(reasons),
        number(round(row["value_at_risk"])),
        number(round(row["gain"])),
        said["actions"][row["action"]],
        row["owner"] or "",
    ]
