"""The rows of every stream in one form: chosen by ``where``, localised, in whole micro-units."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import reduce
from itertools import groupby
from operator import add

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features import columns, pushdown
from features.ahead import ahead
from features.calendar import EPOCH, NEVER
from features.config import Scalar
from features.data_config import Data, Stream
from features.errors import DataError
from features.sources import Column, Source, Table, fetch, require

LIMIT = 2**63 / 1e6


@dataclass(frozen=True)
class Rows:
    """Activity rows of one table: arrays of equal length, None where there is none of it.

    id: text or whole numbers; day, known: int32 local days (known ≥ day; both NEVER without a time); mask: bit i for
    the i-th stream (None: all rows belong to the one stream); count: int64 (None: one each); until: int32; time:
    int64 µs; totals: column -> micro-units, int64, and number of values; entities: column -> text or whole numbers.
    """

    id: pa.ChunkedArray
    day: np.ndarray
    known: np.ndarray
    mask: np.ndarray | None = None
    count: np.ndarray | None = None
    until: np.ndarray | None = None
    time: np.ndarray | None = None
    totals: dict[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    entities: dict[str, pa.ChunkedArray] = field(default_factory=dict)


def groups(data: Data) -> list[tuple[str, ...]]:
    """The streams that are read together: from files, those of one table with the same times; else each alone."""

    def origin(name: str) -> str:
        own = data.streams[name].model_dump_json(include={"table", "id", "at", "known", "until", "lookup"})
        return own if data.engine.name == "duckdb" else name

    return [tuple(names) for _, names in groupby(sorted(data.streams, key=origin), key=origin)]


def read(
    source: Source, names: Sequence[str], customers: Sequence[str] | None = None, since: int | None = None
) -> Iterator[Rows]:
    """The rows of streams that are read together, batch by batch, in one pass over their table.

    customers: only theirs, when given. since: only rows known on that day or later or without a time, and some of the
    two days before. Raises DataError on a missing column, a wrong type, a value that is no number.
    """
    label = label_of(source.data, names)
    if source.data.engine.name != "duckdb":
        query = rolled(source, names[0], customers, since)
        return (of_rolled(batch, source.data, names[0]) for batch in source.batches(query, label))
    table = table_of(source, names[0])
    roles = {name: roles_of(table, source.data, name) for name in names}
    return _scanned(source, columns.only(table, roles[names[0]]["id"], customers), roles, label, since)


def _scanned(
    source: Source, table: Table, roles: dict[str, dict[str, str]], label: str, since: int | None
) -> Iterator[Rows]:
    """Raw rows, localised here; a row belongs to the streams whose bits stand in its mask."""
    streams = {name: source.data.streams[name] for name in roles}
    query: dict[str, Column] = {}
    for role, column in {(role, column) for own in roles.values() for role, column in own.items()}:
        query[f"{role} {column}"] = typed(table[column], role, f"{label}: {column}")
    alone = len(streams) == 1
    bits = [condition(table, stream, name).ifelse(2**i, 0) for i, (name, stream) in enumerate(streams.items())]
    chosen = table.select(**query, mask=reduce(add, bits).cast("int16" if len(bits) < 15 else "int64"))
    chosen = _known_since(chosen.filter(chosen["mask"] > 0), since)
    timed = any(stream.kind == "rating" for stream in streams.values())
    for batch in ahead(source.batches(chosen.drop("mask") if alone else chosen, label)):
        yield _rows(batch, source.data, label, timed)


def rolled(source: Source, name: str, customers: Sequence[str] | None = None, since: int | None = None) -> Table:
    """The query of a stream's daily activity, made where its table is: see ``pushdown.rolled``."""
    spec, table = source.data.streams[name], table_of(source, name)
    roles = roles_of(table, source.data, name)
    table = columns.only(table, roles["id"], customers)
    chosen = table.filter(condition(table, spec, name))
    label = label_of(source.data, [name])
    query = {role: typed(chosen[column], role, f"{label}: {column}") for role, column in roles.items()}
    recent = _known_since(chosen.select(**query), since)
    return pushdown.rolled(recent, source.data, label, rating=spec.kind == "rating")


def of_rolled(batch: pa.Table, data: Data, name: str) -> Rows:
    """A piece of ``rolled``. Raises DataError on values that are no micro-units."""
    spec = data.streams[name]
    rows = pushdown.checked(batch, label_of(data, [name]))
    arrays = {column: pc.fill_null(rows[column], NEVER).to_numpy() for column in ("day", "known")}
    own = {column: rows[column].to_numpy() for column in ("count", "until", "time") if column in rows.column_names}
    totals = {spec.value: (rows["total"].to_numpy(), rows["valued"].to_numpy())} if spec.value else {}
    entities = {spec.entity: rows["entity"]} if spec.entity else {}
    return Rows(rows["id"], **arrays, **own, totals=totals, entities=entities)


def label_of(data: Data, names: Sequence[str]) -> str:
    """What messages call the streams of one table."""
    return f"{data.streams[names[0]].table} ({', '.join(names)})"


def _known_since(rows: Table, since: int | None) -> Table:
    """Pieces that each test one column: an engine passes over what it need not read only then."""
    if since is None:
        return rows
    day = EPOCH + timedelta(days=int(np.clip(since - 2, -700_000, 2_900_000)))
    at, *known = (rows[name] for name in sorted(rows.columns) if name.split()[0] in ("at", "known"))
    tests = [at >= _moment(day, at), at.isnull()]
    tests += [(column >= _moment(day, column)) & (at < _moment(day, at)) for column in known]
    first, *others = (rows.filter(test) for test in tests)
    return first.union(*others)


def _moment(day: date, like: Column) -> date:
    if like.type().is_date():
        return day
    return datetime(day.year, day.month, day.day, tzinfo=UTC if like.type().timezone else None)


def table_of(source: Source, name: str) -> Table:
    """The table of a stream, with the looked-up column."""
    spec = source.data.streams[name]
    table = source.table(spec.table)
    return _with_lookup(source, table, spec, f"data.yaml: streams.{name}") if spec.lookup else table


def roles_of(table: Table, data: Data, name: str) -> dict[str, str]:
    """Which column plays which role. Raises DataError when one is not there."""
    spec, where = data.streams[name], f"data.yaml: streams.{name}"
    named = {"id": spec.id or data.customers.id, "at": spec.at}
    named |= {role: getattr(spec, role) for role in ("known", "until", "value", "entity") if getattr(spec, role)}
    require(table, spec.table, {f"{where}.{role}": column for role, column in named.items()})
    require(table, spec.table, {f"{where}.where": column for column in spec.where})
    return named


def typed(column: Column, role: str, label: str) -> Column:
    """The column as its role needs it. Raises DataError when it cannot be read so."""
    if role in ("id", "entity"):
        return columns.key(column)
    return columns.number(column, label) if role == "value" else columns.time(column, label)


def condition(table: Table, spec: Stream, name: str) -> Column:
    """Whether a row belongs to the stream. Raises DataError when ``where`` does not fit the columns."""
    tests = [
        _matches(table[column], allowed, f"data.yaml: streams.{name}.where.{column}")
        for column, allowed in spec.where.items()
    ]
    return reduce(lambda both, test: both & test, tests) if tests else columns.always()


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


def _rows(batch: pa.Table, data: Data, label: str, timed: bool) -> Rows:
    """Localised days and micro-units of raw events, whose columns are called role and column."""
    found: dict[str, dict[str, pa.ChunkedArray]] = {"mask": {}}
    for name in batch.column_names:
        role, _, column = name.partition(" ")
        found.setdefault(role, {})[column] = batch[name]
    alone = {role: next(iter(own.values())) for role, own in found.items() if own}
    day, time = columns.days(alone["at"], data)
    known = np.maximum(day, columns.days(alone["known"], data, fill=-(2**31))[0]) if "known" in alone else day
    return Rows(
        alone["id"],
        day,
        known,
        mask=alone["mask"].to_numpy() if "mask" in alone else None,
        until=columns.days(alone["until"], data)[0] if "until" in alone else None,
        time=time if timed else None,
        totals={column: micro(values, label) for column, values in found.get("value", {}).items()},
        entities=found.get("entity", {}),
    )


def micro(column: pa.ChunkedArray, label: str) -> tuple[np.ndarray, np.ndarray]:
    """Values as int64 micro-units, and which are there."""
    column = column.cast(pa.float64())
    value = columns.filled(column, 0.0)
    wrong = ~(np.abs(value) < LIMIT)
    if wrong.any():
        raise DataError(f"{label}: {wrong.sum():,} values are NaN, infinite or over 9.2e12; use null or rescale")
    return np.rint(value * 1e6).astype(np.int64), column.is_valid().to_numpy().astype(np.int8)
