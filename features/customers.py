"""The customers: id, parent, owner, name, since when they are known."""

from collections.abc import Sequence

import pandas as pd
import pyarrow as pa

from features import columns
from features.data_config import Data, workspace
from features.erased import Erased
from features.errors import DataError
from features.sources import Column, Source, Table, fetch, require

ALWAYS = -(2**31)


def load(source: Source, some: Sequence[str] | None = None) -> pd.DataFrame:
    """One row per customer, sorted by id; the row number is the customer's code everywhere.

    Columns: id, unit (parent, else the customer), known_from (day number), name, owner, opted_out. Raises DataError
    on an empty table, a null or a repeated id. Who was erased is nobody: see ``erased``.
    """
    rows = fetch(query(source, some), label(source.data))
    if some is None:
        refuse_nobody(rows.num_rows, source.data)
    return parse(rows, source.data, Erased.of(workspace(source.data)))


def label(data: Data) -> str:
    """The table the customers come from."""
    return data.customers.table or data.streams[data.customers.from_stream or ""].table


def query(source: Source, some: Sequence[str] | None = None) -> Table:
    """The rows that ``parse`` takes. Raises DataError on a missing column or a wrong type."""
    spec = source.data.customers
    table = source.table(label(source.data))
    if spec.table is None:
        column = source.data.streams[spec.from_stream or ""].id or spec.id
        require(table, label(source.data), {f"data.yaml: streams.{spec.from_stream}.id": column})
        return columns.only(table, column, some).select(id=columns.key(table[column])).distinct()
    named = {"id": spec.id, "unit": spec.parent, "known_from": spec.known_from, "name": spec.name}
    named |= {"owner": spec.owner, "opted_out": spec.opted_out}
    wanted = {role: column for role, column in named.items() if column}
    require(table, spec.table, {f"data.yaml: customers.{role}": column for role, column in wanted.items()})
    found = {role: _typed(table[column], role, f"{spec.table}: {column}") for role, column in wanted.items()}
    return columns.only(table, spec.id, some).select(**found)


def _typed(column: Column, role: str, label: str) -> Column:
    if role == "known_from":
        return columns.time(column, label)
    return columns.flag(column, label) if role == "opted_out" else columns.text(column)


def parse(rows: pa.Table, data: Data, erased: Erased) -> pd.DataFrame:
    """All customers, or some of them, as ``load`` gives them. Raises DataError on a null or a repeated id."""
    spec = data.customers
    if spec.table is None:
        found = rows["id"].drop_null().cast(pa.string())
        frame = erased.without(pd.DataFrame({"id": found.to_pandas()}), "id").sort_values("id", ignore_index=True)
        return frame.assign(unit=frame["id"], known_from=ALWAYS, name=None, owner=None, opted_out=False)
    known_from = columns.days(rows["known_from"], data, fill=ALWAYS)[0] if spec.known_from else ALWAYS
    frame = rows.to_pandas().assign(known_from=known_from)
    refuse_repeats(frame["id"], f"{spec.table}: {spec.id}")
    for column in ("name", "owner"):
        frame[column] = frame[column].astype(object).where(frame[column].notna(), None) if column in frame else None
    frame["opted_out"] = frame["opted_out"].fillna(0).astype(bool) if spec.opted_out else False
    frame = erased.without(frame, "id")
    frame["unit"] = erased.renamed(frame["unit"].fillna("~" + frame["id"])) if spec.parent else frame["id"]
    return frame.sort_values("id", ignore_index=True)


def refuse_nobody(rows: int, data: Data) -> None:
    """Raise DataError when the table of the customers has no row."""
    if rows == 0 and data.customers.table:
        raise DataError(f"{data.customers.table}: no customer in it; give a table with one row a customer")


def refuse_repeats(ids: pd.Series, label: str) -> None:
    """Raise DataError unless every row has an id and each id one row."""
    if ids.isna().any():
        raise DataError(f"{label}: {ids.isna().sum():,} rows have no customer id; remove them")
    twice = ids[ids.duplicated()]
    if len(twice):
        raise DataError(
            f"{label}: {twice.nunique():,} customers stand in more than one row (first: {twice.iloc[0]}); "
            "one row a customer is needed"
        )
