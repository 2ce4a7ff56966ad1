"""The rows of one list in one file that is mapped, not read: features, scores and reasons, by customer.

The file is two Arrow streams, one after the other: the rows, then those left out with their status. Its name holds the
SHA-256 of its bytes, and equal lists give equal bytes, in whatever order their parts came.
"""

import json
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from features.errors import DataError
from serving.lists.layout import CATEGORY, HEAD, TEXTS, Layout, Said, Stored, matrix
from serving.words.sentences import Fact
from training.columns import Column

LEFT_OUT = pa.schema({"customer_id": pa.string(), "status": pa.string()})
DAMAGED = "is no list of this version; make it again: python -m serving daily CONFIG"


class Ids:
    """The customers of some batches, in order, looked up where they lie."""

    def __init__(self, batches: Sequence[pa.RecordBatch]):
        ids = [batch.column("customer_id") for batch in batches]
        self.starts = np.cumsum([0, *(len(own) for own in ids)]).tolist()
        self._first = [own[0].as_py().encode() for own in ids]
        self._bytes = [_bytes(own) for own in ids]

    def position(self, customer_id: str) -> int | None:
        key = customer_id.encode("utf-8", "surrogatepass")
        batch = bisect_right(self._first, key) - 1
        if batch < 0:
            return None
        offsets, data = self._bytes[batch]
        size = self.starts[batch + 1] - self.starts[batch]
        place = bisect_left(range(size), key, key=lambda row: data[offsets[row] : offsets[row + 1]].tobytes())
        found = place < size and data[offsets[place] : offsets[place + 1]] == key
        return self.starts[batch] + place if found else None

    def at(self, position: int) -> tuple[int, int]:
        """The batch of a position, and the row in it."""
        batch = bisect_right(self.starts, position) - 1
        return batch, position - self.starts[batch]


def _bytes(texts: pa.StringArray) -> tuple[memoryview, memoryview]:
    _, offsets, data = texts.buffers()
    view = memoryview(offsets).cast("B").cast("i")
    return view[texts.offset : texts.offset + len(texts) + 1], memoryview(data or b"").cast("B")


class Rows:
    """A list's file. Raises DataError when it is none, OSError when it cannot be opened. A position is 0 … len − 1."""

    def __init__(self, path: Path):
        with pa.memory_map(str(path)) as source:
            try:
                stream = pa.ipc.open_stream(source)
                self._batches = [batch for batch in stream if batch.num_rows]
                self._others = [batch for batch in pa.ipc.open_stream(source) if batch.num_rows]
                self.about: dict[str, Any] = json.loads((stream.schema.metadata or {})[HEAD])
                self.layout = Layout.parse(self.about)
            except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
                raise DataError(f"{path.name}: {DAMAGED} ({type(error).__name__})") from None
        self._schema = stream.schema
        self._ids, self._left_out = Ids(self._batches), Ids(self._others)
        self._texts = {name: [batch.column(name) for batch in self._batches] for name in stream.schema.names[:-2]}
        self._figures = [matrix(batch, "figures") for batch in self._batches]
        self._leads = [matrix(batch, "lead") for batch in self._batches]
        self._said = Said(self.layout)
        self.plan = self._said.plan

    def __len__(self) -> int:
        return self._ids.starts[-1]

    def position(self, customer_id: str) -> int | None:
        """Where a customer's row is; None when the list has none."""
        return self._ids.position(customer_id)

    def status(self, customer_id: str) -> str:
        """ok, why the customer was left out, or unknown_customer."""
        if self.position(customer_id) is not None:
            return "ok"
        place = self._left_out.position(customer_id)
        if place is None:
            return "unknown_customer"
        batch, row = self._left_out.at(place)
        return self._others[batch].column("status")[row].as_py()

    def left_out(self) -> list[dict[str, str]]:
        """customer_id and status of everybody left out, by customer."""
        return [row for batch in self._others for row in batch.to_pylist()]

    def text(self, position: int, name: str) -> str | None:
        """One of TEXTS of a row; the renewal as an ISO date."""
        batch, row = self._ids.at(position)
        return self._texts[name][batch][row].as_py()

    def values(self, position: int) -> dict[str, Fact]:
        """The raw features of a row: whole floats as int, null as None."""
        batch, row = self._ids.at(position)
        return self._said.values(self._figures[batch][row].tolist(), self._categories(batch, row))

    def stored(self, position: int, limit: int | None = None) -> Stored:
        """What the list says of a customer, as the store holds it. limit: only so many families, the largest."""
        batch, row = self._ids.at(position)
        figures, leads = self._figures[batch][row].tolist(), self._leads[batch][row].tolist()
        band = self._texts["band"][batch][row].as_py()
        return self._said.stored(figures, leads, self._categories(batch, row), band, limit)

    def _categories(self, batch: int, row: int) -> list[str | None]:
        return [self._texts[CATEGORY + name][batch][row].as_py() for name in self.layout.categories]

    def matrix(self, positions: Sequence[int] | np.ndarray, columns: Sequence[Column]) -> np.ndarray:
        """(n, f) float64, what ``Bundle.matrix`` gives of the same rows. Raises DataError."""
        rows = self.gather(positions)
        return self._said.matrix(rows, columns)

    def gather(self, positions: Sequence[int] | np.ndarray) -> pa.RecordBatch:
        """The rows at these positions, in this order."""
        return gathered(self._batches, np.asarray(self._ids.starts), np.asarray(positions, np.int64), self._schema)

    def each(self, positions: Sequence[int] | np.ndarray) -> Iterator[tuple[dict[str, str | None], Stored]]:
        """TEXTS, and what the list says, of the customers at these positions, in this order."""
        rows = self.gather(positions)
        texts = {name: rows.column(name).to_pylist() for name in TEXTS}
        categories = [rows.column(CATEGORY + name).to_pylist() for name in self.layout.categories]
        figures, leads = matrix(rows, "figures").tolist(), matrix(rows, "lead").tolist()
        others = zip(*categories) if categories else ((),) * len(figures)
        for told, figure, lead, other in zip(zip(*texts.values()), figures, leads, others):
            own = dict(zip(texts, told))
            yield own, self._said.stored(figure, lead, other, own["band"], None)

    def read(self, positions: Sequence[int]) -> pd.DataFrame:
        """The features of the rows at these positions, in this order, with TEXTS; null is NaN in numbers."""
        rows = self.gather(positions)
        own = matrix(rows, "figures")[:, self._said.numbers :]
        columns = {name: rows.column(name).to_pandas() for name in TEXTS}
        columns |= {name: own[:, place] for place, name in enumerate(self.layout.numbers)}
        columns |= {name: rows.column(CATEGORY + name).to_pandas() for name in self.layout.categories}
        return pd.DataFrame(columns)


def gathered(
    batches: Sequence[pa.RecordBatch], starts: np.ndarray, positions: np.ndarray, schema: pa.Schema
) -> pa.RecordBatch:
    """The rows at these positions of all batches, in this order. starts: where each batch begins, and the end."""
    if not len(positions):
        return pa.RecordBatch.from_pylist([], schema)
    owner = np.searchsorted(starts, positions, side="right") - 1
    order = np.argsort(owner, kind="stable")
    used, first = np.unique(owner[order], return_index=True)
    pieces = [
        batches[batch].take(pa.array(positions[own] - starts[batch]))
        for batch, own in zip(used.tolist(), np.split(order, first[1:]))
    ]
    back = np.empty_like(order)
    back[order] = np.arange(len(order))
    return pa.concat_batches(pieces).take(pa.array(back)) if len(pieces) > 1 else pieces[0]
