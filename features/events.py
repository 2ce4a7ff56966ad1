"""The events of a stream: rows of a table, chosen by ``where``, localised and coded for the rollup."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from features import columns
from features.calendar import NEVER
from features.config import Scalar
from features.data_config import Stream
from features.errors import DataError
from features.rollup import Events
from features.sources import Column, Source, Table, fetch, only, require

LIMIT = 2**63 / 1e6
_TIMES = ("at", "known", "until")


def load(
    source: Source, stream: str, index: pd.Index, customers: Sequence[str] | None = None, today: int = NEVER
) -> tuple[Events, dict[str, int]]:
    """The events of a stream, and how many rows could not be used: counts by reason.

    index: the customer ids, whose positions are the codes. customers: only theirs, when given. today: day number; later
    rows are left out. Raises DataError on a missing column, a wrong type, a table without a row, times or values that
    are all null.
    """
    spec, where = source.data.streams[stream], f"data.yaml: streams.{stream}"
    optional = {"known": spec.known, "until": spec.until, "value": spec.value, "entity": spec.entity}
    named = {"id": spec.id or source.data.customers.id, "at": spec.at}
    named |= {role: column for role, column in optional.items() if column}
    label = f"{spec.table} ({stream})"
    table = _chosen(source, spec, where, named)
    query: dict[str, Column] = {role: columns.text(table[named[role]]) for role in ("id", "entity") if role in named}
    for role in (*_TIMES, "value"):
        if role in named:
            read = columns.time if role in _TIMES else columns.number
            query[role] = read(table[named[role]], f"{label}: {named[role]}")
    rows = fetch(only(table.select(**query), customers), label)
    if rows.num_rows == 0 and customers is None:
        raise DataError(f"{label}: no row; give a table with events, or change {where}.where")
    found, lost = _encode(source, rows, index, label, whole=customers is None)
    there = found.known <= today
    lost["after_today"] = int((~there).sum())
    lost["ending_before_they_begin"] = int((found.until < found.day).sum()) if spec.until else 0
    return Events(**{name: column[there] for name, column in vars(found).items()}), lost


def _chosen(source: Source, spec: Stream, where: str, named: dict[str, str]) -> Table:
    """The stream's rows, with the looked-up column and without those that ``where`` leaves out."""
    table = source.table(spec.table)
    if spec.lookup:
        table = _with_lookup(source, table, spec, where)
    require(table, spec.table, {f"{where}.{role}": column for role, column in named.items()})
    require(table, spec.table, {f"{where}.where": column for column in spec.where})
    for column, allowed in spec.where.items():
        table = table.filter(_matches(table[column], allowed, f"{where}.where.{column}"))
    return table


def _with_lookup(source: Source, table: Table, spec: Stream, where: str) -> Table:
    lookup = spec.lookup
    assert lookup is not None
    other, key = source.table(lookup.table), lookup.key or lookup.on
    require(table, spec.table, {f"{where}.lookup.key": key})
    require(other, lookup.table, {f"{where}.lookup.on": lookup.on, f"{where}.lookup.take": lookup.take})
    pairs = other.select(_key=other[lookup.on], _taken=other[lookup.take]).distinct()
    pairs = pairs.filter(pairs["_key"].notnull())
    repeated = pairs.count() - pairs["_key"].nunique()
    ambiguous = fetch(pairs.aggregate(n=repeated), lookup.table)["n"][0].as_py()
    if ambiguous:
        text = f"{ambiguous:,} values of {lookup.on} stand there with different {lookup.take}"
        raise DataError(f"{where}.lookup: {lookup.table}: {text}; one row for each is needed")
    joined = table.drop(*{lookup.take} & set(table.columns)).left_join(pairs, table[key] == pairs["_key"])
    return joined.drop("_key").rename({lookup.take: "_taken"})


def _matches(column: Column, allowed: Scalar | list[Scalar], path: str) -> Column:
    values = allowed if isinstance(allowed, list) else [allowed]
    kind = column.type()
    if kind.is_string():
        if all(isinstance(value, bool) for value in values):
            return column.lower().isin([str(value).lower() for value in values])
        return column.isin([str(value) for value in values])
    fits: type | tuple[type, ...] = bool if kind.is_boolean() else (int, float) if kind.is_numeric() else ()
    for value in values:
        if not isinstance(value, fits) or (isinstance(value, bool) and not kind.is_boolean()):
            raise DataError(f"{path}: {value!r} cannot equal a column of type {kind}; write values of that type")
    return column.isin(values)


def _encode(source: Source, rows: pa.Table, index: pd.Index, label: str, whole: bool) -> tuple[Events, dict[str, int]]:
    """Codes, local days and micro-units. ``whole``: all rows of the stream, so nulls alone are an error."""
    customer = pc.index_in(rows["id"], pa.array(index, pa.string()))
    lost = {
        "without_time": rows["at"].null_count,
        "without_id": rows["id"].null_count,
        "of_unknown_customers": pc.sum(pc.and_(customer.is_null(), rows["id"].is_valid())).as_py() or 0,
    }
    if whole and lost["without_time"] == rows.num_rows:
        raise DataError(f"{label}: all {rows.num_rows:,} time stamps are null; name the column that holds the time")
    usable = pc.and_(customer.is_valid(), rows["at"].is_valid())
    rows, customer = rows.filter(usable), customer.filter(usable)
    present = set(rows.column_names)
    day, time = columns.days(rows["at"], source.data)
    known = columns.days(rows["known"], source.data, fill=-(2**31))[0] if "known" in present else day
    until = columns.days(rows["until"], source.data)[0] if "until" in present else np.zeros(len(day), np.int32)
    value, valued = _micro(rows, label, whole)
    entity = np.full(len(day), -1, np.int32)
    if "entity" in present:
        codes = rows["entity"].combine_chunks().dictionary_encode().indices
        entity = pc.fill_null(codes, -1).to_numpy(zero_copy_only=False).astype(np.int32)
    code = customer.to_numpy().astype(np.int32)
    return Events(code, day, np.maximum(day, known), time, value, valued, entity, until), lost


def _micro(rows: pa.Table, label: str, whole: bool) -> tuple[np.ndarray, np.ndarray]:
    """Values as int64 micro-units, and which are there."""
    if "value" not in rows.column_names:
        return np.zeros(rows.num_rows, np.int64), np.zeros(rows.num_rows, bool)
    column = rows["value"].cast(pa.float64())
    valued = column.is_valid().to_numpy()
    if whole and rows.num_rows and not valued.any():
        raise DataError(f"{label}: every value is null; name another column or leave `value` out")
    value = pc.fill_null(column, 0.0).to_numpy()
    wrong = ~np.isfinite(value) | (np.abs(value) >= LIMIT)
    if wrong.any():
        raise DataError(f"{label}: {wrong.sum():,} values are NaN, infinite or over 9.2e12; use null or rescale")
    return np.rint(value * 1e6).astype(np.int64), valued
