"""Tables through Ibis on DuckDB: Parquet, CSV and DuckDB files in, checked columns out."""

import glob
import os
from collections.abc import Sequence

import duckdb
import ibis
import ibis.expr.datatypes as dt
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from ibis.common.exceptions import IbisError

from features import calendar
from features.calendar import NEVER
from features.config import Data, Scalar
from features.errors import ConfigError, DataError
from features.rollup import Events

LIMIT = 2**63 / 1e6
_ZONED = r":[0-9]{2}([.,][0-9]+)?\s*([zZ]|[+-][0-9]{2}(:?[0-9]{2})?)$"


class Source:
    """The tables that one ``data.yaml`` names. Reads only; every failure is a DataError that says where."""

    def __init__(self, data: Data):
        self.data = data
        try:
            self.folder = data.root.folder()
        except ConfigError as error:
            raise ConfigError(f"data.yaml: {error}") from None
        self.connection = ibis.duckdb.connect(threads=int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1))
        self.attached: dict[str, str] = {}

    def table(self, name: str) -> ibis.Table:
        """A table by its name in the YAML: a Parquet or CSV file or glob, or ``file.duckdb:table``."""
        try:
            if ".duckdb:" in name:
                file, _, inner = name.rpartition(":")
                path = self._existing(name, file)[0]
                if path not in self.attached:
                    self.attached[path] = f"file_{len(self.attached)}"
                    self.connection.attach(path, self.attached[path], read_only=True)
                return self.connection.table(inner, database=(self.attached[path], "main"))
            paths = self._existing(name, name)
            if name.endswith((".csv", ".csv.gz")):
                return self.connection.read_csv(paths, all_varchar=True, header=True)
            return self.connection.read_parquet(paths)
        except (duckdb.Error, IbisError) as error:
            reason = str(error).splitlines()[0]
            raise DataError(f"{name}: cannot be read ({reason}); give a Parquet, CSV or DuckDB table") from None

    def _existing(self, name: str, file: str) -> list[str]:
        if not file.endswith((".parquet", ".csv", ".csv.gz", ".duckdb")):
            raise DataError(f"{name}: unknown kind of table; allowed: *.parquet, *.csv, *.csv.gz, file.duckdb:table")
        paths = sorted(glob.glob(str(self.folder / file)))
        if not paths:
            raise DataError(f"{name}: no such file in {self.folder}; check data.yaml: root and the table's name")
        return paths

    def fetch(self, table: ibis.Table, name: str) -> pa.Table:
        """Run the query. Raises DataError when the engine cannot."""
        try:
            return table.to_pyarrow()
        except (duckdb.Error, IbisError) as error:
            raise DataError(f"{name}: cannot be read ({str(error).splitlines()[0]}); check the file") from None

    def events(self, stream: str, index: pd.Index, customers: Sequence[str] | None = None) -> tuple[Events, dict]:
        """The events of a stream, localised, and what was left out: counts by reason.

        index: the customer ids, whose positions are the codes. customers: only theirs, when given.
        """
        spec = self.data.streams[stream]
        where = f"data.yaml: streams.{stream}"
        table = self.table(spec.table)
        if spec.lookup:
            table = self._with_lookup(table, spec, where)
        id_column = spec.id or self.data.customers.id
        columns = {"id": id_column, "at": spec.at, "known": spec.known, "until": spec.until}
        columns |= {"value": spec.value, "entity": spec.entity}
        wanted = {role: name for role, name in columns.items() if name}
        require(table, spec.table, {f"{where}.{role}": name for role, name in wanted.items()})
        require(table, spec.table, {f"{where}.where": name for name in spec.where})
        for column, allowed in spec.where.items():
            table = table.filter(_matches(table[column], allowed, f"{where}.where.{column}"))
        query = {role: table[name] for role, name in wanted.items()} | {"id": text(table[id_column])}
        if spec.entity:
            query["entity"] = text(table[spec.entity])
        table = table.select(**query)
        if customers is not None:
            table = table.filter(table["id"].isin(list(customers)))
        label = f"{spec.table} ({stream})"
        rows = self.fetch(self._parsed(table, label, wanted), label)
        if rows.num_rows == 0 and customers is None:
            raise DataError(f"{label}: no row; give a table with events, or change {where}.where")
        return self._encode(rows, index, label, empty_is_fine=customers is not None)

    def _with_lookup(self, table: ibis.Table, spec, where: str) -> ibis.Table:
        lookup = spec.lookup
        other = self.table(lookup.table)
        key = lookup.key or lookup.on
        require(table, spec.table, {f"{where}.lookup.key": key})
        require(other, lookup.table, {f"{where}.lookup.on": lookup.on, f"{where}.lookup.take": lookup.take})
        taken = other.select(_key=other[lookup.on], **{lookup.take: other[lookup.take]}).distinct(on="_key")
        return table.drop(*{lookup.take} & set(table.columns)).left_join(taken, table[key] == taken["_key"])

    def _parsed(self, table: ibis.Table, label: str, wanted: dict[str, str]) -> ibis.Table:
        """Text columns (CSV) become times and numbers, or the table is refused."""
        parsed = {}
        for role, name in wanted.items():
            kind = table[role].type()
            if role in ("at", "known", "until"):
                parsed[role] = self.time(table[role], f"{label}: {name}")
            elif role == "value" and not (kind.is_numeric() or kind.is_boolean()):
                parsed[role] = self.number(table[role], f"{label}: {name}")
        return table.mutate(**parsed)

    def time(self, column: ibis.Value, label: str) -> ibis.Value:
        """A date or time stamp column; text is parsed when all of it is of one form."""
        kind = column.type()
        if kind.is_timestamp() or kind.is_date():
            return column
        if not kind.is_string():
            raise DataError(f"{label}: {kind} found where a date or time stamp is needed; convert the column")
        alone = column.name("text").as_table()
        trimmed = alone["text"].strip().nullif("")
        zoned = trimmed.re_search(_ZONED)
        dates = trimmed.length() <= 10
        unreadable = trimmed.try_cast(dt.Timestamp(timezone="UTC")).isnull() & trimmed.notnull()
        found = alone.aggregate(
            zoned=zoned.sum(), dates=dates.sum(), rows=trimmed.count(), bad=unreadable.sum()
        )
        row = self.fetch(found, label).to_pylist()[0]
        zoned_rows, date_rows, rows, bad = (row[key] or 0 for key in ("zoned", "dates", "rows", "bad"))
        if bad:
            raise DataError(
                f"{label}: {bad:,} of {rows:,} values are no time stamps; "
                "write 2025-01-31 or 2025-01-31T09:30:00Z"
            )
        if 0 < zoned_rows < rows:
            raise DataError(
                f"{label}: mixed time zones: {zoned_rows:,} of {rows:,} values carry a zone, the others do not; "
                "write all with a zone or none (then data.yaml: naive_times says which it is)"
            )
        trimmed = column.strip().nullif("")
        if rows and date_rows == rows:
            return trimmed.cast("date")
        return trimmed.cast(dt.Timestamp(timezone="UTC") if zoned_rows else "timestamp")

    def number(self, column: ibis.Value, label: str) -> ibis.Value:
        """A numeric column; text is parsed when all of it is numbers."""
        if column.type().is_numeric() or column.type().is_boolean():
            return column.cast("float64")
        if not column.type().is_string():
            raise DataError(f"{label}: {column.type()} found where a number is needed; convert or name another column")
        alone = column.name("text").as_table()
        trimmed = alone["text"].strip().nullif("")
        wrong = (trimmed.try_cast("float64").isnull() & trimmed.notnull()).sum()
        bad = self.fetch(alone.aggregate(bad=wrong), label)["bad"][0].as_py()
        if bad:
            raise DataError(f"{label}: {bad:,} values are text, not numbers; convert or name another column")
        return column.strip().nullif("").try_cast("float64")

    def days(self, column: pa.ChunkedArray, fill: int = NEVER) -> tuple[np.ndarray, np.ndarray]:
        """Local days (int32) and instants (int64 µs UTC) of a date or time stamp column; nulls get ``fill``."""
        kind, nulls = column.type, column.is_null().to_numpy()
        if pa.types.is_date(kind):
            day = pc.fill_null(column.cast(pa.date32()).cast(pa.int32()), 0).to_numpy()
            instant = calendar.midnights(day, self.data.timezone)
        else:
            wall = pc.fill_null(column.cast(pa.timestamp("us", kind.tz), safe=False).cast(pa.int64()), 0).to_numpy()
            instant = wall if kind.tz else calendar.instants(wall, self.data.naive_times)
            day = calendar.local_days(instant, self.data.timezone)
        return np.where(nulls, fill, day).astype(np.int32), instant

    def _encode(self, rows: pa.Table, index: pd.Index, label: str, empty_is_fine: bool) -> tuple[Events, dict]:
        customer = pc.index_in(rows["id"], pa.array(index, pa.string()))
        usable = pc.and_(customer.is_valid(), rows["at"].is_valid())
        lost = {
            "without_time": rows["at"].null_count,
            "without_id": rows["id"].null_count,
            "of_unknown_customers": pc.sum(pc.and_(customer.is_null(), rows["id"].is_valid())).as_py() or 0,
        }
        if lost["without_time"] == rows.num_rows and not empty_is_fine:
            raise DataError(f"{label}: all {rows.num_rows:,} time stamps are null; name the column that holds the time")
        rows, customer = rows.filter(usable), customer.filter(usable)
        day, time = self.days(rows["at"])
        known = day
        if "known" in rows.column_names:
            known = np.maximum(day, self.days(rows["known"], fill=-(2**31))[0])
        value, valued = self._micro(rows, label, empty_is_fine)
        entity = np.full(len(day), -1, np.int32)
        if "entity" in rows.column_names:
            codes = rows["entity"].combine_chunks().dictionary_encode().indices
            entity = pc.fill_null(codes, -1).to_numpy(zero_copy_only=False).astype(np.int32)
        until = self.days(rows["until"])[0] if "until" in rows.column_names else np.full(len(day), 0, np.int32)
        code = customer.to_numpy().astype(np.int32)
        return Events(code, day, known, time, value, valued, entity, until), lost

    @staticmethod
    def _micro(rows: pa.Table, label: str, empty_is_fine: bool) -> tuple[np.ndarray, np.ndarray]:
        if "value" not in rows.column_names:
            return np.zeros(rows.num_rows, np.int64), np.zeros(rows.num_rows, bool)
        column = rows["value"].cast(pa.float64())
        valued = column.is_valid().to_numpy()
        if rows.num_rows and not valued.any() and not empty_is_fine:
            raise DataError(f"{label}: every value is null; name another column or leave `value` out")
        value = pc.fill_null(column, 0.0).to_numpy()
        wrong = ~np.isfinite(value) | (np.abs(value) >= LIMIT)
        if wrong.any():
            raise DataError(f"{label}: {wrong.sum():,} values are NaN, infinite or over 9.2e12; use null or rescale")
        return np.rint(value * 1e6).astype(np.int64), valued


def text(column: ibis.Value) -> ibis.Value:
    """An id as text: 12 and 12.0 are both "12"; blank is null."""
    if column.type().is_floating():
        column = column.cast("int64")
    return column.strip().nullif("") if column.type().is_string() else column.cast("string")


def require(table: ibis.Table, name: str, columns: dict[str, str]) -> None:
    """Raise DataError unless the table has the columns; keys are the YAML paths that ask for them."""
    for path, column in columns.items():
        if column not in table.columns:
            there = ", ".join(table.columns)
            raise DataError(f"{path}: {name} has no column {column}; columns: {there}")


def _matches(column: ibis.Value, allowed: Scalar | list[Scalar], path: str) -> ibis.Value:
    values = allowed if isinstance(allowed, list) else [allowed]
    kind = column.type()
    if kind.is_string():
        return column.isin([str(value) for value in values])
    fits = bool if kind.is_boolean() else (int, float) if kind.is_numeric() else ()
    for value in values:
        if not isinstance(value, fits) or (isinstance(value, bool) and not kind.is_boolean()):
            raise DataError(f"{path}: {value!r} cannot equal a column of type {kind}; write values of that type")
    return column.isin(values)

