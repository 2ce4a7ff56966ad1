"""The rows of a ready-made table: their keys checked, their columns as the engine gave them."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from features import columns
from features.calendar import NEVER
from features.data_config import workspace
from features.erased import Erased
from features.errors import DataError
from features.ledger import Late
from features.ready.config import Table
from features.sources import Source, fetch, require

_NAMES = {"unit": "parent", "name": "customer_name", "owner": "owner"}
_MOMENTS = ("renewal", "last_contact")


@dataclass(frozen=True)
class Raw:
    """All rows as the engine gave them, ordered by as_of and customer_id.

    keys: what a snapshot has beside its features; label and columns as they are in the table. every: the names of all
    columns, those that are left out too.
    """

    data: Table
    keys: pd.DataFrame
    label: pa.ChunkedArray | None
    columns: pa.Table
    every: tuple[str, ...]
    late: tuple[Late, ...] = ()

    @property
    def dates(self) -> list[date]:
        """The dates of the rows, oldest first."""
        return [day.item() for day in np.unique(self.keys["as_of"].to_numpy("datetime64[D]"))]

    def where(self, chosen: np.ndarray) -> "Raw":
        """The rows of a mask, bool (n,)."""
        mask = pa.array(chosen)
        label = None if self.label is None else self.label.filter(mask)
        keys = self.keys[chosen].reset_index(drop=True)
        return replace(self, keys=keys, label=label, columns=self.columns.filter(mask))


def read(data: Table) -> Raw:
    """Read it, but for who was erased. Raises DataError on an empty table, a missing column, a null or repeated key."""
    table = Source(data).table(data.table)
    there = {key: column for key, column in data.roles.items() if key != "label" or column in table.columns}
    require(table, data.table, {f"data.yaml: {key}": column for key, column in there.items()})
    wanted = {role: columns.text(table[column]) for role, column in _texts(data).items()}
    times = {key: column for key, column in there.items() if key in ("as_of", *_MOMENTS)}
    wanted |= {key: columns.time(table[column], f"{data.table}: {column}") for key, column in times.items()}
    plain = [name for name in table.columns if not _left_out(data, name) or name in (there.get("label"), data.value)]
    rows = fetch(table.select(**wanted, **{f"column {i}": table[name] for i, name in enumerate(plain)}), data.table)
    if rows.num_rows == 0:
        raise DataError(f"{data.table}: no row in it; give a table with one row a customer")
    keys = _keys(rows, data)
    erased = Erased.of(workspace(data))
    stays = erased.kept(rows["customer_id"])
    order = keys.sort_values(["as_of", "customer_id"], kind="stable").index.to_numpy()
    order = order if stays is None else order[stays.to_numpy()[order]]
    keys = keys.assign(unit=erased.renamed(keys["unit"]))
    own = rows.select([f"column {i}" for i in range(len(plain))]).rename_columns(plain).take(pa.array(order))
    label = own[data.label] if data.label in plain else None
    own = own if label is None else own.drop_columns([data.label])
    return Raw(data, keys.iloc[order].reset_index(drop=True), label, own, tuple(table.columns))


def _texts(data: Table) -> dict[str, str]:
    named = {role: getattr(data, key) for role, key in _NAMES.items()}
    return {"customer_id": data.id} | {role: column for role, column in named.items() if column}


def _left_out(data: Table, column: str) -> bool:
    """Whether a column is no feature by the word of the YAML."""
    return column in data.roles.values() or any(fnmatchcase(column, pattern) for pattern in data.exclude)


def _keys(rows: pa.Table, data: Table) -> pd.DataFrame:
    """customer_id, unit, as_of, name, owner, renewal, last_contact. Raises DataError on a null or a repeated key."""
    texts = rows.select(list(_texts(data))).to_pandas().astype(object)
    frame = texts.where(texts.notna(), None)
    _refuse_nulls(frame["customer_id"].isna(), f"{data.table}: {data.id}", "customer id")
    days = {key: _days(rows[key], data) for key in ("as_of", *_MOMENTS) if key in rows.column_names}
    if isinstance(data.as_of, date):
        days["as_of"] = np.full(len(frame), np.datetime64(data.as_of), "datetime64[s]")
    _refuse_nulls(np.isnat(days["as_of"]), f"{data.table}: {data.as_of}", "date")
    parent = frame["unit"] if data.parent else frame["customer_id"]
    frame = frame.assign(unit=parent.fillna("~" + frame["customer_id"]), **days)
    twice = frame.duplicated(["customer_id", "as_of"])
    if twice.any():
        needed = "one row a customer" if data.cross_section else "one row a customer and date"
        raise DataError(
            f"{data.table}: {int(twice.sum()):,} rows repeat a key (first: {frame['customer_id'][twice].iloc[0]}); "
            f"{needed} is needed"
        )
    absent: dict[str, Any] = {name: None for name in ("name", "owner") if name not in frame}
    absent |= {name: np.datetime64("NaT", "s") for name in _MOMENTS if name not in days}
    return frame.assign(**absent)


def _refuse_nulls(missing: Iterable[bool], label: str, what: str) -> None:
    if count := int(sum(missing)):
        raise DataError(f"{label}: {count:,} rows have no {what}; remove them")


def _days(column: pa.ChunkedArray, data: Table) -> np.ndarray:
    """Local days as datetime64[s]; a time without a zone is on the clock of the project."""
    if pa.types.is_timestamp(column.type) and column.type.tz is None:
        column = column.cast(pa.timestamp("us")).cast(pa.date32(), safe=False)
    day = columns.days(column, data)[0].astype(np.int64)
    return np.where(day == NEVER, np.datetime64("NaT", "s"), (day * 86_400).view("datetime64[s]"))
