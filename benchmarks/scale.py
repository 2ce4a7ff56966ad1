"""A large training from its config to a registered bundle: seconds of each stage, and the memory it took.

    python -m benchmarks.scale --folder FOLDER --rows 1e6 --features 150

Makes a ready-made table of four months (kept for the next run) and trains on it in a process of its own: logistic
regression, LightGBM and the rules on three folds, one that chooses and two that grade, and the refit. With
``--months 8 --tests 3`` there are seven folds. Prints one JSON object.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

ROOT = Path(__file__).parents[1]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--rows", type=float, default=1e6)
    parser.add_argument("--features", type=int, default=150)
    parser.add_argument("--months", type=int, default=4)
    parser.add_argument("--tests", type=int, default=2)
    parser.add_argument("--set", action="append", default=[], help="handed on to the training")
    chosen = parser.parse_args(arguments)
    customers = int(chosen.rows) // chosen.months
    table = chosen.folder / f"table-{chosen.months}x{customers}-{chosen.features}.parquet"
    if not table.is_file():
        print(f"making {table}", file=sys.stderr)
        write(table, chosen.months, customers, chosen.features)
    said = {"rows": customers * chosen.months, "features": chosen.features, "months": chosen.months}
    print(json.dumps(said | train(table, chosen.tests, chosen.set)))
    return 0


def write(path: Path, months: int, customers: int, features: int) -> None:
    """A month after the other: counts and amounts that hang on two hidden traits, a tenth of the columns with nulls."""
    path.parent.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(0)
    fit, trouble = random.normal(size=(2, customers))
    weight = random.normal(scale=0.25, size=(features, 2)) * (random.random((features, 1)) < 0.3)
    level = random.normal(1.0, 0.5, features)
    ids = pa.array([f"C{number:07d}" for number in range(customers)])
    half = path.with_suffix(".half")
    writer = None
    for month in range(months):
        columns: dict[str, object] = {"customer": ids, "day": pa.array([f"2025-{month + 1:02d}-01"] * customers)}
        for feature in range(features):
            mean = np.exp(level[feature] + weight[feature, 0] * fit + weight[feature, 1] * trouble)
            values = random.poisson(mean).astype(float) if feature % 2 else random.gamma(2.0, mean / 2)
            gone = random.random(customers) < 0.1 if feature % 10 == 0 else None
            columns[f"f{feature:03d}"] = pa.array(values, mask=gone)
        chance = 1 / (1 + np.exp(3.2 + 0.9 * fit - 0.8 * trouble - 0.3 * fit * trouble))
        columns["left"] = random.random(customers) < chance
        rows = pa.table(columns)
        writer = writer or pq.ParquetWriter(half, rows.schema)
        writer.write_table(rows)
    assert writer is not None
    writer.close()
    half.replace(path)


def train(table: Path, tests: int, overrides: Sequence[str]) -> dict[str, object]:
    """Train in a process of its own and a fresh workspace; the seconds by stage and its peak memory."""
    home = table.parent / "workspace"
    shutil.rmtree(home, ignore_errors=True)
    config = table.with_suffix(".yaml")
    config.write_text(yaml.safe_dump(settings(table, tests)))
    command = [sys.executable, "-m", "training", "train", str(config), "--json"]
    command += [word for override in overrides for word in ("--set", override)]
    begin = time.perf_counter()
    environment = os.environ | {"TSUNAGI_WORKSPACE": str(home)}
    done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    seconds = round(time.perf_counter() - begin, 1)
    said = json.loads(done.stdout.splitlines()[-1])
    if "error" in said:
        raise SystemExit(said["error"])
    peak = round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / 1e9, 2)
    told = {name: said[name] for name in ("grade", "candidate", "registered", "seconds")}
    return {"total_seconds": seconds, "peak_gigabytes": peak, **told}


def settings(table: Path, tests: int) -> dict[str, object]:
    """The YAML of this training."""
    data = {
        "name": "scale", "root": str(table.parent.resolve()), "table": table.name, "id": "customer", "as_of": "day",
        "label": "left",
    }  # fmt: skip
    return {
        "data": data, "model": "churn", "population": {"table": "all"},
        "outcome": {"kind": "label", "horizon_days": 28}, "as_of": {"every": "month", "test_dates": tests},
        "capacity": {"contacts": 1000}, "candidates": ["logistic", "lightgbm"],
    }  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
