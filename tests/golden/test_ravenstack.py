"""Real-looking data without a signal: the checks complain, the gate says no, and the list says what it is."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from features import config as configs
from serving.lists import daily
from tests.golden.house import add_up, door, silent
from training import job
from training.config import TrainConfig

FOLDER = Path(__file__).parents[1] / "ravenstack"


def test_the_checks_complain_about_the_time_order(datasets):
    said = door("features", "check", FOLDER / "churn.yaml", "--json")
    assert said.code == 1 and said.json["passed"] is False
    wrong = {
        (found["check"], found["text"].partition(":")[0])
        for found in said.json["findings"]
        if found["level"] == "error"
    }
    assert wrong == {("time order", stream) for stream in ("usage", "error", "ticket", "churned")}


def test_no_model_beats_the_newest_customer_and_that_rule_is_placed(ravenstack):
    said, world = ravenstack
    assert said.code == 1
    assert (said.json["grade"], said.json["kind"], said.json["rule"]) == ("C", "rule", "tenure_days")
    assert said.json["promoted"] is True
    bundle = daily.champions(world.config)["churn"]
    assert bundle.version == said.json["version"] and bundle.info.names == ["tenure_days"]
    ages = pd.DataFrame({"tenure_days": np.arange(0.0, 2000.0)})
    assert (np.diff(bundle.margin(bundle.matrix(ages))) < 0).all()


@pytest.mark.parametrize(
    ("lang", "words"),
    [("en", "Ranked by a simple rule (tenure_days)"), ("ja", "単純なルール（tenure_days）による順位")],
)
def test_the_list_says_that_it_is_ranked_by_a_rule(ravenstack, lang, words):
    _, world = ravenstack
    said = door("serving", "list", world.path, "churn", "--json", "--lang", lang, "--top", 500)
    assert said.code == 0 and said.json["grade"] == "C" and said.json["note"].startswith(words)
    rows = sorted(said.json["rows"], key=lambda row: row["reasons"][0]["facts"]["tenure_days"])
    assert len(rows) == 500 and {row["reasons"][0]["family"] for row in rows} == {"tenure"}
    scores = [row["score"] for row in rows]
    assert scores == sorted(scores, reverse=True)


def test_every_row_of_the_rules_list_adds_up(ravenstack):
    assert add_up(ravenstack[1], "churn") == 500


@pytest.mark.parametrize(("seeds", "most"), [(10, 1), pytest.param(40, 3, marks=pytest.mark.soak)])
def test_outcomes_shuffled_within_each_date_teach_nothing(datasets, seeds, most):
    """Seeds from 0, fixed beforehand: never an A, hardly ever not C."""
    config = configs.load(FOLDER / "churn.yaml", TrainConfig)
    made = job.snapshot(config, silent)
    grades = Counter(_grade_shuffled(config, made, seed) for seed in range(seeds))
    assert grades["A"] == 0 and grades["C"] >= seeds - most, grades


def _grade_shuffled(config: TrainConfig, made: job.Snapshot, seed: int) -> str:
    random, outcome = np.random.default_rng(seed), made.frame["outcome"].to_numpy().copy()
    for rows in made.frame.groupby("as_of").indices.values():
        outcome[rows] = random.permutation(outcome[rows])
    return job.evaluate(config, replace(made, frame=made.frame.assign(outcome=outcome)), silent).grade.letter
