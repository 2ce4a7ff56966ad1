"""What the features of one customer take from raw events, after warming up: in this process, its start excluded.

    python -m benchmarks.online

One customer with about 2,000 events in four streams, as of the end of their year. Asked are the 52 columns of the
windows benchmark and then every feature that these streams can have. Each answer must equal that of the batch, to the
bit. Prints one JSON object a question.
"""

import argparse
import json
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks import events, windows, work
from features import snapshot
from features.errors import DataError, InputError
from features.online import Online
from features.snapshot_config import SnapshotConfig

SIZE, CALLS = 2_250, 500  # a tenth of the events is of no stream
AS_OF = events.YEAR + timedelta(days=events.YEAR_DAYS)


def raw(file: Path) -> dict[str, pa.Table]:
    """The events of each stream, in columns called by their roles."""
    table = pq.read_table(file)
    own = {name: table.filter(pc.equal(table["event"].cast(pa.string()), name)) for name in work.STREAMS}
    return {name: pa.table({"at": rows["ts"], "value": rows["value"]}) for name, rows in own.items()}


def measure(settings: SnapshotConfig, file: Path) -> dict[str, float | int]:
    """Milliseconds of a call. Raises DataError when the answer is not that of the batch."""
    online, given, took = Online(settings), raw(file), []
    for _ in range(CALLS):
        begin = time.perf_counter()
        found = online.features(given, AS_OF)
        took.append(1_000 * (time.perf_counter() - begin))
    row = snapshot.build(settings, [AS_OF], labels=False).frame.iloc[0]
    if not np.array_equal([found[name] for name in found], [row[name] for name in found], equal_nan=True):
        raise DataError("the features online are not those of the batch")
    spread = {"median_ms": np.median(took), "least_ms": min(took), "p99_ms": np.quantile(took, 0.99)}
    sizes = {"events": sum(rows.num_rows for rows in given.values()), "streams": len(given), "features": len(found)}
    return sizes | {name: round(float(value), 3) for name, value in spread.items()}


def main() -> int:
    work.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    try:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "events.parquet"
            events.write(file, SIZE, 1)
            asked = windows.config(file)
            for settings in (asked, asked.model_copy(update={"exclude": []})):
                print(json.dumps(measure(settings, file)))
    except (InputError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
