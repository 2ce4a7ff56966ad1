"""Made-up events of 2025: customers of very different activity, five kinds of event, the same ones for the same seed.

    python -m benchmarks.events 20e6 2e5 events.parquet
    python -m benchmarks.events 20e6 2e5 --daily folder
    python -m benchmarks.events 20e6 2e5 --daily folder --further

``--daily`` writes the year as one file a day, ``--further`` adds the day after the newest of them.
"""

import argparse
import sys
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.work import Parser
from features.calendar import number
from features.errors import DataError, InputError

YEAR, YEAR_DAYS = date(2025, 1, 1), 365
SHARES = {"login": 0.35, "feature_use": 0.5, "ticket": 0.03, "payment": 0.02, "export": 0.1}
CHUNK = 1_000_000
SCHEMA = pa.schema(
    {
        "customer_id": pa.int32(),
        "ts": pa.timestamp("us"),
        "event": pa.dictionary(pa.int32(), pa.string()),
        "value": pa.float32(),
    }
)


def write(path: Path, size: int, customers: int, first: date = YEAR, days: int = YEAR_DAYS, seed: int = 1) -> None:
    """Write ``size`` events of the days from ``first`` on, in random order; memory does not grow with the size."""
    with pq.ParquetWriter(path, SCHEMA, compression="zstd") as writer:
        for table in _chunks(size, customers, first, days, seed):
            writer.write_table(table)


def write_year(folder: Path, size: int, customers: int, seed: int = 1) -> None:
    """Write ``size`` events of the year as one file a day."""
    folder.mkdir(parents=True, exist_ok=True)
    for day, events in enumerate(_per_day(size)):
        _write_day(folder, YEAR + timedelta(days=day), events, customers, seed)


def write_further(folder: Path, size: int, customers: int, seed: int = 1) -> date:
    """Write one further day of a year of ``size`` events; returns the day. DataError when there is no day before it."""
    there = sorted(folder.glob("????-??-??.parquet"))
    if not there:
        raise DataError(f"{folder}: holds no day yet; run --daily {folder} without --further first")
    day = date.fromisoformat(there[-1].stem) + timedelta(days=1)
    _write_day(folder, day, _per_day(size)[(day - YEAR).days % YEAR_DAYS], customers, seed)
    return day


def _per_day(size: int) -> list[int]:
    return np.diff(np.arange(YEAR_DAYS + 1) * size // YEAR_DAYS).tolist()


def _write_day(folder: Path, day: date, size: int, customers: int, seed: int) -> None:
    write(folder / f"{day}.parquet", size, customers, day, 1, seed)


def _chunks(size: int, customers: int, first: date, days: int, seed: int) -> Iterator[pa.Table]:
    activity = np.random.default_rng(seed).gamma(1.0, 1.0, customers).cumsum()
    names = pa.array(list(SHARES))
    for start in range(0, size, CHUNK):
        rng, rows = np.random.default_rng([seed, number(first), start]), min(CHUNK, size - start)
        seconds = number(first) * 86_400 + rng.integers(0, days * 86_400, rows)
        event = rng.choice(len(SHARES), rows, p=list(SHARES.values())).astype(np.int32)
        columns = [
            np.searchsorted(activity, rng.random(rows) * activity[-1], side="right").astype(np.int32),
            seconds.astype("datetime64[s]").astype("datetime64[us]"),
            pa.DictionaryArray.from_arrays(event, names),
            rng.gamma(2.0, 10.0, rows).astype(np.float32),
        ]
        yield pa.table(columns, schema=SCHEMA)


def whole(text: str) -> int:
    """A whole number such as 3 or 20e6. Raises argparse's error unless it is one from 1 to 2e9."""
    try:
        found = float(text)
    except ValueError:
        found = 0.0
    if not 1 <= found <= 2e9 or not found.is_integer():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to 2e9; write it like 3 or 2e6")
    return int(found)


def main() -> int:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("size", type=whole, help="events in the year")
    parser.add_argument("customers", type=whole)
    parser.add_argument("file", type=Path, nargs="?", metavar="FILE")
    parser.add_argument("--daily", type=Path, metavar="FOLDER", help="one file a day instead of FILE")
    parser.add_argument("--further", action="store_true", help="with --daily: only the day after the newest")
    chosen = parser.parse_args()
    if (chosen.file is None) == (chosen.daily is None) or (chosen.further and not chosen.daily):
        parser.error("give either FILE or --daily FOLDER, and --further only with --daily")
    try:
        if chosen.file:
            write(chosen.file, chosen.size, chosen.customers)
        elif chosen.further:
            print(write_further(chosen.daily, chosen.size, chosen.customers))
        else:
            write_year(chosen.daily, chosen.size, chosen.customers)
    except (InputError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
