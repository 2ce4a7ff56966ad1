"""The 52 windows of the benchmark on each engine: whole processes on the same events, with one content hash.

    python -m benchmarks.engines
    python -m benchmarks.engines --size 2e6 20e6 --engines duckdb spark

Events go to the folder; those that are there already are used again. PostgreSQL takes part when the variable that
``--database`` names holds its address: the events are copied into the table tsunagi_benchmark before the clock starts.
"""

import argparse
import io
import json
import os
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.parquet as pq

from benchmarks import windows, work
from benchmarks.__main__ import Process, made, run
from benchmarks.events import whole
from benchmarks.work import Parser
from features import facts, snapshot
from features.command import progress
from features.data_config import Data
from features.errors import InputError
from features.snapshot_config import SnapshotConfig

ENGINES, TABLE = ("duckdb", "postgres", "spark"), "tsunagi_benchmark"


def config(engine: str, events: Path, database: str, master: str) -> SnapshotConfig:
    """The question of the benchmark, asked of an engine."""
    own = windows.config(events)
    data = own.data.model_dump()
    if engine == "postgres":
        data |= {"engine": {"postgres": {"env": database}}, "root": None}
        data["streams"] = {name: stream | {"table": TABLE} for name, stream in data["streams"].items()}
    if engine == "spark":
        data["engine"] = {"spark": {"master": master}}
    return own.model_copy(update={"data": Data.model_validate(data)})


def answer(settings: SnapshotConfig, dates: int) -> dict[str, object]:
    """The rows and the content hash of the whole snapshot, taken part by part."""
    content, rows = snapshot.ContentHash(), 0
    for part in snapshot.parts(settings, work.as_of_dates(dates), facts.read(settings.data)):
        content.add(part.to_pandas())
        rows += part.num_rows
    return {"rows": rows, "content": content.hex()}


def load(events: Path, address: str) -> None:
    """Copy the events into PostgreSQL."""
    import psycopg

    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(f"drop table if exists {TABLE}")
        connection.execute(f"create table {TABLE} (customer_id bigint, ts timestamp, event text, value real)")
        with connection.cursor().copy(f"copy {TABLE} from stdin (format csv)") as copy:
            for batch in pq.ParquetFile(events).iter_batches():
                plain, lines = pa.Table.from_batches([batch]), io.BytesIO()
                plain = plain.set_column(2, "event", plain["event"].cast(pa.string()))
                csv.write_csv(plain, lines, csv.WriteOptions(include_header=False))
                copy.write(lines.getvalue())
        connection.execute(f"analyze {TABLE}")


def line(engine: str, events: int, took: Process) -> str:
    said = json.loads(took.said)
    return f"| {events:,} | {engine} | {said['rows']:,} | {took.seconds:.1f} | {said['content'][:12]} |"


def compare(chosen: argparse.Namespace) -> int:
    """Every engine at every size; returns the exit code: 0, or 1 when contents differ."""
    folder, lines, differ = chosen.folder.absolute(), list[str](), False
    folder.mkdir(parents=True, exist_ok=True)
    for events in sorted(chosen.size):
        file, contents = made(folder, events), set()
        for engine in chosen.engines:
            if engine == "postgres":
                if not os.environ.get(chosen.database):
                    progress(f"postgres is left out: {chosen.database} is not set")
                    continue
                load(file, os.environ[chosen.database])
            words = ("--one", engine, "--events", file, "--dates", chosen.dates)
            took = run("benchmarks.engines", *words, "--database", chosen.database, "--master", chosen.master)
            contents.add(json.loads(took.said)["content"])
            lines.append(line(engine, events, took))
            progress(lines[-1])
        differ |= len(contents) > 1
    print("| events | engine | rows | seconds | content |\n|---|---|---|---|---|", *lines, sep="\n")
    return int(differ)


def main() -> int:
    workspace = Path(os.environ.get("TSUNAGI_WORKSPACE", "workspace"))
    form = argparse.RawDescriptionHelpFormatter
    parser = Parser(prog="python -m benchmarks.engines", description=__doc__, formatter_class=form)
    add, shown = parser.add_argument, " (default %(default)s)"
    add("--size", type=whole, nargs="+", default=[2_000_000, 20_000_000], metavar="N", help="events" + shown)
    add("--dates", type=int, choices=(12, 52), default=12, help="as-of dates" + shown)
    add("--engines", nargs="+", choices=ENGINES, default=list(ENGINES), help="which" + shown)
    add("--database", default="TSUNAGI_BENCHMARK_DATABASE_URL", metavar="VARIABLE", help="PostgreSQL's address" + shown)
    add("--master", default="local[2]", metavar="URL", help="the Spark to start" + shown)
    add("--folder", type=Path, default=workspace / "benchmarks", help="where events are kept" + shown)
    add("--one", choices=ENGINES, help=argparse.SUPPRESS)
    add("--events", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    try:
        if not chosen.one:
            return compare(chosen)
        settings = config(chosen.one, chosen.events, chosen.database, chosen.master)
        print(json.dumps(answer(settings, chosen.dates)))
        return 0
    except InputError as error:
        parser.error(str(error))
        return 2


if __name__ == "__main__":
    sys.exit(main())
