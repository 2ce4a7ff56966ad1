"""What one more day costs the store of daily activity, against building it: in this process, its start excluded.

    python -m benchmarks.incremental --folder FOLDER --events 200e6

Makes a year of events, one file a day (kept for the next run), builds the store, adds the file of one more day, updates
the store, and builds a second one from nothing: both must be the same, byte for byte. Prints one JSON object.
"""

import argparse
import filecmp
import json
import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import events, work
from features.data_config import Data
from features.errors import DataError, InputError
from features.sources import Source
from features.store import Store

LAST = f"{events.YEAR.year}-12-31"


def config(folder: Path) -> Data:
    """Four streams of one table of many files."""
    stream = {"table": "*.parquet", "at": "ts", "value": "value"}
    return Data.model_validate(
        {
            "name": "incremental",
            "root": str(folder.resolve()),
            "store": {"horizon_days": 3},
            "customers": {"from_stream": work.STREAMS[0], "id": "customer_id"},
            "streams": {name: stream | {"where": {"event": name}} for name in work.STREAMS},
        }
    )


def measure(folder: Path, size: int, customers: int) -> dict[str, float | int]:
    """Seconds of each step and the size of the store. Raises DataError when the two stores differ."""
    days = folder / "days"
    year(days, size, customers)
    stores = [folder / name for name in ("grown", "rebuilt")]
    for own in stores:
        shutil.rmtree(own, ignore_errors=True)
    build = timed(days, stores[0])
    events.write_further(days, size, customers)
    update, again, rebuild = timed(days, stores[0]), timed(days, stores[0]), timed(days, stores[1])
    files = [sorted(str(path.relative_to(own)) for path in own.rglob("*") if path.is_file()) for own in stores]
    if files[0] != files[1] or filecmp.cmpfiles(stores[0], stores[1], files[0], shallow=False)[0] != files[0]:
        raise DataError("the store that grew is not the one that was built anew")
    total = sum((stores[0] / path).stat().st_size for path in files[0])
    seconds = {"build": build, "update": update, "nothing_new": again, "rebuild": rebuild}
    figures = {name: round(value, 3) for name, value in seconds.items()}
    return {"events": size, **figures, "update_percent": round(100 * update / build, 2), "store_bytes": total}


def year(days: Path, size: int, customers: int) -> None:
    """The files of the year and no later one."""
    if not days.is_dir():
        events.write_year(days, size, customers)
    for path in days.glob("*.parquet"):
        if path.stem > LAST:
            path.unlink()


def timed(days: Path, workspace: Path) -> float:
    """Seconds of one update, from connecting on."""
    os.environ["TSUNAGI_WORKSPACE"] = str(workspace)
    return clocked(lambda: Store(Source(config(days)), work.STREAMS).update())


def clocked(task: Callable[[], object]) -> float:
    begin = time.perf_counter()
    task()
    return time.perf_counter() - begin


def main() -> int:
    parser = work.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="for the events and the stores; needs room for both")
    parser.add_argument("--events", type=events.whole, default=events.whole("200e6"), metavar="N", help="in the year")
    parser.add_argument("--customers", type=events.whole, default=events.whole("200e3"), metavar="N")
    chosen = parser.parse_args()
    try:
        measure(chosen.folder / "warm", 20_000, 1_000)
        print(json.dumps(measure(chosen.folder / f"{chosen.events}", chosen.events, chosen.customers)))
    except (InputError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
