"""Columns in: text, numbers, flags and times of one meaning, or one error that says what was found.

The same on every engine: a text is checked against one pattern before it is cast, so that no engine judges it.
"""

import re
from collections.abc import Sequence

import ibis
import ibis.expr.datatypes as dt
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features import calendar
from features.calendar import NEVER
from features.data_config import Data
from features.errors import DataError
from features.sources import Column, Table, fetch

_NUMBER = r"^[+-]?(([0-9]{1,200}([.][0-9]*)?|[.][0-9]{1,200})(e[+-]?[0-9]{1,2})?|nan|inf(inity)?)$"
_MONTHS = r"((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))"
_LEAP = r"([0-9][0-9](0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)-02-29"
_DATE = rf"([0-9]{{4}}-{_MONTHS}|{_LEAP})"
_MINUTE, _SECOND = r"[ T]([01][0-9]|2[0-3]):[0-5][0-9]", r":[0-5][0-9]([.][0-9]{1,9})?"
_ZONE = r" *([zZ]|[+-](0[0-9]|1[0-4])(:?[0-5][0-9])?)"
_TIME = rf"^{_DATE}({_MINUTE}({_SECOND}({_ZONE})?)?)?$"
_ZONED = r":[0-9]{2}([.][0-9]+)? *([zZ]|[+-][0-9]{2}(:?[0-9]{2})?)$"
BLANKS = " \t\n\r\f\v"
_AROUND = r"^[ \t\n\r\f\x0B]+|[ \t\n\r\f\x0B]+$"
_YES, _NO = ["true", "t", "yes", "y", "1"], ["false", "f", "no", "n", "0"]


def key(column: Column, label: str = "") -> Column:
    """An id as a whole number (int64) when its column holds numbers, else as text; blank is null.

    12.0 is 12, as a number and as text; a number that is not finite is null. Raises DataError on numbers with a
    fraction.
    """
    kind, name = column.type(), column.get_name()
    if kind.is_floating():
        column = (column.abs() < 2.0**63).ifelse(column.cast("float64"), ibis.null("float64"))
        problem = "{bad:,} ids are numbers with a fraction; name a column of ids"
        _refuse(column != column.floor(), problem, label or name)
        return column.cast("int64")
    if kind.is_integer() or (kind.is_decimal() and kind.scale == 0 and (kind.precision or 99) <= 18):
        return column.cast("int64")
    return _as_id(_trimmed(column)) if kind.is_string() else column.cast("string")


def _as_id(plain: Column) -> Column:
    """12.0, as programs write whole numbers into CSV files that have gaps, is 12."""
    whole = plain.re_search("^-?[0-9]+[.]0$").ifelse(plain.left(plain.length() - 2), plain)
    return plain.endswith(".0").ifelse(whole, plain)


def text(column: Column) -> Column:
    """An id or a word as text: 12 and 12.0 are both "12"; blank is null."""
    return key(column).cast("string")


def always() -> Column:
    """True for every row."""
    return ibis.literal(True)


def flag(column: Column, label: str) -> Column:
    """Yes or no as 1.0 or 0.0."""
    kind = column.type()
    if not (kind.is_boolean() or kind.is_numeric() or kind.is_string()):
        raise DataError(f"{label}: {kind} found where a flag is needed; allowed: true/false or 1/0")
    if not kind.is_string():
        return _zero_one(column if kind.is_boolean() else column != 0)
    plain = _trimmed(column).lower()
    problem = "{bad:,} values are neither true nor false; allowed: true/false, yes/no, 1/0"
    _refuse(~plain.isin(_YES + _NO), problem, label)
    return _zero_one(plain.isin(_YES))


def number(column: Column, label: str) -> Column:
    """A numeric column; text is parsed when all of it is numbers."""
    kind = column.type()
    if kind.is_boolean():
        return _zero_one(column)
    if kind.is_decimal() and (kind.precision or 99) > 15:  # more digits than DuckDB's own cast gets right
        return column.cast("string").cast("float64")
    if kind.is_numeric():
        return column.cast("float64")
    if not kind.is_string():
        raise DataError(f"{label}: {kind} found where a number is needed; convert or name another column")
    plain = _trimmed(column)
    problem = "{bad:,} values are text, not numbers; convert or name another column"
    _refuse(~plain.lower().re_search(_NUMBER), problem, label)
    return plain.cast("float64")


def only(table: Table, column: str, customers: Sequence[str] | None) -> Table:
    """The rows of these customers, by their id column; all rows when None."""
    if customers is None:
        return table
    own = key(table[column])
    if not own.type().is_integer():
        return table.filter(own.isin(list(customers)))
    return table.filter(own.isin([int(one) for one in customers if re.fullmatch("0|-?[1-9][0-9]{0,17}", one)]))


def time(column: Column, label: str) -> Column:
    """A date or time stamp column; text is parsed when all of it is of one form."""
    kind = column.type()
    if kind.is_timestamp() or kind.is_date():
        return column
    if not kind.is_string():
        raise DataError(f"{label}: {kind} found where a date or time stamp is needed; convert the column")
    zoned_rows, date_rows, rows = _forms(_trimmed(column), label)
    if 0 < zoned_rows < rows:
        raise DataError(
            f"{label}: mixed time zones: {zoned_rows:,} of {rows:,} values carry a zone, the others do not; "
            "write all with a zone or none (then data.yaml: naive_times says which it is)"
        )
    if rows and date_rows == rows:
        return _trimmed(column).cast("date")
    return _iso(column).cast(dt.Timestamp(timezone="UTC") if zoned_rows else "timestamp")


def _forms(plain: Column, label: str) -> tuple[int, int, int]:
    """How many values carry a zone, are dates alone, are there. Raises DataError when one is no time stamp."""
    alone = plain.name("text").as_table()
    words = alone["text"]
    tests = {"zoned": words.re_search(_ZONED), "dates": words.length() <= 10, "bad": ~words.re_search(_TIME)}
    counts = {name: test.ifelse(1, 0).sum() for name, test in tests.items()}
    row = fetch(alone.aggregate(rows=words.count(), **counts), label).to_pylist()[0]
    zoned_rows, date_rows, rows, bad = (row[name] or 0 for name in ("zoned", "dates", "rows", "bad"))
    if bad:
        raise DataError(
            f"{label}: {bad:,} of {rows:,} values are no time stamps; write 2025-01-31 or 2025-01-31T09:30:00Z"
        )
    return zoned_rows, date_rows, rows


def _iso(column: Column) -> Column:
    """Time stamps as every engine reads them: with seconds, six digits of a second at most, no blank but one."""
    plain = _trimmed(column).upper()
    plain = (plain.length() == 16).ifelse(plain.concat(":00"), plain)
    compact = plain.left(10).concat("T", plain.substr(11).replace(" ", ""))
    group = "$1" if column.get_backend().name == "pyspark" else r"\1"
    return (plain.length() > 10).ifelse(compact, plain).re_replace("([.][0-9]{6})[0-9]+", group)


def _trimmed(column: Column) -> Column:
    """Text without ``BLANKS`` around it; null where nothing is left."""
    if column.get_backend().name == "pyspark":  # its own strip takes the letters v and f as blanks
        return column.re_replace(_AROUND, "").nullif("")
    return column.strip().nullif("")


def _zero_one(column: Column) -> Column:
    return column.cast("int32").cast("float64")


def _refuse(wrong: Column, problem: str, label: str) -> None:
    """Raise DataError with the number of rows where ``wrong`` is true."""
    found = wrong.name("wrong").as_table()
    bad = fetch(found.aggregate(bad=found["wrong"].ifelse(1, 0).sum()), label)["bad"][0].as_py()
    if bad:
        raise DataError(f"{label}: {problem.format(bad=bad)}")


def days(column: pa.ChunkedArray, data: Data, fill: int = NEVER) -> tuple[np.ndarray, np.ndarray]:
    """Local days (int32) and instants (int64 µs UTC) of a date or time stamp column; nulls get ``fill``."""
    kind = column.type
    if pa.types.is_date(kind):
        day = filled(_as(column, pa.date32()), 0).astype(np.int32)
        instant = calendar.midnights(day, data.timezone)
    else:
        wall = filled(_as(column, pa.timestamp("us", kind.tz)), 0).view(np.int64)
        instant = wall if kind.tz else calendar.instants(wall, data.naive_times)
        day = calendar.local_days(instant, data.timezone)
    if column.null_count:
        day = np.where(column.is_null().to_numpy(), fill, day)
    return day.astype(np.int32, copy=False), instant


def _as(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    return column if column.type == kind else column.cast(kind, safe=False)


def filled(column: pa.ChunkedArray, value: float) -> np.ndarray:
    """The column as an array, with a value where it is null."""
    return (pc.fill_null(column, value) if column.null_count else column).to_numpy()
