"""Choosing, grading and refitting on a small company, without the registry."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from features.config import load
from features.errors import ConfigError, DataError
from tests.company import configs, logins, tables
from training import job
from training.bundle import load as load_bundle
from training.bundle import save
from training.config import TrainConfig
from training.refit import refit
from training.report import summary

TRAINING = {"model": "churn", "windows": {"days": [7, 28]}}


def silent(_):
    pass


def company(customers=700, weeks=60, seed=0):
    """Customers log in about weekly; those with trouble open tickets and soon leave."""
    random = np.random.default_rng(seed)
    start, events = pd.Timestamp("2025-01-06"), {"login": [], "ticket": []}
    for number in range(customers):
        trouble = False
        for week in range(weeks):
            trouble = trouble or random.random() < 0.03
            for stream, rate in (("login", 1.0), ("ticket", 1.5 if trouble else 0.1)):
                days = 7 * week + random.integers(0, 7, random.poisson(rate))
                events[stream] += [(f"c{number:04}", start + pd.Timedelta(days=int(d), hours=9)) for d in days]
            if random.random() < (0.15 if trouble else 0.004):
                break
    frames = {f"{name}s": pd.DataFrame(rows, columns=["id", "at"]) for name, rows in events.items()}
    return {"customers": pd.DataFrame({"id": [f"c{n:04}" for n in range(customers)]}), **frames}


def written(folder, frames, **changes):
    tables(folder, **frames)
    data = {"streams": {"ticket": {"table": "tickets.parquet", "at": "at"}}} if "tickets" in frames else {}
    return configs(folder, data, {**TRAINING, **changes})


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("company")
    changes = {"as_of": {"every": "28d", "test_dates": 4, "first": "2025-03-03"}}
    config = load(written(folder, company(), **changes), TrainConfig)
    return config, job.snapshot(config, silent)


def test_two_streams_beat_every_rule_and_the_choice_is_made_before_the_test_dates(world):
    config, made = world
    lines = []
    judged = job.evaluate(config, made, lines.append)
    assert judged.grade.letter in ("A", "B"), judged.grade
    facts = summary(judged)
    assert max(facts["dates"]["selection"]) < min(facts["dates"]["test"])
    assert set(judged.tests["candidate"]) == {judged.chosen, judged.rule}
    assert facts["metrics"]["roc_auc"]["low"] < facts["metrics"]["roc_auc"]["value"]
    assert any(line.startswith("chosen: ") for line in lines)


def test_the_same_rows_give_the_same_bundle_byte_for_byte(world, tmp_path):
    config, made = world
    for name in ("one", "two"):
        save(refit(job.evaluate(config, made, silent), silent), tmp_path / name)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def test_the_bundle_scores_snapshot_rows_and_says_where_it_comes_from(world, tmp_path):
    config, made = world
    judged = job.evaluate(config, made, silent)
    save(refit(judged, silent), tmp_path / "b")
    bundle = load_bundle(tmp_path / "b")
    assert bundle.info.fingerprint == made.fingerprint
    assert bundle.info.rule == judged.rule
    scores = bundle.probability(bundle.margin(bundle.matrix(made.frame)))
    assert abs(scores.mean() - bundle.info.base_rate) < 0.02
    assert set(bundle.band(scores)) == {"high", "medium", "low"}
    assert len(bundle.reference.scores) == 1001
    assert set(bundle.reference.features) == set(bundle.info.names)


def test_compare_scores_every_candidate_on_the_test_dates(world):
    config, made = world
    judged = job.evaluate(config, made, silent, compare=True)
    assert {"logistic", "lightgbm", judged.rule} == set(judged.tests["candidate"])


def test_shuffled_outcomes_are_a_c_and_the_rule_is_the_bundle(world):
    config, made = world
    random, frame = np.random.default_rng(0), made.frame.copy()
    shuffled = frame.groupby("as_of")["outcome"].transform(lambda own: random.permutation(own.to_numpy()))
    judged = job.evaluate(config, replace(made, frame=frame.assign(outcome=shuffled)), silent)
    assert judged.grade.letter == "C"
    bundle = refit(judged, silent)
    assert (bundle.info.kind, bundle.info.grade, bundle.info.names) == ("rule", "C", [judged.rule])
    assert bundle.info.metrics["roc_auc"].value < 0.65


@pytest.mark.parametrize(("leavers", "names"), [(15, []), (30, ["logistic"]), (80, ["logistic", "lightgbm"])])
def test_small_data_leave_only_what_they_can_carry(leavers, names):
    assert job.allowed(("logistic", "lightgbm"), leavers) == names


def test_a_handful_of_customers_get_a_rule_and_are_told(tmp_path):
    people, events = logins(customers=40)
    config = load(written(tmp_path, {"customers": people, "logins": events}), TrainConfig)
    judged = job.evaluate(config, job.snapshot(config, silent), silent)
    assert judged.grade.letter == "C"
    assert "under 20 only rules compete" in judged.grade.reasons[0]
    assert refit(judged, silent).info.kind == "rule"


def test_no_outcome_at_all_is_a_c_with_nothing_to_place(tmp_path):
    people, events = logins(customers=30)
    active = events[~events["id"].isin([f"c{n:03}" for n in range(0, 30, 5)])]
    config = load(written(tmp_path, {"customers": people, "logins": active}), TrainConfig)
    judged = job.evaluate(config, job.snapshot(config, silent), silent)
    assert judged.grade.letter == "C"
    assert "no customer has the outcome" in judged.grade.reasons[0]
    assert judged.metrics == {}
    assert refit(judged, silent) is None


def test_without_selection_dates_the_choice_is_made_by_customers(world):
    config, made = world
    late = made.frame["as_of"] >= sorted(made.frame["as_of"].unique())[-6]
    lines = []
    frame = made.frame[late].reset_index(drop=True)
    judged = job.evaluate(config, replace(made, frame=frame), lines.append)
    assert any("cross-validation over customers" in line for line in lines)
    assert set(judged.selection["fold"]) == {f"customers {k}/3" for k in (1, 2, 3)}


def test_a_horizon_longer_than_the_data_is_refused(world):
    config, made = world
    longer = config.model_copy(update={"outcome": config.outcome.model_copy(update={"horizon_days": 999})})
    with pytest.raises(DataError, match="use a shorter horizon"):
        job.evaluate(longer, made, silent)


def test_without_a_number_that_can_rank_there_is_no_rule_to_beat(world):
    config, made = world
    kept = tuple(feature for feature in made.features if feature.measure == "spike")
    with pytest.raises(ConfigError, match="keep a recency or a count"):
        job.evaluate(config, replace(made, features=kept), silent)


def test_an_amount_that_is_no_column_is_refused_before_training(world):
    config, _ = world
    value = config.value.model_copy(update={"amount": "arr"})
    with pytest.raises(DataError, match="no column arr"):
        job.snapshot(config.model_copy(update={"value": value}), silent)


def test_capacity_by_owner_counts_every_owner(world):
    config, made = world
    capacity = config.capacity.model_copy(update={"by": "owner", "contacts": 5})
    frame = made.frame.assign(owner=np.where(made.frame.index % 2, "ann", "bob"))
    own = config.model_copy(update={"capacity": capacity})
    judged = job.evaluate(own, replace(made, frame=frame), silent)
    reached = summary(judged)["at_capacity"]
    assert reached["contacts"] == 10
    assert reached["lift"] > 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("holdout=0.9", "holdout"),
        ("candidates=[forest]", "candidates"),
        ("gate.min_grade=D", "gate.min_grade"),
        ("value.effekt=0.2", "unknown key"),
        ("model=Churn Model", "model"),
    ],
)
def test_a_wrong_setting_is_refused_with_its_path(change, words, tmp_path):
    path = configs(tmp_path, {}, TRAINING)
    with pytest.raises(ConfigError, match=words):
        load(path, TrainConfig, [change])


def test_the_amount_may_bear_the_name_of_the_subscription_value(tmp_path):
    terms = {"table": "terms.parquet", "start": "start", "end": "end", "value": "arr"}
    path = configs(tmp_path, {"subscriptions": terms}, {**TRAINING, "value": {"amount": "arr"}})
    assert load(path, TrainConfig).value.column == "subscription_value"
