"""The customers and what is known of each: parent, owner, name, attributes as of a date."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from features import columns, windows
from features.data_config import Attribute
from features.errors import DataError
from features.rollup import Events, daily
from features.sources import Column, Source, fetch, only, require

ALWAYS = -(2**31)


def load(source: Source, some: Sequence[str] | None = None) -> pd.DataFrame:
    """One row per customer, sorted by id; the row number is the customer's code everywhere.

    Columns: id, unit (parent, else the customer), known_from (day number), name, owner, opted_out. Raises DataError
    on an empty table, a null or a repeated id.
    """
    spec = source.data.customers
    if spec.table is None:
        stream = source.data.streams[spec.from_stream or ""]
        table = source.table(stream.table)
        column = stream.id or spec.id
        require(table, stream.table, {f"data.yaml: streams.{spec.from_stream}.id": column})
        ids = only(table.select(id=columns.text(table[column])), some)
        ids = ids.filter(ids["id"].notnull()).distinct()
        frame = fetch(ids, stream.table).to_pandas().sort_values("id", ignore_index=True)
        return frame.assign(unit=frame["id"], known_from=ALWAYS, name=None, owner=None, opted_out=False)
    table = source.table(spec.table)
    named = {"id": spec.id, "unit": spec.parent, "known_from": spec.known_from, "name": spec.name}
    named |= {"owner": spec.owner, "opted_out": spec.opted_out}
    wanted = {role: column for role, column in named.items() if column}
    require(table, spec.table, {f"data.yaml: customers.{role}": column for role, column in wanted.items()})
    query = {
        role: columns.text(table[column]) for role, column in wanted.items() if role not in ("known_from", "opted_out")
    }
    if spec.known_from:
        query["known_from"] = columns.time(table[spec.known_from], f"{spec.table}: {spec.known_from}")
    if spec.opted_out:
        query["opted_out"] = columns.flag(table[spec.opted_out], f"{spec.table}: {spec.opted_out}")
    rows = fetch(only(table.select(**query), some), spec.table)
    if rows.num_rows == 0 and some is None:
        raise DataError(f"{spec.table}: no customer in it; give a table with one row a customer")
    known_from = columns.days(rows["known_from"], source.data, fill=ALWAYS)[0] if spec.known_from else ALWAYS
    frame = rows.to_pandas().assign(known_from=known_from)
    _refuse_repeats(frame["id"], f"{spec.table}: {spec.id}")
    for column in ("name", "owner"):
        frame[column] = frame[column].astype(object).where(frame[column].notna(), None) if column in frame else None
    frame["opted_out"] = frame["opted_out"].fillna(0).astype(bool) if spec.opted_out else False
    frame["unit"] = frame["unit"].fillna("~" + frame["id"]) if spec.parent else frame["id"]
    return frame.sort_values("id", ignore_index=True)


def attribute(source: Source, name: str, index: pd.Index, customer: np.ndarray, as_of: np.ndarray) -> np.ndarray:
    """The attribute of each key as it was known on its as-of date: float64, or object (text or None) for a category."""
    spec = source.data.customers.attributes[name]
    if spec.changes is None:
        return _static(source, name, spec, index)[customer]
    return _latest_change(source, name, spec, index, customer, as_of)


def _static(source: Source, name: str, spec: Attribute, index: pd.Index) -> np.ndarray:
    customers = source.data.customers
    table_name = spec.table or customers.table or ""
    table = source.table(table_name)
    column = spec.column or name
    path = f"data.yaml: customers.attributes.{name}"
    require(table, table_name, {path: column, "data.yaml: customers.id": customers.id})
    value = _typed(source, table[column], spec, f"{table_name}: {column} ({path}.type: {spec.type})")
    table = only(table.select(id=columns.text(table[customers.id]), value=value), _few(index))
    rows = fetch(table, table_name).to_pandas()
    rows = rows[rows["id"].notna()]
    _refuse_repeats(rows["id"], f"{table_name}: {customers.id}")
    values = rows.set_index("id")["value"].reindex(index)
    return _plain(values, spec)


def _latest_change(
    source: Source, name: str, spec: Attribute, index: pd.Index, customer: np.ndarray, as_of: np.ndarray
) -> np.ndarray:
    """The visible change that is last by (valid_from, known, value): the kernel's ``last`` over row numbers."""
    changes = spec.changes
    assert changes is not None
    path = f"data.yaml: customers.attributes.{name}.changes"
    table = source.table(changes.table)
    column = changes.value or name
    wanted = {"id": source.data.customers.id, "at": changes.at, "value": column}
    wanted |= {"known": changes.known} if changes.known else {}
    require(table, changes.table, {f"{path}.{role}": column for role, column in wanted.items()})
    query = {
        "id": columns.text(table[wanted["id"]]),
        "at": columns.time(table[changes.at], f"{changes.table}: {changes.at}"),
    }
    query["value"] = _typed(source, table[column], spec, f"{changes.table}: {column} ({path})")
    if changes.known:
        query["known"] = columns.time(table[changes.known], f"{changes.table}: {changes.known}")
    rows = fetch(only(table.select(**query), _few(index)), changes.table)
    day, time = columns.days(rows["at"], source.data)
    known = np.maximum(day, columns.days(rows["known"], source.data, fill=ALWAYS)[0]) if changes.known else day
    frame = pd.DataFrame({"day": day, "known": known, "time": time, "value": rows["value"].to_pandas()})
    frame["customer"] = index.get_indexer(rows["id"].to_pandas())
    frame = frame[(frame["customer"] >= 0) & rows["at"].is_valid().to_pandas()]
    frame = frame.sort_values(["time", "known", "value"], ignore_index=True)
    number = np.arange(len(frame), dtype=np.int64)
    nothing = np.full(len(frame), -1, np.int32)
    code, began, seen = (frame[column].to_numpy().astype(np.int32) for column in ("customer", "day", "known"))
    activity = daily(Events(code, began, seen, frame["time"].to_numpy(), number, number >= 0, nothing, nothing))
    found = windows.compute(activity, customer, as_of, [("last", None)], history_days=2**30)[:, 0]
    nothing_known = pd.Series([None if spec.type == "category" else np.nan])
    values = np.concatenate([_plain(frame["value"], spec), nothing_known.to_numpy()])
    return values[np.where(np.isnan(found), len(frame), np.rint(np.nan_to_num(found) * 1e6)).astype(np.int64)]


def _typed(source: Source, column: Column, spec: Attribute, label: str) -> Column:
    if spec.type == "category":
        return columns.text(column)
    return columns.flag(column, label) if spec.type == "flag" else columns.number(column, label)


def _plain(values: pd.Series, spec: Attribute) -> np.ndarray:
    if spec.type == "category":
        return values.astype(object).where(values.notna(), None).to_numpy()
    return values.to_numpy(dtype=np.float64, na_value=np.nan)


def _few(index: pd.Index) -> list[str] | None:
    """The ids, where they are few enough to ask a table for them alone."""
    return list(index) if len(index) < 1_000 else None


def _refuse_repeats(ids: pd.Series, label: str) -> None:
    if ids.isna().any():
        raise DataError(f"{label}: {ids.isna().sum():,} rows have no customer id; remove them")
    twice = ids[ids.duplicated()]
    if len(twice):
        raise DataError(
            f"{label}: {twice.nunique():,} customers stand in more than one row (first: {twice.iloc[0]}); "
            "one row a customer is needed"
        )
