"""Our windows beside Polars, DuckDB and pandas: equal answers first, then time and memory of whole processes.

    python -m benchmarks
    python -m benchmarks --size 2e6 --dates 12 --repeat 3

Events, answers and ``figures.json`` go to the folder; events that are there already are used again.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import report
from benchmarks.events import whole
from benchmarks.report import OURS, Figure
from benchmarks.work import Parser
from features.command import progress
from features.errors import DataError, InputError

HOUSE = Path(__file__).absolute().parent.parent
SIZES, PER_CUSTOMER = (2_000_000, 20_000_000, 200_000_000), 100
PEERS = ("polars", "duckdb", "pandas", "featuretools")
BYTES = 1 if sys.platform == "darwin" else 1024


@dataclass(frozen=True)
class Process:
    """What a whole process said and took. cpu: seconds of all cores; peak: its largest resident memory in bytes."""

    said: str
    code: int
    seconds: float
    cpu: float
    peak: int


def run(module: str, *words: object, allowed: tuple[int, ...] = (0,)) -> Process:
    """Run ``python -m MODULE WORDS`` to its end. Raises DataError with its last line when it fails."""
    command = [sys.executable, "-m", module, *map(str, words)]
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as complaint:
        began = time.perf_counter()
        child = subprocess.Popen(command, stdout=out, stderr=complaint, cwd=HOUSE)
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - began
        child.returncode = os.waitstatus_to_exitcode(status)
        for file in (out, complaint):
            file.seek(0)
        said, complained = out.read().strip(), complaint.read().strip()
    if child.returncode not in allowed:
        last = complained.splitlines()[-1:] or [f"exit code {child.returncode}"]
        raise DataError(f"{module} {' '.join(map(str, words))}: {last[0].removeprefix('error: ')}")
    return Process(said, child.returncode, seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * BYTES)


def made(folder: Path, events: int) -> Path:
    """The file of events of this size; made unless it is there."""
    file = folder / f"events-{events}.parquet"
    if not file.exists():
        progress(f"making {events:,} events")
        half = file.with_suffix(".part")
        run("benchmarks.events", events, max(events // PER_CUSTOMER, 1), half)
        half.rename(file)
    return file


def engine(name: str, events: Path, dates: int, *words: object) -> Process:
    """Run one engine on the events."""
    module = ("benchmarks.windows",) if name == OURS else ("benchmarks.peers", name)
    return run(*module, "--events", events, "--dates", dates, *words)


def unequal(folder: Path, events: int, dates: list[int], peers: list[str]) -> list[str]:
    """Write our answer and each peer's and compare them row by row: what differs. Compiles our code on the way."""
    file, found = made(folder, events), []
    for number in dates:
        answers = {name: folder / f"{name}-{number}.parquet" for name in (OURS, *peers)}
        for name, answer in answers.items():
            progress(f"{name}: {events:,} events, {number} dates, every row written")
            engine(name, file, number, "--out", answer)
        for name in peers:
            compared = run("benchmarks.compare", answers[OURS], answers[name], allowed=(0, 1))
            if compared.code:
                found += [f"{name}, {number} dates: {line}" for line in compared.said.splitlines()]
    return found


def timed(name: str, file: Path, events: int, dates: int, repeat: int) -> Figure:
    """The fastest of ``repeat`` runs, and the most memory that any of them took."""
    runs = [engine(name, file, dates) for _ in range(repeat)]
    best, peak = min(runs, key=lambda one: one.seconds), max(one.peak for one in runs)
    answer, took = json.loads(best.said), (round(best.seconds, 2), round(best.cpu, 2))
    progress(f"{name}: {events:,} events, {dates} dates: {took[0]} s, {took[1]} s of CPU, {peak / 1e9:.2f} GB")
    return Figure(name, events, dates, answer["rows"], *took, peak, answer["checksum"])


def side_by_side(file: Path, events: int, dates: int, names: Sequence[str], repeat: int) -> list[Figure]:
    """The figures of each engine on the same events. Raises DataError when one answers with another number of rows."""
    figures = [timed(name, file, events, dates, repeat) for name in names]
    rows = {figure.engine: figure.rows for figure in figures}
    if len(set(rows.values())) > 1:
        raise DataError(f"{events:,} events, {dates} dates: the engines give different numbers of rows: {rows}")
    return figures


def measure(chosen: argparse.Namespace) -> int:
    """The whole benchmark; returns the exit code: 0, or 1 when answers differ."""
    folder = chosen.folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    differences = unequal(folder, chosen.check, chosen.dates, chosen.peers)
    if differences:
        print("answers differ, so nothing was timed:", *differences, sep="\n")
        return 1
    figures = []
    for events in sorted(chosen.size):
        file = made(folder, events)
        peers = chosen.peers if events <= chosen.peers_up_to else []
        for dates in chosen.dates:
            figures += side_by_side(file, events, dates, (OURS, *peers), chosen.repeat)
    found = (figures, chosen.peers, report.machine())
    (folder / "figures.json").write_text(json.dumps(report.as_json(*found), indent=2) + "\n", encoding="utf-8")
    print(report.as_text(*found))
    return 0


def main() -> int:
    workspace = Path(os.environ.get("TSUNAGI_WORKSPACE", "workspace"))
    form = argparse.RawDescriptionHelpFormatter
    parser = Parser(prog="python -m benchmarks", description=__doc__, formatter_class=form)
    shown = " (default %(default)s)"
    add = parser.add_argument
    add("--size", type=whole, nargs="+", default=list(SIZES), metavar="N", help="events" + shown)
    add("--dates", type=int, nargs="+", choices=(12, 52), default=[12, 52], help="as-of dates" + shown)
    add("--peers", nargs="*", choices=PEERS, default=list(PEERS[:3]), help="beside ours" + shown)
    add("--peers-up-to", type=whole, default=20_000_000, metavar="N", help="above it ours runs alone" + shown)
    add("--check", type=whole, default=200_000, metavar="N", help="events for the comparison of rows" + shown)
    add("--repeat", type=whole, default=1, metavar="N", help="runs of each; the fastest counts" + shown)
    add("--folder", type=Path, default=workspace / "benchmarks", help="for events and results" + shown)
    try:
        return measure(parser.parse_args())
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
    except OSError as error:
        print(f"error: {error.filename or ''}: {error.strerror or error}; check path and space", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
