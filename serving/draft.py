"""A list in the making: on disk the features and what is said of each customer, in memory only what ranks them."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as parquet

from features.snapshot import ContentHash
from serving.scoring import GAP, SCORE, TEXT

GROUP = 4_096
LISTED = (SCORE, GAP, TEXT)


class Draft:
    """Give it every part by ``add``, in any order, then ``close`` it. Its own files go when it is left.

    columns: those of the snapshot that rank the customers, customer_id among them; absent ones are passed over.
    """

    def __init__(self, folder: Path, name: str, columns: Sequence[str]):
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._columns = folder, (*columns, SCORE, GAP)
        self._features = Features(folder / f".{name}.parquet")
        self._texts = Texts(folder / f".{name}.texts")
        self._hash = ContentHash()
        self._ranking: list[pa.Table] = []
        self._left_out: list[pa.Table] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._texts.remove()
        self._features.remove()

    def add(self, part: pa.Table, left_out: pa.Table) -> None:
        """Take a part of the customers: a table of ``scoring.scored``, and those in sight but not at risk."""
        features = part.drop_columns(list(LISTED))
        self._hash.add(features.to_pandas())
        self._features.add(features)
        self._texts.add(part[TEXT])
        self._ranking.append(part.select([name for name in self._columns if name in part.column_names]))
        self._left_out.append(left_out.select(["customer_id", "status"]))

    def close(self) -> pd.DataFrame:
        """No more parts come. Gives the columns that rank, one row per customer; a row's number is its position."""
        self._features.close()
        self._texts.close()
        return pa.concat_tables(self._ranking).to_pandas() if self._ranking else pd.DataFrame(columns=self._columns)

    def left_out(self) -> list[dict[str, Any]]:
        """customer_id and status of those not at risk, by customer."""
        rows = [row for table in self._left_out for row in table.to_pylist()]
        return sorted(rows, key=lambda row: row["customer_id"])

    def texts(self, positions: np.ndarray) -> Iterator[str]:
        """What ``scoring.scored`` says of the customers at these positions, in this order."""
        return self._texts.read(positions)

    def keep(self, name: str) -> str:
        """Let the features stay as a file of their own, named after their content; returns its name."""
        name = f"{name}-{self._hash.hex()[:16]}.parquet"
        if not (self._folder / name).exists():
            self._features.move(self._folder / name)
        return name


class Features:
    """One Parquet file of small row groups, so that one customer is read quickly."""

    def __init__(self, path: Path):
        self._path, self._waiting = path, list[pa.Table]()
        self._writer: parquet.ParquetWriter | None = None

    def add(self, rows: pa.Table) -> None:
        self._writer = self._writer or parquet.ParquetWriter(self._path, rows.schema)
        self._waiting.append(rows)
        if sum(table.num_rows for table in self._waiting) >= GROUP:
            self._write()

    def _write(self) -> None:
        if self._writer and self._waiting:
            self._writer.write_table(pa.concat_tables(self._waiting), row_group_size=GROUP)
            self._waiting = []

    def close(self) -> None:
        self._write()
        if self._writer:
            self._writer.close()

    def move(self, path: Path) -> None:
        os.replace(self._path, path)

    def remove(self) -> None:
        try:
            if self._writer:
                self._writer.close()
        finally:
            self._path.unlink(missing_ok=True)


class Texts:
    """Texts one after the other in one file; where each begins is kept in memory."""

    def __init__(self, path: Path):
        self._path, self._file = path, path.open("w+b")
        self._sizes: list[np.ndarray] = []
        self._begins = np.zeros(1, np.int64)

    def add(self, texts: pa.ChunkedArray) -> None:
        self._sizes.append(pc.binary_length(texts).to_numpy())
        self._file.writelines(text.encode() for text in texts.to_pylist())

    def close(self) -> None:
        self._file.flush()
        self._begins = np.concatenate([[0], np.cumsum(np.concatenate([*self._sizes, []]), dtype=np.int64)])

    def read(self, positions: np.ndarray) -> Iterator[str]:
        for begin, end in zip(self._begins[positions].tolist(), self._begins[positions + 1].tolist()):
            yield os.pread(self._file.fileno(), end - begin, begin).decode()

    def remove(self) -> None:
        self._file.close()
        self._path.unlink(missing_ok=True)
