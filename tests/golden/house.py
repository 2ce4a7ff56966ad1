"""Doors as typed, and whole small worlds: a shipped data set, models trained on it, their published lists."""

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

from features import config as configs
from features.snapshot import Snapshot
from serving.config import ServingConfig
from serving.lists import daily
from serving.stores import store
from tests.service.world import World
from training import job
from training.bundle import Bundle
from training.config import TrainConfig
from training.folds import Folds
from training.grade import Grade
from training.job import Evaluation
from training.refit import refit
from training.rows import rows

ROOT = Path(__file__).parents[2]
MODELS = {
    "saas": {"churn": "lightgbm", "upsell": "logistic"},
    "grocery": {"churn": "logistic", "upsell": "lightgbm"},
    "relax": {"churn": "lightgbm"},
}
SMALL = ["windows.days=[28,90]"]
UNSET = pytest.mark.skipif(not os.environ.get("TSUNAGI_DATASETS"), reason="TSUNAGI_DATASETS names no folder")
RELAX, CDNOW = pytest.param("relax", marks=UNSET), pytest.param("cdnow", marks=UNSET)
SETS = ["saas", "grocery", RELAX]


@dataclass(frozen=True)
class Said:
    """What a command answered."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict:
        return json.loads(self.out.splitlines()[-1])


def door(room: str, *words: object, home: Path | None = None) -> Said:
    """Run ``python -m room words`` in its own process, warnings as errors; ``home`` is another workspace."""
    command = [sys.executable, "-W", "error", "-m", room, *map(str, words)]
    environment = os.environ | ({"TSUNAGI_WORKSPACE": str(home)} if home else {})
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr, done.stderr
    return Said(done.returncode, done.stdout, done.stderr)


def silent(_: str) -> None:
    """Progress nobody reads."""


def make(folder: Path, source: str, tables: Path | None = None) -> World:
    """configs/SOURCE under a name of its own: cheap models of two kinds trained, placed and published."""
    folder.mkdir()
    for path in (ROOT / "configs" / source).glob("*.yaml"):
        text = re.sub(rf"^name: {source}$", f"name: golden-{source}", path.read_text("utf-8"), flags=re.M)
        text = re.sub(r"^root: workspace/.*$", f'root: "{tables}"', text, flags=re.M)
        (folder / path.name).write_text(text, "utf-8")
    path = folder / "serving.yaml"
    world = World(path, configs.load(path, ServingConfig))
    for model, candidate in MODELS[source].items():
        config = configs.load(folder / f"{model}.yaml", TrainConfig, SMALL)
        world.place(trained(config, job.snapshot(config, silent), candidate))
    for model in world.config.models:
        world.publish(None, model)
    return world


def trained(config: TrainConfig, made: Snapshot, name: str) -> Bundle:
    """A bundle of this candidate or rule, fitted on every date and not judged."""
    table, none = rows(made.frame, made.features), pd.DataFrame()
    passed = Grade("C" if name not in ("logistic", "lightgbm") else "B", ("not judged",), {})
    judged = Evaluation(config, table, 1, made.fingerprint, Folds((), ()), name, name, none, none, none, passed)
    bundle = refit(judged, silent)
    assert bundle is not None
    return bundle


def add_up(world: World, model: str) -> int:
    """Check every row of the published list, from the store and from its file; returns how many rows."""
    bundle = daily.champions(world.config)[model]
    with world.session() as session:
        run = store.published(session, model)
        stored = list(store.listed(session, run.id))
    for row in stored:
        parts = row.families.values()
        assert abs(sum(part["log_odds"] for part in parts) + bundle.base_margin - row.margin) < 1e-9
        assert abs(sum(part["points"] for part in parts) - (row.score - run.reference)) < 1e-9
    text = json.loads((world.config.home / "lists" / f"{model}-{run.as_of}.json").read_text("utf-8"))
    assert run.reference == text["reference"] == bundle.base_probability
    assert [row["customer_id"] for row in text["rows"]] == [row.customer_id for row in stored]
    for row, whole in zip(text["rows"], stored):
        assert row["score"] == whole.score and len(row["reasons"]) <= 3
        told = {reason["family"]: (reason["log_odds"], reason["points"]) for reason in row["reasons"]}
        assert told.items() <= {name: (p["log_odds"], p["points"]) for name, p in whole.families.items()}.items()
    return len(stored)
