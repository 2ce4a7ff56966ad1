"""A list in the making: on disk the rows as they come, in memory only what ranks them."""

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from serving.lists.layout import Layout
from serving.lists.rows import LEFT_OUT, gathered
from serving.lists.scoring import GAP, RANKS, SCORE

GROUP = 32_768


class Draft:
    """Give it every part by ``add``, in any order, then ``close`` it, and ``keep`` it. Left, its own files go.

    columns: those of the snapshot that rank the customers, customer_id among them; absent ones are passed over.
    about: what the file says of itself.
    """

    def __init__(self, folder: Path, name: str, columns: Sequence[str], layout: Layout, about: Mapping[str, Any]):
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._name, self._columns = folder, name, (*columns, SCORE, GAP)
        self._schema = layout.schema(about)
        self._parts = pa.OSFile(str(self._path("parts")), "wb")
        self._writer = pa.ipc.new_stream(self._parts, self._schema)
        self._ranking: list[pa.Table] = []
        self._left_out: list[pa.Table] = []
        self._order = np.zeros(0, np.int64)

    def _path(self, ending: str) -> Path:
        return self._folder / f".{self._name}.{ending}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._parts.close()
        for ending in ("parts", "rows"):
            self._path(ending).unlink(missing_ok=True)

    def add(self, part: pa.Table, left_out: pa.Table) -> None:
        """Take a part of the customers: a table of ``scoring.scored``, and those in sight but not at risk."""
        self._writer.write_table(part.select(self._schema.names).cast(self._schema).combine_chunks())
        held = [name for name in self._columns if RANKS + name in part.column_names]
        self._ranking.append(part.select([RANKS + name for name in held]).rename_columns(held))
        self._left_out.append(left_out.select(LEFT_OUT.names).cast(LEFT_OUT))

    def close(self) -> pd.DataFrame:
        """No more parts come. Gives the columns that rank, one row per customer, by customer: a row's number is its
        position in the file that ``keep`` makes.
        """
        self._writer.close()
        self._parts.close()
        if not self._ranking:
            return pd.DataFrame(columns=self._columns)
        ranking = pa.concat_tables(self._ranking)
        self._ranking, ids = [], ranking["customer_id"]
        self._order = np.arange(len(ids))
        if not pc.all(pc.less_equal(ids[:-1], ids[1:]), min_count=0).as_py():
            self._order = pc.sort_indices(ids).to_numpy().astype(np.int64)
            ranking = ranking.take(pa.array(self._order))
        return ranking.to_pandas()

    def keep(self, name: str) -> str:
        """Let the rows stay as a file of their own, named after its content; returns its name."""
        left_out = pa.concat_tables([LEFT_OUT.empty_table(), *self._left_out]).sort_by("customer_id")
        digest = write(self._path("rows"), self._schema, self._sorted(), left_out)
        name = f"{name}-{digest[:16]}.arrow"
        if not _holds(self._folder / name, digest):  # one that is there may be damaged
            os.replace(self._path("rows"), self._folder / name)
        return name

    def _sorted(self) -> Iterator[pa.RecordBatch]:
        """The rows by customer, GROUP at a time."""
        with pa.memory_map(str(self._path("parts"))) as source:
            parts = [batch for batch in pa.ipc.open_stream(source) if batch.num_rows]
        starts = np.cumsum([0, *(batch.num_rows for batch in parts)])
        for start in range(0, len(self._order), GROUP):
            yield gathered(parts, starts, self._order[start : start + GROUP], self._schema)


def _holds(path: Path, digest: str) -> bool:
    """Whether there is a file of this content."""
    if not path.exists():
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == digest


def write(path: Path, schema: pa.Schema, rows: Iterable[pa.RecordBatch], left_out: pa.Table) -> str:
    """Write a list's file, see ``rows``; returns the SHA-256 of its bytes. Rows and left_out stand by customer."""
    with path.open("w+b") as file:
        with pa.ipc.new_stream(file, schema) as writer:
            for batch in rows:
                writer.write_batch(batch)
        with pa.ipc.new_stream(file, LEFT_OUT) as writer:
            writer.write_table(left_out.combine_chunks())
        file.seek(0)
        return hashlib.file_digest(file, "sha256").hexdigest()
