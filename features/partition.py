"""The rows that became known on one day, rolled up, in one order, as one Parquet file: equal rows, equal bytes."""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from features.calendar import NEVER
from features.erased import Erased
from features.errors import DataError
from features.events import Rows
from features.rollup import counting_sort
from features.scratch import Scratch, Space

PIECE = 2_000_000
_SUMS = ("count", "valued", "total")


@dataclass(frozen=True)
class Partition:
    """One known day on disk: its file, told by its content, with its size and the number of events in it."""

    file: str
    size: int
    events: int


class Waiting:
    """Rows on their way into the store. ``days``: known day -> rows; NEVER is the day of those without a time."""

    def __init__(self, name: str, ratings: int):
        """ratings: the bits of the streams whose rows are never put together."""
        self._scratch, self._ratings = Scratch(Space(), name), ratings
        self.days: dict[int, int] = {}

    def add(self, rows: Rows, since: int, erased: Erased) -> None:
        """Take the rows known on ``since`` or later, and those without a time, but for those of who was erased."""
        batch, others = _batch(rows), erased.kept(rows.id)
        batch = batch if others is None else batch.filter(others.combine_chunks())
        known = batch["known"].to_numpy()
        batch = batch.filter(pa.array(known >= since)) if (known < since).any() else batch
        if batch.num_rows:
            for own in batch["known"].value_counts().to_pylist():
                self.days[own["values"]] = self.days.get(own["values"], 0) + own["counts"]
            self._scratch.add(batch)

    def close(self) -> None:
        """Everything is there: from now on days are taken."""
        self._scratch.close()

    def day(self, known: int) -> Iterator[pa.Table]:
        """The rolled-up rows of a known day; more than memory should hold come in pieces of whole days occurred."""
        code = min(known, NEVER - 1)
        rows = self._scratch.read(code, code + 1)
        assert rows is not None
        if rows.num_rows <= PIECE:
            yield rolled(rows, self._ratings)
            return
        inner = Scratch(Space(), "days")
        for batch in rows.to_batches():
            inner.add(batch.set_column(0, "code", pc.min_element_wise(batch["day"], pa.scalar(NEVER - 1, pa.int32()))))
        inner.close()
        for first, end in _bounds(rows["day"]):
            piece = inner.read(first, end)
            assert piece is not None
            yield rolled(piece, self._ratings)


def _bounds(days: pa.ChunkedArray) -> Iterator[tuple[int, int]]:
    """Ranges of days of about PIECE rows each."""
    counts = sorted((own["values"], own["counts"]) for own in days.value_counts().to_pylist())
    first, rows = counts[0][0], 0
    for day, number in counts:
        if rows and rows + number > PIECE:
            yield first, day
            first, rows = day, 0
        rows += number
    yield first, min(counts[-1][0], NEVER - 1) + 1


def _batch(rows: Rows) -> pa.RecordBatch:
    columns = {"code": np.minimum(rows.known, NEVER - 1), "id": rows.id, "day": rows.day, "known": rows.known}
    own = {"mask": rows.mask, "time": rows.time, "count": rows.count}
    columns |= {name: column for name, column in own.items() if column is not None}
    for column, (total, valued) in rows.totals.items():
        columns |= {f"valued {column}": valued, f"total {column}": total}
    columns |= {f"entity {column}": values for column, values in rows.entities.items()}
    (batch,) = pa.table(columns).combine_chunks().to_batches() or [pa.RecordBatch.from_pydict(columns)]
    return batch


def rows_of(table: pa.Table, late: bool) -> Rows:
    """Rows of the store as they came. late: the table told when each row became known."""
    arrays = {name: table[name].to_numpy() for name in table.column_names if name.split()[0] not in ("id", "entity")}
    of_values = [name.removeprefix("total ") for name in arrays if name.startswith("total ")]
    return Rows(
        table["id"],
        arrays["day"],
        arrays["known"] if late else arrays["day"],
        **{name: arrays[name] for name in ("mask", "time", "count") if name in arrays},
        totals={column: (arrays[f"total {column}"], arrays[f"valued {column}"]) for column in of_values},
        entities={
            name.removeprefix("entity "): table[name] for name in table.column_names if name.startswith("entity ")
        },
    )


def rolled(rows: pa.Table, ratings: int) -> pa.Table:
    """One row per day, id, entities and streams, with sums, in this order; ratings stay one by one.

    Raises DataError when a sum could leave the range of int64 micro-units.
    """
    columns = {name: rows[name].combine_chunks() for name in rows.column_names if name != "code"}
    size = rows.num_rows
    single = np.full(size, bool(ratings)) if "mask" not in columns else (columns["mask"].to_numpy() & ratings) > 0
    if "time" in columns:
        columns["time"] = pa.array(np.where(single, columns["time"].to_numpy(), 0))
    columns.setdefault("count", pa.array(np.ones(size, np.int64)))
    sums = [name for name in columns if name.split()[0] in _SUMS]
    keys = {name: _key(columns[name]) for name in sorted(columns.keys() - sums, key=_place)}
    order = np.arange(size)
    for key in reversed([*keys.values(), *(columns[name].to_numpy() for name in sums if single.any())]):
        order = counting_sort(order, np.array(key))
    new = np.ones(size, bool)
    new[1:] = np.any([key[order[1:]] != key[order[:-1]] for key in keys.values()], axis=0) | single[order[1:]]
    first = np.flatnonzero(new)
    out = {name: columns[name].take(pa.array(order[first])) for name in keys}
    return pa.table(out | {name: _added(columns[name].to_numpy()[order], first) for name in sums})


def _place(column: str) -> tuple[int, str]:
    first = ("day", "id", "known")
    return (first.index(column) if column in first else len(first)), column


def _key(column: pa.Array) -> np.ndarray:
    """Numbers in the order of the values, equal for equal ones; null comes first."""
    if pa.types.is_integer(column.type) and not column.null_count:
        return column.to_numpy()
    coded = column.dictionary_encode()
    rank = np.empty(len(coded.dictionary) + 1, np.int32)
    rank[pc.sort_indices(coded.dictionary).to_numpy()] = np.arange(len(coded.dictionary), dtype=np.int32)
    rank[-1] = -1
    return rank[pc.fill_null(coded.indices, -1).to_numpy()]


def _added(values: np.ndarray, first: np.ndarray) -> np.ndarray:
    if len(first) and np.add.reduceat(np.abs(values.astype(np.float64)), first).max() >= 2.0**62:
        raise DataError("values: one customer's sum is over 4.6e12; sums are exact in int64 micro-units: rescale them")
    return np.add.reduceat(values, first) if len(first) else values


def named(known: int) -> str:
    """How a known day is called on disk."""
    return "without-time" if known == NEVER else str(np.datetime64(known, "D"))


def size(path: Path) -> int:
    """In bytes; -1 when there is no such file."""
    return path.stat().st_size if path.is_file() else -1


def write(folder: Path, name: str, pieces: Iterator[pa.Table]) -> Partition:
    """Write a file that appears whole or not at all; one of the same content stays. Raises OSError."""
    half, writer, events = folder / f".{name}.half", None, 0
    try:
        for piece in pieces:
            writer = writer or pq.ParquetWriter(half, piece.schema, compression="zstd", write_page_checksum=True)
            writer.write_table(piece, row_group_size=max(piece.num_rows, 1))
            events += pc.sum(piece["count"]).as_py()
    finally:
        if writer:
            writer.close()
    with half.open("rb") as file:
        os.fsync(file.fileno())
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    made = Partition(f"{name}.{digest[:16]}.parquet", half.stat().st_size, events)
    os.replace(half, folder / made.file)
    return made


def read(path: Path) -> Iterator[pa.Table]:
    """The rows of a file, piece by piece. Raises DataError when it is damaged."""
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            for group in range(file.num_row_groups):
                yield file.read_row_group(group)
    except (pa.ArrowException, OSError) as error:
        raise DataError(
            f"{path}: cannot be read ({str(error).splitlines()[0]}); "
            "build the store again: python -m features update CONFIG --rebuild"
        ) from None
