"""Columns in: text, numbers, flags and times of one meaning, or one error that says what was found."""

import ibis.expr.datatypes as dt
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features import calendar
from features.calendar import NEVER
from features.data_config import Data
from features.errors import DataError
from features.sources import Column, fetch

_ZONED = r":[0-9]{2}([.,][0-9]+)?\s*([zZ]|[+-][0-9]{2}(:?[0-9]{2})?)$"
_YES, _NO = ["true", "t", "yes", "y", "1"], ["false", "f", "no", "n", "0"]


def text(column: Column) -> Column:
    """An id as text: 12 and 12.0 are both "12"; blank is null."""
    if column.type().is_floating():
        column = column.cast("int64")
    return column.strip().nullif("") if column.type().is_string() else column.cast("string")


def flag(column: Column, label: str) -> Column:
    """Yes or no as 1.0 or 0.0."""
    kind = column.type()
    if not (kind.is_boolean() or kind.is_numeric() or kind.is_string()):
        raise DataError(f"{label}: {kind} found where a flag is needed; allowed: true/false or 1/0")
    if not kind.is_string():
        return (column.cast("float64") != 0).cast("float64")
    alone = column.name("text").as_table()
    plain = alone["text"].strip().nullif("").lower()
    bad = fetch(alone.aggregate(bad=(~plain.isin(_YES + _NO)).sum()), label)["bad"][0].as_py()
    if bad:
        raise DataError(f"{label}: {bad:,} values are neither true nor false; allowed: true/false, yes/no, 1/0")
    return column.strip().nullif("").lower().isin(_YES).cast("float64")


def number(column: Column, label: str) -> Column:
    """A numeric column; text is parsed when all of it is numbers."""
    if column.type().is_numeric() or column.type().is_boolean():
        return column.cast("float64")
    if not column.type().is_string():
        raise DataError(f"{label}: {column.type()} found where a number is needed; convert or name another column")
    alone = column.name("text").as_table()
    trimmed = alone["text"].strip().nullif("")
    wrong = (trimmed.try_cast("float64").isnull() & trimmed.notnull()).sum()
    bad = fetch(alone.aggregate(bad=wrong), label)["bad"][0].as_py()
    if bad:
        raise DataError(f"{label}: {bad:,} values are text, not numbers; convert or name another column")
    return column.strip().nullif("").try_cast("float64")


def time(column: Column, label: str) -> Column:
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
    found = alone.aggregate(zoned=zoned.sum(), dates=dates.sum(), rows=trimmed.count(), bad=unreadable.sum())
    row = fetch(found, label).to_pylist()[0]
    zoned_rows, date_rows, rows, bad = (row[key] or 0 for key in ("zoned", "dates", "rows", "bad"))
    if bad:
        raise DataError(
            f"{label}: {bad:,} of {rows:,} values are no time stamps; write 2025-01-31 or 2025-01-31T09:30:00Z"
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


def days(column: pa.ChunkedArray, data: Data, fill: int = NEVER) -> tuple[np.ndarray, np.ndarray]:
    """Local days (int32) and instants (int64 µs UTC) of a date or time stamp column; nulls get ``fill``."""
    kind, nulls = column.type, column.is_null().to_numpy()
    if pa.types.is_date(kind):
        day = pc.fill_null(column.cast(pa.date32()).cast(pa.int32()), 0).to_numpy()
        instant = calendar.midnights(day, data.timezone)
    else:
        wall = pc.fill_null(column.cast(pa.timestamp("us", kind.tz), safe=False).cast(pa.int64()), 0).to_numpy()
        instant = wall if kind.tz else calendar.instants(wall, data.naive_times)
        day = calendar.local_days(instant, data.timezone)
    return np.where(nulls, fill, day).astype(np.int32), instant
