"""Whom a model learnt from, as salted hashes: enough to say of one customer whether it was among them, and no more."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as parquet

from features import erased
from features.erased import Erased
from features.errors import DataError

DIGITS = 16


def write(home: Path, customers: Iterable[str], path: Path) -> None:
    """Keep the hashes of these customers, 8 bytes each, in their own order. Raises OSError, DataError."""
    own = erased.salted(home)
    hashes = np.fromiter((int(own.hash(one)[:DIGITS], 16) for one in pd.unique(np.asarray(customers))), np.uint64)
    table = pa.table({"hash": np.sort(hashes)}).replace_schema_metadata({"salt": own.salted})
    parquet.write_table(table, path, use_dictionary=False)


def held(home_erased: Erased, path: Path, customer: str) -> bool | None:
    """Whether a customer was among those; None when another salt was used, so that nobody can tell.

    Raises DataError on a damaged file.
    """
    try:
        table = parquet.read_table(path)
        salt, hashes = (table.schema.metadata or {})[b"salt"].decode(), table["hash"].to_numpy()
    except (pa.ArrowException, OSError, KeyError):
        raise DataError(f"{path.name}: cannot be read; restore the run's file, or register the model anew") from None
    if salt != home_erased.salted:
        return None
    own = np.uint64(int(home_erased.hash(customer)[:DIGITS], 16))
    place = int(np.searchsorted(hashes, own))
    return place < len(hashes) and bool(hashes[place] == own)
