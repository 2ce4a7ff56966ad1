"""Small ASCII tables as test data: a header row, then one row per line, cells split by |."""

from collections.abc import Callable
from typing import Any

import numpy as np

from features.rollup import Events
from tests.oracle import MICRO, Event


def rows(text: str, **types: Callable[[str], Any]) -> list[dict[str, Any]]:
    """The rows of a table as dictionaries; an empty cell is None, others are floats if not in `types`.

    "day | value\\n 3 | 1.5\\n 4 |" gives [{"day": 3.0, "value": 1.5}, {"day": 4.0, "value": None}].
    """
    header, *body = [[cell.strip() for cell in line.split("|")] for line in text.strip().splitlines()]
    typed = [(name, types.get(name, float)) for name in header]
    return [
        {name: kind(cell) if cell else None for (name, kind), cell in zip(typed, cells, strict=True)} for cells in body
    ]


def table_events(text: str) -> list[Event]:
    """Events from a table with a column `day` and any of customer, known, time, value, entity, until."""
    whole = dict.fromkeys(["customer", "day", "known", "time", "entity", "until"], int)
    found = []
    for row in rows(text, **whole, value=lambda cell: round(float(cell) * MICRO)):
        given = {name: cell for name, cell in row.items() if cell is not None}
        found.append(Event(**{"customer": 1, "known": given["day"], **given}))
    return found


def columns(events: list[Event]) -> Events:
    """The same events as the arrays the rollup takes; known days are never before the day occurred there."""

    def column(kind: str, cells: list[Any]) -> np.ndarray:
        return np.array(cells, dtype=kind)

    return Events(
        customer=column("int32", [e.customer for e in events]),
        day=column("int32", [e.day for e in events]),
        known=column("int32", [max(e.day, e.known) for e in events]),
        count=column("int64", [1 for _ in events]),
        valued=column("int64", [e.value is not None for e in events]),
        total=column("int64", [0 if e.value is None else e.value for e in events]),
        time=column("int64", [e.time for e in events]),
        entity=column("int32", [e.entity for e in events]),
        until=column("int32", [e.until for e in events]),
    )
