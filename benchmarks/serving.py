"""The service beside an empty BentoML endpoint and ``mlflow models serve``, and under a load that does not wait.

    python -m benchmarks.serving --folder FOLDER
    python -m benchmarks.serving --folder FOLDER --only steady overload --minutes 10

Makes a simulated company in FOLDER, trains LightGBM (``--trees`` of ``--leaves``) on it and publishes a list, unless
that is there. Servers and askers are processes of their own on 127.0.0.1, one server at a time, in turns; the fastest
of ``--repeat`` runs counts. Rates are those of one worker; a steady load and an overload meet the service with
``--workers``, as docs/deploy.md advises. Prints one JSON object a question.
"""

import argparse
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

from benchmarks.work import Parser
from features.command import progress
from features.errors import DataError, InputError

HOUSE = Path(__file__).absolute().parent.parent
START_SECONDS = 180
DEEP, TREES, LEAVES, CUSTOMERS = 6, 300, 31, 20_000
WORKERS = 2
FOLDER = Path(os.environ.get("TSUNAGI_WORKSPACE", "workspace")) / "benchmarks" / "serving"


@dataclass(frozen=True)
class World:
    """A company with a published list in ``folder``. ``config``: its serving.yaml."""

    folder: Path

    @property
    def config(self) -> Path:
        return self.folder / "configs" / "serving.yaml"

    @property
    def environment(self) -> dict[str, str]:
        own = {"TSUNAGI_WORKSPACE": str(self.folder / "workspace"), "TSUNAGI_CONFIG": str(self.config)}
        own |= {"BENTOML_HOME": str(self.folder / "bentoml"), "BENTOML_DO_NOT_TRACK": "True"}
        own |= {"MLFLOW_DISABLE_TELEMETRY": "true", "PYTHONPATH": str(HOUSE), "OMP_WAIT_POLICY": "PASSIVE"}
        own |= {"PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])}  # for MLflow
        return os.environ | own

    def run(self, *words: str) -> str:
        """What ``python -m WORDS`` printed. Raises DataError with its last line when it fails."""
        command = [sys.executable, "-m", *words]
        done = subprocess.run(command, env=self.environment, cwd=HOUSE, capture_output=True, text=True, check=False)
        if done.returncode > 1:
            raise DataError(f"{' '.join(words)}: {(done.stderr or done.stdout).strip().splitlines()[-1]}")
        return done.stdout

    @cached_property
    def key(self) -> str:
        words = ("serving", "keys", "create", str(self.config), "--name", "benchmark", "--replace", "--json")
        return json.loads(self.run(*words).splitlines()[-1])["key"]

    @cached_property
    def customers(self) -> list[str]:
        """The ids of the newest list, in an order that is nobody's."""
        said = self.run("serving", "list", str(self.config), "churn", "--top", "1000000", "--json")
        ids = [row["customer_id"] for row in json.loads(said.splitlines()[-1])["rows"]]
        random.Random(0).shuffle(ids)
        return ids


def make(folder: Path, customers: int, trees: int, leaves: int) -> World:
    """The company, its model and its list, unless they are there."""
    world = World(folder)
    if any((folder / "workspace").glob("*/lists/churn-*.csv")):
        return world
    (folder / "configs").mkdir(parents=True, exist_ok=True)
    if not (folder / "data" / "accounts.parquet").exists():
        progress(f"making a company of {customers:,} customers")
        world.run("simulation", "--customers", str(customers), "--months", "24", "--out", str(folder / "data"))
    data = (
        (HOUSE / "configs/saas/data.yaml").read_text().replace("root: workspace/saas/data", f"root: {folder / 'data'}")
    )
    churn = (HOUSE / "configs/saas/churn.yaml").read_text().replace("[logistic, lightgbm]", "[lightgbm]")
    size = f"num_iterations: {trees}, num_leaves: {leaves}, max_depth: {DEEP}, learning_rate: 0.03"
    churn += f"settings: {{lightgbm: {{{size}}}}}\n"
    texts = {"data.yaml": data, "churn.yaml": churn, "serving.yaml": "data: data.yaml\nmodels: [churn]\n"}
    for name, text in texts.items():
        (folder / "configs" / name).write_text(text)
    progress(f"training {trees} trees of {leaves} leaves")
    world.run("training", "train", str(folder / "configs" / "churn.yaml"))
    progress("publishing a list")
    world.run("serving", "daily", str(world.config))
    return world


@contextmanager
def served(world: World, name: str, workers: int = 1) -> Iterator[str]:
    """The address at which ``name`` answers: tsunagi (so many workers), empty or mlflow. It is stopped at the end."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    url, log = f"http://127.0.0.1:{port}", world.folder / f"{name}.log"
    bento = [sys.executable, "-m", "bentoml", "serve", "--host", "127.0.0.1", "--port", port]
    commands = {
        "tsunagi": [*bento, "serving.service:Tsunagi"],
        "empty": [*bento, "benchmarks.empty:Empty"],
        "mlflow": [sys.executable, "-m", "mlflow", "models", "serve", "-m", "models:/saas-churn/1",
                   "--env-manager", "local", "-h", "127.0.0.1", "-p", port],
    }  # fmt: skip
    environment = world.environment | {"TSUNAGI_WORKERS": str(workers)}
    environment |= {"MLFLOW_TRACKING_URI": f"sqlite:///{world.folder}/workspace/saas/mlflow.db"}
    with log.open("wb") as out:
        process = subprocess.Popen(
            commands[name], env=environment, cwd=HOUSE, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        _wait(f"{url}{'/ping' if name == 'mlflow' else '/livez'}", process, log)
        yield url
    finally:
        with suppress(ProcessLookupError):  # it has ended by itself; what ``_wait`` says of that counts
            os.killpg(process.pid, signal.SIGINT)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


def _wait(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    until = time.monotonic() + START_SECONDS
    while True:
        try:
            with urlopen(url, timeout=2):
                return
        except (URLError, OSError):
            if process.poll() is not None or time.monotonic() > until:
                raise DataError(f"{url}: no answer; {log} says why") from None
            time.sleep(0.3)


@dataclass(frozen=True)
class Question:
    """What is asked, of whom. rows: customers in one body."""

    name: str
    server: str
    path: str
    bodies: Sequence[dict[str, Any]]
    rows: int = 1


def ask(world: World, question: Question, url: str, **options: float) -> dict[str, Any]:
    """One run of the asker against a server that is there."""
    file = world.folder / "bodies.jsonl"
    file.write_text("\n".join(json.dumps(body) for body in question.bodies))
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    said = world.run("benchmarks.load", url + question.path, "--body", str(file), "--key", world.key, *words)
    return json.loads(said.splitlines()[-1])


def questions(world: World) -> list[Question]:
    """The same customers for all: as listed, with a change that makes a fresh score needed, a thousand at once."""
    ids = world.customers[:5_000]
    plain = [_score([{"customer_id": one}]) for one in ids]
    changed = [_score([{"customer_id": one, "changes": {"login_recency": n % 60}}]) for n, one in enumerate(ids)]
    some = [ids[start : start + 1_000] for start in range(0, len(ids) - 999, 1_000)] or [(ids * 1_000)[:1_000]]
    many = [_score([{"customer_id": one} for one in thousand]) for thousand in some]
    fresh = [_score([{"customer_id": one, "changes": {"login_recency": 9}} for one in thousand]) for thousand in some]
    return [
        Question("empty", "empty", "/score", plain),
        Question("by id, three reasons", "tsunagi", "/score", plain),
        Question("with changes, three reasons", "tsunagi", "/score", changed),
        Question("1,000 by id", "tsunagi", "/score", many, 1_000),
        Question("1,000 with changes", "tsunagi", "/score", fresh, 1_000),
        Question("mlflow models serve, no reasons", "mlflow", "/invocations", [_rows(world, ids[0])]),
    ]


def _score(customers: list[dict[str, Any]]) -> dict[str, Any]:
    return {"model": "churn", "customers": customers, "reasons": 3}


def _rows(world: World, customer: str) -> dict[str, Any]:
    """The features of one customer as MLflow's server takes them."""
    from serving.lists.rows import Rows
    from training import bundle as bundles

    home = world.folder / "workspace" / "saas"
    (path,) = [one for one in (home / "snapshots").iterdir() if one.name.startswith("churn-")][:1]
    rows, folder = Rows(path), bundles.champion(home, "churn")
    position = rows.position(customer)
    if folder is None or position is None:
        raise DataError(f"{home}: no champion, or not its list")
    values = rows.values(position)
    names = bundles.load(folder).info.names
    return {"dataframe_split": {"columns": names, "data": [[values[name] for name in names]]}}


def rates(world: World, repeat: int, seconds: float) -> None:
    """How many a second each answers, in turns, and the shares of the empty endpoint's."""
    found: dict[str, float] = {}
    asked = questions(world)
    for _ in range(repeat):
        for server in ("empty", "tsunagi", "mlflow"):
            with served(world, server) as url:
                for question in (one for one in asked if one.server == server):
                    connections = 2 if question.rows > 1 else 8
                    ask(world, question, url, connections=connections, seconds=1.5)
                    run = ask(world, question, url, connections=connections, seconds=seconds)
                    if run["errors"] or set(run["statuses"]) != {"200"}:
                        raise DataError(f"{question.name}: {run['statuses']} {run['errors']}")
                    found[question.name] = max(found.get(question.name, 0.0), run["per_second"] * question.rows)
                    progress(f"{question.name}: {run['per_second'] * question.rows:,.0f} rows a second")
    for question in asked:
        share = found[question.name] / found["empty"]
        print(
            json.dumps(
                {"question": question.name, "rows_per_second": found[question.name], "of_empty": round(share, 2)}
            )
        )


def steady(world: World, workers: int, rate: float, seconds: float) -> None:
    """``rate`` requests a second with reasons, by id and with changes, due whether or not others are answered."""
    plain, changed = questions(world)[1:3]
    mixed = [body for pair in zip(plain.bodies, changed.bodies) for body in pair]
    with served(world, "tsunagi", workers) as url:
        for name, bodies in (("by id", plain.bodies), ("by id and with changes in turn", mixed)):
            asked = Question(name, "tsunagi", "/score", bodies)
            ask(world, asked, url, connections=8, seconds=1.5)
            found = ask(world, asked, url, rate=rate, seconds=seconds)
            print(json.dumps({"question": f"{rate:g}/s {name}", "workers": workers, **found}), flush=True)


def capacity(world: World, question: Question, url: str) -> float:
    """How many a second are answered with a 200 at full speed; to refuse is quicker, and does not count."""
    full = ask(world, question, url, connections=8, seconds=5.0)
    return round(float(full["per_second"] * full["statuses"].get("200", 0) / full["requests"]), 1)


def overload(world: World, workers: int, seconds: float) -> None:
    """Twice what it can answer, then a tenth of that: only 429s beyond capacity, and quick again at once."""
    with served(world, "tsunagi", workers) as url:
        changed = questions(world)[2]
        ask(world, changed, url, connections=8, seconds=1.5)
        full = capacity(world, changed, url)
        over = ask(world, changed, url, rate=2 * full, seconds=seconds)
        after = ask(world, changed, url, rate=max(full / 10, 1.0), seconds=5.0)
        print(json.dumps({"question": "capacity", "workers": workers, "per_second": full}))
        print(json.dumps({"question": "twice the capacity", **over}))
        print(json.dumps({"question": "a tenth of it, right after", **after}))


def metrics(url: str, key: str) -> str:
    """The text of /metrics."""
    with urlopen(Request(f"{url}/metrics", headers={"X-API-Key": key}), timeout=10) as answer:
        return answer.read().decode()


def main() -> int:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--customers", type=int, default=CUSTOMERS)
    parser.add_argument("--trees", type=int, default=TREES)
    parser.add_argument("--leaves", type=int, default=LEAVES)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=6.0, help="of one run at full speed")
    parser.add_argument("--rate", type=float, default=300.0)
    parser.add_argument("--minutes", type=float, default=1.0, help="of the steady load")
    parser.add_argument("--workers", type=int, default=WORKERS, help="of the service under steady load and overload")
    parser.add_argument("--only", nargs="*", choices=("rates", "steady", "overload"))
    parser.add_argument("--again", action="store_true", help="make the company, its model and its list anew")
    chosen = parser.parse_args()
    asked = chosen.only or ["rates", "steady", "overload"]
    try:
        if chosen.again:
            shutil.rmtree(chosen.folder, ignore_errors=True)
        world = make(chosen.folder.absolute(), chosen.customers, chosen.trees, chosen.leaves)
        if "rates" in asked:
            rates(world, chosen.repeat, chosen.seconds)
        if "steady" in asked:
            steady(world, chosen.workers, chosen.rate, 60 * chosen.minutes)
        if "overload" in asked:
            overload(world, chosen.workers, 15.0)
    except (InputError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
