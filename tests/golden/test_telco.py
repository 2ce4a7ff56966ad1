"""A published ready-made table: its figures by five-fold cross-validation over customers, and the list made of it."""

from datetime import date, datetime
from pathlib import Path

import pandas as pd
import pytest

from features.checks import quality
from features.config import load
from features.ready import table as ready
from serving.config import ServingConfig
from serving.lists import daily, today
from serving.stores import store
from training import bundle, job, metrics
from training.config import TrainConfig
from training.refit import refit

CONFIG = Path("configs/telco/churn.yaml")


@pytest.fixture(scope="module")
def judged(datasets) -> job.Evaluation:
    config = load(CONFIG, TrainConfig)
    made = job.snapshot(config, lambda text: None)
    assert quality.leaking(made) == []
    return job.evaluate(config, made, lambda text: None)


def test_every_customer_is_scored_once_by_a_model_that_never_saw_them(judged):
    assert len(judged.rows) == 7_043 and int(judged.rows.outcome.sum()) == 1_869
    assert len(judged.scored) == 7_043 and judged.scored["customer_id"].is_unique


def test_the_scores_are_as_good_as_published(judged):
    auc = metrics.roc_auc(judged.scored["outcome"].to_numpy(), judged.scored["score"].to_numpy())
    assert 0.845 <= auc <= 0.852, "published: .83 to .85 by five-fold cross-validation; far above it something leaks"
    assert judged.tests.set_index("candidate").loc[["logistic", "lightgbm"], "roc_auc"].min() >= 0.845


def test_the_best_rule_is_the_time_as_a_customer_and_the_grade_is_b(judged):
    assert judged.rule == "tenure" and judged.grade.letter == "B"
    assert judged.grade.figures["gain_low"] > 0.15


def test_blanks_are_null_and_yes_and_no_are_flags(datasets):
    said = list[str]()
    made = ready.snapshot(load(CONFIG, TrainConfig), said.append)
    assert said == ["telco.csv: TotalCharges: numbers and 11 blanks, which are read as null"]
    assert made.frame["TotalCharges"].isna().sum() == 11
    flags = {feature.name for feature in made.features if feature.unit == "flag"}
    assert flags == {"SeniorCitizen", "Partner", "Dependents", "PhoneService", "PaperlessBilling"}
    assert all(feature.label["ja"] != feature.name for feature in made.features)


def test_the_list_is_published_with_reasons_in_both_languages(judged, tmp_path, monkeypatch):
    monkeypatch.setenv("TSUNAGI_WORKSPACE", str(tmp_path))
    own = refit(judged, lambda text: None)
    assert own is not None
    bundle.save(own, tmp_path / "bundle")
    config = load(CONFIG.with_name("serving.yaml"), ServingConfig)
    bundle.place(tmp_path / "bundle", config.home, "churn")
    store.migrate(store.connect(config.store_url))
    known = today.read(config, date(2026, 1, 1))
    made = daily.run(config, own, None, known, lambda: datetime(2026, 1, 1))
    assert (made.as_of, made.rows) == (date(2018, 9, 30), 7_043)
    assert pd.read_csv(made.csv)["reason_1"].str.contains(": ").all()
    assert not daily.run(config, own, None, known, lambda: datetime(2026, 1, 2)).published
