"""The daily job on a large company: seconds of each stage, from its start to the last file, and its peak memory.

    python -m benchmarks.daily --customers 1000000 --folder FOLDER

Makes a year of events, a hundred a customer, one file a day, and the store of daily activity (both kept for the next
run), fits a model of 300 trees of 31 leaves with the default windows, with intervals and a curve of two horizons, on
some of the customers, and runs ``python -m serving daily`` in a process of its own. Prints one JSON object: seconds
from one line of the job's progress to the next, and the memory of all its processes; what they share counts once.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np
import yaml

from benchmarks import events, work
from features import config as configs
from features import facts, segments, snapshot
from features.errors import InputError
from features.outcome import Inactivity
from features.snapshot_config import Population, Seen, SnapshotConfig
from serving.config import ServingConfig
from training import bundle as bundles
from training.bundle import Bundle
from training.evaluate import fit_named
from training.hazard import Horizons, fit_curve
from training.info import Info, Reference
from training.rows import Rows, rows
from training.settings import LightGBM, Settings
from training.spread import fit_spread
from training.value import Capacity, Value

ROOT, PER_CUSTOMER, LEARNT_FROM = Path(__file__).parents[1], 100, 10_000
LOOK_SECONDS = 0.5
SETTINGS = Settings(lightgbm=LightGBM(num_iterations=300, num_leaves=31, max_depth=6))
HORIZONS = (30, 60)
AS_OF = np.array(["2025-10-01", "2025-11-01"], "datetime64[D]")


def main() -> int:
    parser = work.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="for events, store and lists; needs room for all")
    parser.add_argument("--customers", type=events.whole, default=events.whole("1e6"), metavar="N")
    chosen = parser.parse_args()
    try:
        print(json.dumps(measure(chosen.folder / str(chosen.customers), chosen.customers)))
    except (InputError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def measure(folder: Path, customers: int) -> dict[str, object]:
    """The figures of one run on a workspace without any list."""
    days = folder / "days"
    if not days.is_dir():
        print(f"making {days}", file=sys.stderr)
        events.write_year(folder / "half", customers * PER_CUSTOMER, customers)
        (folder / "half").rename(days)
    os.environ["TSUNAGI_WORKSPACE"] = str(folder / "workspace")
    config = configs.load(_written(folder), ServingConfig)
    _prepare(config, folder, customers)
    for name in ("lists", "snapshots"):
        shutil.rmtree(config.home / name, ignore_errors=True)
    for path in config.home.glob("serving.db*"):
        path.unlink()
    return {"customers": customers, **run(folder / "serving.yaml", config.home)}


def _written(folder: Path) -> Path:
    stream = {"table": "*.parquet", "at": "ts", "value": "value"}
    data = {
        "name": "large", "root": str(folder.resolve() / "days"), "store": {"horizon_days": 3}, "history_days": 365,
        "customers": {"from_stream": work.STREAMS[0], "id": "customer_id"},
        "streams": {name: stream | {"where": {"event": name}} for name in work.STREAMS},
    }  # fmt: skip
    (folder / "data.yaml").write_text(yaml.safe_dump(data))
    (folder / "serving.yaml").write_text("data: data.yaml\nmodels: [churn]\n")
    return folder / "serving.yaml"


def _prepare(config: ServingConfig, folder: Path, customers: int) -> None:
    """The store brought up to date, and a champion."""
    if bundles.champion(config.home, "churn"):
        return
    print("making the store of activity and the model", file=sys.stderr)
    asked = SnapshotConfig(
        data=config.data,
        population=Population(seen=Seen(streams=work.STREAMS, days=90)),
        outcome=Inactivity(kind="inactivity", streams=(work.STREAMS[0],), horizon_days=HORIZONS[0]),
        curve=HORIZONS,
    )
    some = np.linspace(0, customers - 1, min(customers, LEARNT_FROM)).astype(int).astype(str).tolist()
    made = snapshot.build(asked, AS_OF.tolist(), labels=True, known=facts.read(config.data, some))
    bundles.save(_bundle(asked, rows(made.frame, made.features)), folder / "bundle")
    bundles.place(folder / "bundle", config.home, "churn")


def _bundle(asked: SnapshotConfig, table: Rows) -> Bundle:
    fitted, recipe = fit_named("lightgbm", table, SETTINGS), segments.recipe(asked.data, asked.windows.days)
    assert recipe is not None
    names, score = [column["name"] for column in table.columns], fitted.score(table.matrix)
    wanted = segments.columns(recipe.stream, recipe.days, monetary=True)
    cuts = segments.fit({role: table.matrix[:, names.index(name)] for role, name in wanted.items()}, recipe)
    info = Info(
        data=asked.data.name, model="churn", kind="lightgbm", grade="B", rule=None, features=table.columns,
        population=asked.population, outcome=asked.outcome, windows=asked.windows, meaning=asked.data.meaning(),
        history_days=asked.data.history_days, timezone=asked.data.timezone, segments=cuts, fingerprint="0" * 64,
        value=Value(amount=100.0, contact_cost=1.0), capacity=Capacity(contacts=1_000), holdout=0.1, metrics={},
        base_rate=float(table.outcome.mean()), customers_with_outcome=table.customers_with_outcome,
        versions={"lightgbm": version("lightgbm")},
    )  # fmt: skip
    quantiles = np.quantile(score, np.linspace(0, 1, 1001)).tolist()
    reference = Reference(base_margin=fitted.model.base_margin, scores=quantiles, features={})
    curve = fit_curve(table, Horizons(HORIZONS, HORIZONS[0], True, 0), "lightgbm", SETTINGS)
    return bundles.seal(
        info, fitted.model, fitted.calibrator, reference, curve, fit_spread("lightgbm", table, SETTINGS)
    )


def run(config: Path, home: Path) -> dict[str, object]:
    """The job in a process of its own."""
    command = [sys.executable, "-m", "serving", "daily", str(config.resolve()), "--json"]
    began, said, spent = time.perf_counter(), list[tuple[float, str]](), sum(os.times()[2:4])
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stderr is not None
        memory = Memory(process.pid)
        for line in process.stderr:
            said.append((time.perf_counter() - began, line.strip()))
            print(f"{said[-1][0]:8.1f} s  {line.rstrip()}", file=sys.stderr)
        out = process.stdout.read()
    total, used = time.perf_counter() - began, os.times()
    answer = json.loads(out.splitlines()[-1])
    if process.returncode:
        raise SystemExit(json.dumps(answer))
    ends = [when for when, _ in said[1:]] + [total]
    seconds = {text: round(end - when, 1) for (when, text), end in zip(said, ends)}
    size = sum(path.stat().st_size for path in home.rglob("*") if path.is_file() and "activity" not in path.parts)
    figures = {"rows": answer["lists"][0]["rows"], "seconds": round(total, 1), "peak_gigabytes": memory.stop()}
    figures |= {"cpu_seconds": round(used.children_user + used.children_system - spent, 1)}
    return figures | {"written_gigabytes": round(size / 1e9, 2), "seconds_by_stage": seconds}


class Memory:
    """The most memory that a process and its children have held at one time, in gigabytes."""

    def __init__(self, pid: int):
        self._pid, self._most, self._stop = pid, 0, threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        while not self._stop.wait(LOOK_SECONDS):
            self._most = max(self._most, sum(map(_held, _family(self._pid))))

    def stop(self) -> float:
        self._stop.set()
        self._thread.join()
        return round(self._most * 1024 / 1e9, 2)


def _family(pid: int) -> list[int]:
    """A process and those it started, and theirs."""
    found = [pid]
    for parent in found:
        try:
            children = [path.read_text() for path in Path(f"/proc/{parent}/task").glob("*/children")]
        except OSError:
            continue
        found += [int(child) for text in children for child in text.split()]
    return found


def _held(pid: int) -> int:
    """Kilobytes: its share of what it holds, files that are mapped included."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


if __name__ == "__main__":
    sys.exit(main())
