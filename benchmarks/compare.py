"""Are two answers equal, row by row?

    python -m benchmarks.compare ours.parquet polars.parquet

Keys, counts, active days and recency must be the same. Our sums add values rounded to millionths; an engine that adds
n numbers in floating point may be off by n × unit roundoff × sum on top of n half-millionths. The unit roundoff is
that of the type in which the other file stores its sums (2⁻²⁴ for float32, 2⁻⁵³ for float64).
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks.work import KEYS, Parser, columns
from features.errors import DataError, InputError


def differences(ours: pa.Table, theirs: pa.Table) -> list[str]:
    """What differs, a line each; empty when all is equal. Rows may stand in any order."""
    ours, theirs = _ordered(ours), _ordered(theirs)
    if ours.num_rows != theirs.num_rows:
        return [f"{ours.num_rows:,} rows against {theirs.num_rows:,}"]
    if not all(ours[key].equals(theirs[key]) for key in KEYS):
        return ["the customers or dates of the rows differ"]
    found = []
    for name in columns():
        mine, other = _numbers(ours[name]), _numbers(theirs[name])
        wrong = ~((np.abs(mine - other) <= _rounding(ours, theirs, name)) | (np.isnan(mine) & np.isnan(other)))
        if wrong.any():
            row = int(np.argmax(wrong))
            where = f"customer {ours['customer_id'][row]} on {ours['as_of'][row]}: {mine[row]} against {other[row]}"
            found.append(f"{name}: {wrong.sum():,} rows differ, first {where}")
    return found


def _ordered(table: pa.Table) -> pa.Table:
    """The rows by customer and date; ids are numbers whether they came as text or not."""
    kinds = {"customer_id": pa.int64(), "as_of": pa.date32()}
    for key in KEYS:
        table = table.set_column(table.column_names.index(key), key, table[key].cast(kinds[key]))
    return table.sort_by([(key, "ascending") for key in KEYS]).combine_chunks()


def _numbers(column: pa.ChunkedArray) -> np.ndarray:
    return pc.fill_null(column.cast(pa.float64()), np.nan).to_numpy()


def _rounding(ours: pa.Table, theirs: pa.Table, name: str) -> np.ndarray:
    """By how much a value may differ, per row."""
    if "_sum_" not in name:
        return np.zeros(ours.num_rows)
    count, kind = _numbers(ours[name.replace("_sum_", "_count_")]), theirs.schema.field(name).type.to_pandas_dtype()
    return count * (np.finfo(kind).eps / 2 * np.abs(_numbers(ours[name])) + 0.5e-6)


def _read(path: Path) -> pa.Table:
    try:
        return pq.read_table(path, columns=[*KEYS, *columns()])
    except (OSError, pa.ArrowException) as error:
        raise DataError(f"{path}: not an answer of the benchmark ({str(error).splitlines()[0]})") from None


def main() -> int:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ours", type=Path)
    parser.add_argument("theirs", type=Path)
    chosen = parser.parse_args()
    try:
        ours = _read(chosen.ours)
        found = differences(ours, _read(chosen.theirs))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print("\n".join(found) or f"equal: {ours.num_rows:,} rows, {len(columns())} columns")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
