"""Rows while they are gathered: in memory at first, on disk beyond that, read again by range of customers."""

import shutil
import tempfile
import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from features.rollup import counting_sort

IN_MEMORY = 2**28
AT_ONCE = 64


class Space:
    """Where rows wait: memory for the first bytes of all streams together, then files of a folder that goes away."""

    def __init__(self, in_memory: int = IN_MEMORY):
        self.left = in_memory
        self._folder: Path | None = None

    def file(self, name: str) -> Path:
        """A path for the rows of a stream. The folder is below TMPDIR and removed with this object."""
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="tsunagi-"))
            weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        return self._folder / name


class Scratch:
    """Record batches of one stream, each sorted by its column ``code`` (int32)."""

    def __init__(self, space: Space, name: str):
        self._space, self._name = space, name
        self._batches: list[pa.RecordBatch] = []
        self._writer: pa.RecordBatchFileWriter | None = None
        self.rows = 0

    def add(self, batch: pa.RecordBatch) -> None:
        """Keep the rows. Raises OSError when the disk is full."""
        order = counting_sort(np.arange(batch.num_rows, dtype=np.int32), np.array(batch["code"]))
        batch = batch.take(pa.array(order))
        self.rows += batch.num_rows
        if self._space.left > 0:
            self._space.left -= batch.nbytes
            self._batches.append(batch)
            return
        if self._writer is None:
            self._writer = pa.ipc.new_file(str(self._space.file(self._name)), batch.schema)
        self._writer.write_batch(batch)

    def close(self) -> None:
        """Everything is there: from now on rows are read."""
        if self._writer is not None:
            self._writer.close()

    def read(self, first: int, end: int) -> pa.Table | None:
        """The rows with a code in [first, end); None without a row."""
        found = [table for batches in self._all() if (table := _cut(batches, first, end)) is not None]
        return pa.concat_tables(found) if found else None

    def _all(self) -> Iterator[list[pa.RecordBatch]]:
        """Every batch, some at once. Each time the file is mapped anew: what a map has touched counts as memory."""
        yield self._batches
        if self._writer is not None:
            path = str(self._space.file(self._name))
            number = pa.ipc.open_file(pa.memory_map(path)).num_record_batches
            for low in range(0, number, AT_ONCE):
                mapped = pa.ipc.open_file(pa.memory_map(path))
                yield [mapped.get_batch(i) for i in range(low, min(low + AT_ONCE, number))]


def _cut(batches: list[pa.RecordBatch], first: int, end: int) -> pa.Table | None:
    """A copy of the rows with a code in [first, end); None without a row."""
    bounds = np.array([first, end], np.int32)
    places = [np.searchsorted(batch["code"].to_numpy(), bounds) for batch in batches]
    found = [batch.slice(low, high - low) for batch, (low, high) in zip(batches, places) if low < high]
    return pa.Table.from_batches(found).combine_chunks() if found else None
