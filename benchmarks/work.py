"""The work that every engine is timed on: the question, the command line, what is done with the answer.

Of four streams, per customer and as-of date: count, active days and sum over 7, 14, 28 and 90 days, and the days since
the last event: 52 columns. A row for every customer with one of these events in [as_of − 90, as_of).
"""

import argparse
import json
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from features.errors import DataError, InputError

STREAMS = ("login", "feature_use", "ticket", "payment")
DAYS = (7, 14, 28, 90)
MEASURES = ("count", "days", "sum")
KEYS = ("customer_id", "as_of")
SOURCE = ("customer_id", "ts", "event", "value")
Engine = Callable[[Path, Sequence[date]], Iterator[pa.Table]]


def columns() -> list[str]:
    """The names of the 52 columns, in order."""
    windows = [f"{measure}_{days}d" for measure in MEASURES for days in DAYS]
    return [f"{stream}_{name}" for stream in STREAMS for name in (*windows, "recency")]


def as_of_dates(number: int) -> list[date]:
    """12 month starts, 2025-02-01 to 2026-01-01, or 52 dates 7 days apart from 2025-01-08."""
    if number == 12:
        return [date(2025, month, 1) for month in range(2, 13)] + [date(2026, 1, 1)]
    return [date(2025, 1, 8) + timedelta(days=7 * week) for week in range(number)]


class Parser(argparse.ArgumentParser):
    """Refuses bad input in one line."""

    def error(self, message: str) -> None:  # type: ignore[override]
        self.exit(2, f"error: {message}\n")


def parser(about: str | None) -> Parser:
    """The arguments that every engine has."""
    made = Parser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--events", type=Path, required=True, metavar="FILE", help="from python -m benchmarks.events")
    made.add_argument("--dates", type=int, choices=(12, 52), required=True, help="how many as-of dates")
    made.add_argument("--out", type=Path, metavar="FILE", help="write every row; without it nothing is written")
    return made


def answer(engine: Engine, chosen: argparse.Namespace) -> int:
    """Run the engine on the chosen events, print one JSON line; returns the exit code."""
    try:
        _require(chosen.events)
        print(json.dumps(consume(engine(chosen.events, as_of_dates(chosen.dates)), chosen.out)))
    except (InputError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def consume(tables: Iterator[pa.Table], out: Path | None) -> dict[str, int | str]:
    """Take every part of an answer once: its number of rows, a checksum of all values, and the rows into ``out``."""
    rows, checksum, writer = 0, Checksum(), None
    try:
        for table in tables:
            part = table.select([*KEYS, *columns()])
            part = part.set_column(1, "as_of", part["as_of"].cast(pa.date32()))
            rows += part.num_rows
            checksum.add(part)
            if out:
                writer = writer or pq.ParquetWriter(out, part.schema)
                writer.write_table(part)
    finally:
        if writer:
            writer.close()
    return {"rows": rows, "columns": len(columns()), "checksum": str(checksum)}


class Checksum:
    """Sum and number of nulls of each column in one figure: the same in any order of rows and parts.

    Totals of sums keep nine digits, so that the order of their additions leaves no trace. Engines that add in floating
    point may have another figure: whether they agree is for ``benchmarks.compare`` to say.
    """

    def __init__(self) -> None:
        self.totals, self.nulls = np.zeros(len(columns())), np.zeros(len(columns()), np.int64)

    def add(self, table: pa.Table) -> None:
        for i, name in enumerate(columns()):
            column = table[name]
            if pa.types.is_floating(column.type) and np.isnan(pc.sum(column, min_count=0).as_py()):
                column = pc.if_else(pc.is_nan(column), None, column)
            self.totals[i] += pc.sum(column, min_count=0).as_py()
            self.nulls[i] += column.null_count

    def __str__(self) -> str:
        exact = ["_sum_" not in name for name in columns()]
        # Decimal totals may lie exactly between two roundings; times pi none does.
        said = [f"{total:.0f}" if whole else f"{total * np.pi:.9g}" for total, whole in zip(self.totals, exact)]
        return f"{zlib.crc32(repr((said, self.nulls.tolist())).encode()):08x}"


def _require(events: Path) -> None:
    if not events.is_file():
        raise DataError(f"{events}: no such file; python -m benchmarks.events 2e6 2e4 {events} makes one")
    try:
        missing = [name for name in SOURCE if name not in pq.read_schema(events).names]
    except pa.ArrowException:
        raise DataError(f"{events}: not a Parquet file; python -m benchmarks.events makes one") from None
    if missing:
        raise DataError(f"{events}: has no {', '.join(missing)}; these columns are needed: {', '.join(SOURCE)}")
