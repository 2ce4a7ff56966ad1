"""Small ASCII tables as test data: a header row, then one row per line, cells split by |."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from features import attributes, subscriptions
from features.attributes import History
from features.data_config import Data
from features.rollup import Events
from features.subscriptions import Subscriptions
from tests.oracle import MICRO, NEVER, Change, Event, Term


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


def table_terms(text: str) -> list[Term]:
    """Subscriptions from a table with a column `start` and any of customer, end, renewal, value, reason."""
    found = []
    for row in rows(text, customer=int, start=int, end=int, renewal=int, reason=str):
        given = {name: cell for name, cell in row.items() if cell is not None and name != "reason"}
        found.append(Term(**{"customer": 1, "involuntary": row.get("reason") == "unpaid", **given}))
    return found


def table_changes(text: str, kind: Callable[[str], Any]) -> list[Change]:
    """Changes of an attribute from a table with the columns `day` and `value` and any of customer, hour, known."""
    found = []
    for row in rows(text, customer=int, day=int, hour=int, known=int, value=kind):
        given = {name: cell for name, cell in row.items() if cell is not None}
        found.append(Change(**{"customer": 1, "hour": 0, "known": given["day"], "value": None, **given}))
    return found


def read_terms(terms: list[Term], data: Data, index: pd.Index) -> Subscriptions:
    """The subscriptions as read from a table; customers are numbered by their place in the index."""
    assert data.subscriptions
    table = {
        "id": pa.array([index[term.customer] for term in terms], pa.string()),
        "start": pa.array([term.start for term in terms], pa.date32()),
        **{day: _days([getattr(term, day) for term in terms]) for day in ("end", "renewal")},
        "value": pa.array([term.value for term in terms], pa.float64()),
        "reason": pa.array(["unpaid" if term.involuntary else None for term in terms], pa.string()),
    }
    return subscriptions.parse(pa.table(table), data, index)


def read_changes(changes: list[Change], data: Data, name: str, index: pd.Index) -> History:
    """The history of an attribute as read from a table whose times are those of the clock of `data.timezone`."""
    category = data.customers.attributes[name].type == "category"
    hours = [24 * change.day + change.hour for change in changes]
    table = {
        "id": pa.array([index[change.customer] for change in changes], pa.string()),
        "value": pa.array([change.value for change in changes], pa.string() if category else pa.float64()),
        "at": pa.array([hour * 3_600_000_000 for hour in hours], pa.timestamp("us")),
        "known": pa.array([change.known for change in changes], pa.date32()),
    }
    return attributes.parse(pa.table(table), data, name, index)


def _days(days: list[int]) -> pa.Array:
    return pa.array([None if day == NEVER else day for day in days], pa.date32())
