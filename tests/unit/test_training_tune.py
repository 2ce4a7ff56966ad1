"""Tuning: what is drawn, when it stops, what is kept, and when settings are replaced."""

import fcntl
import sqlite3
from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import optuna
import pandas as pd
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from sklearn.metrics import average_precision_score

from features.config import load
from features.errors import ConfigError, DataError
from tests.company import configs
from tests.unit.bundles import COLUMNS, frame
from training import job, tracking
from training.columns import encode
from training.config import TrainConfig
from training.evaluate import Split
from training.fit import NoFit, fit_margin
from training.rows import Rows
from training.settings import EXPLAINED, LightGBM, Logistic, Settings
from training.tuning import search as tune
from training.tuning import study, tuned
from training.tuning.space import SPACES, settled, space
from training.tuning.study import Attempt, Budget, Study
from training.tuning.tuned import Found, Tuned

OWN = Settings()
FOLDS = ("2025-01-01", "2025-02-01", "2025-03-01")


def silent(_):
    pass


def judge(settings):
    """The best C is 0.3; later folds are easier."""
    for number, fold in enumerate(FOLDS):
        yield fold, 0.5 + 0.05 * number - 0.02 * abs(np.log10(settings.logistic.C / 0.3))


def settings_tried(attempts):
    return [(own.state, own.settings, own.folds) for own in attempts]


def made(home, trials, judge=judge, candidate="logistic", own=OWN, name="s", say=silent):
    """A study of so many trials: (attempts, whether Ctrl-C ended it)."""
    with study.opened(home) as storage:
        one = Study(storage, name, candidate, own, judge, say)
        stopped = one.search(Budget(trials=trials))
        return one.attempts, stopped


class Clock:
    """A clock that a fit moves on."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def takes(self, minutes, judge=judge):
        def judged(settings):
            for fold in judge(settings):
                self.now += 60 * minutes
                yield fold

        return judged


# What is drawn


@st.composite
def lightgbms(draw):
    try:
        return LightGBM(
            num_iterations=draw(st.integers(1, 2_000)),
            learning_rate=draw(st.floats(1e-4, 1)),
            num_leaves=draw(st.integers(2, 255)),
            max_depth=draw(st.integers(1, 12)),
            min_data_in_leaf=draw(st.integers(1, 5_000)),
            bagging_fraction=draw(st.floats(0.01, 1)),
            feature_fraction=draw(st.floats(0.01, 1)),
            lambda_l2=draw(st.floats(0, 1e4)),
            positive_weight=draw(st.floats(0.1, 10)),
            monotone=draw(st.booleans()),
        )
    except ValidationError:
        return LightGBM()


@given(lightgbms(), st.floats(1e-9, 1e6))
def test_the_space_holds_the_settings_of_the_yaml(lightgbm, strength):
    own = Settings(lightgbm=lightgbm, logistic=Logistic(C=strength))
    for candidate in SPACES:
        for name, span in space(candidate, own).items():
            value = getattr(getattr(own, candidate), name)
            assert span._contains(span.to_internal_repr(value)), (name, value)


@given(lightgbms(), st.integers(0, 1_000))
def test_any_draw_can_be_explained_and_leaves_alone_what_is_not_searched(lightgbm, seed):
    own = Settings(lightgbm=lightgbm, negatives=0.5)
    sampler = optuna.samplers.RandomSampler(seed=seed)
    drawn = {name: sampler.sample_independent(None, None, name, span) for name, span in space("lightgbm", own).items()}
    chosen = settled("lightgbm", own, drawn)
    assert chosen.lightgbm.explanation <= EXPLAINED
    assert chosen.lightgbm.num_leaves <= 2**chosen.lightgbm.max_depth
    assert chosen.lightgbm.positive_weight == lightgbm.positive_weight
    assert (chosen.negatives, chosen.logistic) == (0.5, own.logistic)


def test_the_largest_draw_gets_no_more_trees_than_can_be_explained():
    largest = {name: getattr(span, "high", True) for name, span in SPACES["lightgbm"].items()}
    assert largest["num_iterations"] * largest["num_leaves"] * largest["max_depth"] ** 2 > EXPLAINED
    chosen = settled("lightgbm", OWN, largest).lightgbm
    assert chosen.num_iterations == EXPLAINED // (31 * 36)


def test_without_wider_settings_in_the_yaml_trees_stay_shallow():
    assert space("lightgbm", OWN)["max_depth"].high == 6


# What is tried, and when it ends


def test_the_settings_of_the_yaml_come_first_and_exactly(tmp_path):
    own = Settings(logistic=Logistic(C=0.0123456789))
    attempts, stopped = made(tmp_path, 3, own=own)
    assert attempts[0].settings == {"C": 0.0123456789}
    assert attempts[0].value == 0
    assert [attempt.number for attempt in attempts] == [0, 1, 2]
    assert not stopped


def test_a_search_finds_what_is_better(tmp_path):
    attempts, _ = made(tmp_path, 20)
    best = max(attempts, key=lambda own: own.value)
    assert 0.1 < best.settings["C"] < 0.9
    assert best.value == pytest.approx(best.mean - attempts[0].mean)


def test_a_fresh_study_of_so_many_trials_is_always_the_same(tmp_path):
    assert settings_tried(made(tmp_path / "a", 15)[0]) == settings_tried(made(tmp_path / "b", 15)[0])


def test_a_study_in_two_runs_equals_one_in_one(tmp_path):
    whole, _ = made(tmp_path / "one", 15)
    made(tmp_path / "two", 7)
    again, _ = made(tmp_path / "two", 15)
    assert settings_tried(again) == settings_tried(whole)


def test_trials_that_are_there_count_and_a_repeated_command_makes_none(tmp_path):
    lines = []
    made(tmp_path, 5)
    made(tmp_path, 5, say=lines.append)
    assert lines == []


def test_one_number_is_not_searched_forever(tmp_path):
    assert len(made(tmp_path, 50)[0]) == study.ENOUGH["logistic"]


def test_ctrl_c_keeps_what_ended_and_the_next_run_makes_the_cut_off_trial_again(tmp_path):
    calls = []

    def interrupted(settings):
        calls.append(settings)
        for number, fold in enumerate(judge(settings)):
            if len(calls) == 4 and number == 1:
                raise KeyboardInterrupt
            yield fold

    attempts, stopped = made(tmp_path / "two", 8, interrupted)
    assert stopped and len(attempts) == 3
    again, stopped = made(tmp_path / "two", 8)
    assert not stopped
    assert settings_tried(again) == settings_tried(made(tmp_path / "one", 8)[0])


def test_a_killed_run_leaves_no_half_trial(tmp_path):
    class Killed(BaseException):
        pass

    def killed(settings):
        yield FOLDS[0], 0.5
        raise Killed

    with study.opened(tmp_path) as storage:
        one = Study(storage, "s", "logistic", OWN, killed, silent)
        trial, settings = one._drawn(0)
        with pytest.raises(Killed):
            one._judged(trial, settings, None, Budget())
    assert settings_tried(made(tmp_path, 8)[0]) == settings_tried(made(tmp_path / "other", 8)[0])


def test_the_clock_stops_between_folds_and_half_a_trial_does_not_count(tmp_path):
    clock = Clock()
    with study.opened(tmp_path) as storage:
        one = Study(storage, "s", "logistic", OWN, clock.takes(1), silent)
        one.search(Budget(minutes=7.5, clock=clock).started())
        assert [len(own.folds) for own in one.attempts] == [3, 3]
        assert clock.now == 60 * 8


def test_the_settings_of_the_yaml_are_judged_in_full_whatever_the_clock(tmp_path):
    clock = Clock()
    with study.opened(tmp_path) as storage:
        one = Study(storage, "s", "logistic", OWN, clock.takes(60), silent)
        one.search(Budget(minutes=0.1, clock=clock).started())
        assert [len(own.folds) for own in one.attempts] == [3]


def test_candidates_share_the_time_that_is_left():
    clock = Clock()
    budget = Budget(minutes=10, clock=clock).started()
    first = budget.share(2)
    clock.now = 60.0
    assert (first.until, budget.share(1).until) == (300, 600)
    assert Budget(trials=3).started().share(2).until == np.inf


@pytest.mark.parametrize("wrong", [{"trials": 0}, {"trials": -3}, {"minutes": 0.0}, {"minutes": float("nan")}])
def test_a_budget_of_nothing_is_refused(wrong):
    with pytest.raises(ConfigError, match="must be above 0"):
        Budget(**wrong)


def test_settings_that_cannot_be_fitted_fail_alone(tmp_path):
    def fussy(settings):
        if settings.logistic.C > 0.1:
            raise NoFit("logistic could not be fitted (no)")
        yield from judge(settings)

    lines = []
    attempts, _ = made(tmp_path, 20, fussy, say=lines.append)
    states = {own.state for own in attempts}
    assert {"failed", "complete"} <= states
    assert all((own.state == "failed") == (own.settings["C"] > 0.1) for own in attempts)
    assert len(attempts) == 20 and any("failed: logistic could not be fitted" in line for line in lines)


def test_what_fails_every_time_is_given_up(tmp_path):
    def broken(settings):
        if settings.logistic.C != OWN.logistic.C:
            raise NoFit("the scheduler is gone")
        yield from judge(settings)

    assert len(made(tmp_path, 20, broken)[0]) == 1 + study.IN_VAIN


def test_the_settings_of_the_yaml_must_be_fittable(tmp_path):
    def broken(settings):
        raise NoFit("logistic could not be fitted (no)")
        yield

    with pytest.raises(NoFit):
        made(tmp_path, 3, broken)
    assert len(made(tmp_path, 3)[0]) == 3


def test_a_poor_start_is_pruned(tmp_path):
    asked = []

    def watched(settings):
        for fold in judge(settings):
            asked.append(settings.logistic.C)
            yield fold

    attempts, _ = made(tmp_path, 20, watched)
    pruned = [own for own in attempts if own.state == "pruned"]
    assert pruned and all(len(own.folds) < len(FOLDS) and own.value == -np.inf for own in pruned)
    assert len(asked) == sum(len(own.folds) for own in attempts)


def test_of_equal_models_the_cheaper_to_explain_is_best(tmp_path):
    attempts, _ = made(tmp_path, 8, lambda settings: ((fold, 0.5) for fold in FOLDS), "lightgbm")
    costs = [LightGBM(**own.settings).explanation for own in attempts]
    assert max(attempts, key=lambda own: own.value).number == int(np.argmin(costs))


# Where trials are kept


def test_a_damaged_file_is_said(tmp_path):
    (tmp_path / study.FILE).write_bytes(b"this is no database at all" * 100)
    with pytest.raises(DataError, match=r"not a database.*move it away and tune again"):
        made(tmp_path, 2)


def test_tables_of_another_version_are_said(tmp_path):
    made(tmp_path, 1)
    with sqlite3.connect(tmp_path / study.FILE) as base:
        base.execute("UPDATE version_info SET schema_version = 1")
        base.execute("UPDATE alembic_version SET version_num = 'v0.9.0.a'")
    base.close()
    with pytest.raises(DataError, match="trials cannot be kept there"):
        made(tmp_path, 2)


def test_two_tunings_at_once_are_refused(tmp_path):
    with (tmp_path / study.FILE).with_suffix(".lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(DataError, match="another tuning is running"):
            made(tmp_path, 1)
    assert made(tmp_path, 1)


def test_a_file_that_another_program_locks_is_said(tmp_path, monkeypatch):
    made(tmp_path, 1)
    monkeypatch.setattr(study, "WAIT", 0.01)
    base = sqlite3.connect(tmp_path / study.FILE)
    base.execute("BEGIN EXCLUSIVE")
    with pytest.raises(DataError, match=r"locked.*close what else has it open"):
        made(tmp_path, 2)
    base.close()


# What is replaced, and what is said


def found(gain, error, number=1, trials=2):
    attempts = [
        Attempt(n, "complete", {"C": 0.1 * (n + 1)}, {"2025-01-01": 0.5 + n * gain}, n * gain) for n in range(trials)
    ]
    return Found("logistic", "s", tuple(attempts), attempts[number], gain, error)


@pytest.mark.parametrize(
    ("gain", "error", "trials", "taken"),
    [
        (0.02, 0.01, 2, True), (0.01, 0.01, 2, False), (0.005, 0.01, 2, False), (-0.01, 0.001, 2, False),
        (0.0, 0.0, 2, False), (0.02, 0.01, 7, True), (0.02, 0.01, 8, False), (0.03, 0.01, 90, True), (0.03, 0.01, 91, False),
    ],
)  # fmt: skip
def test_a_winner_replaces_the_settings_only_beyond_the_luck_of_the_best_of_its_trials(gain, error, trials, taken):
    own = found(gain, error, trials=trials)
    assert own.taken is taken
    words = list(tuned.told(Tuned("churn", (own,), OWN, ("2025-01-01",), False)))[-1]
    assert ("replaced" in words) is taken


def world(seed=0, dates=9, people=250):
    """Rows of nine as-of dates, four weeks apart, and the same customers on each; as training holds them."""
    every = [date(2025, 1, 6) + timedelta(days=28 * number) for number in range(dates)]
    table = pd.concat([frame(people, seed + number, day) for number, day in enumerate(every)], ignore_index=True)
    rows = Rows(
        COLUMNS,
        encode(table, COLUMNS),
        table["outcome"].to_numpy(),
        pd.factorize(table["unit"])[0],
        table["customer_id"].to_numpy(object),
        table["as_of"].to_numpy("datetime64[D]"),
    )
    return job.Prepared(rows, 50, f"{seed}")


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    return load(configs(tmp_path_factory.mktemp("config"), {}, {"model": "churn"}), TrainConfig)


def test_what_happens_on_the_test_dates_changes_nothing(config, tmp_path):
    one, first_test = world(), 4
    config = config.model_copy(update={"as_of": config.as_of.model_copy(update={"test_dates": first_test})})
    late = np.isin(one.rows.day, np.unique(one.rows.day)[-first_test:])
    outcome = np.where(late, 1 - one.rows.outcome, one.rows.outcome)
    other = replace(one, rows=replace(one.rows, outcome=outcome))
    results = [
        tune.run(config, own, tmp_path / name, Budget(trials=3), silent) for name, own in (("a", one), ("b", other))
    ]
    assert results[0] == results[1]
    assert max(results[0].folds) < str(np.unique(one.rows.day)[-first_test])


def test_a_bad_start_is_put_right_and_the_file_can_be_trained_with(config, tmp_path):
    own = Settings(lightgbm=LightGBM(num_iterations=1, num_leaves=2))
    poor = config.model_copy(update={"settings": own, "candidates": ("lightgbm",)})
    result = tune.run(poor, world(), tmp_path, Budget(trials=4), silent)
    assert [own.candidate for own in result.found if own.taken] == ["lightgbm"]
    assert result.settings.lightgbm != poor.settings.lightgbm
    assert result.settings.logistic == poor.settings.logistic
    path = tuned.write(result, tmp_path)
    text = path.read_text(encoding="utf-8")
    assert Settings(**yaml.safe_load(text)["settings"]) == result.settings
    assert path.name == "tuned-churn.yaml"
    assert str(tmp_path) not in text and "設定を変更" in text
    again = tune.run(poor, world(), tmp_path, Budget(trials=4), silent)
    assert tuned.write(again, tmp_path).read_text(encoding="utf-8") == text


def test_the_error_of_a_gain_is_the_larger_of_that_over_folds_and_that_over_units(config):
    own = world()
    days = np.unique(own.rows.day)
    chosen = [
        Split(str(day), np.flatnonzero(own.rows.day < day), np.flatnonzero(own.rows.day == day)) for day in days[1:4]
    ]
    before, after = Settings(), Settings(logistic=Logistic(C=1e-5))
    gain, error = tune._Judge(own.rows, chosen, "logistic").compared(before, after)
    gains, draws = [], []
    for split in chosen:
        pair = [
            fit_margin("logistic", own.rows.take(split.train), one).margin(own.rows.matrix[split.test])
            for one in (after, before)
        ]
        outcome = own.rows.outcome[split.test]
        gains.append(np.subtract(*(average_precision_score(outcome, margin) for margin in pair)))
        draws.append((outcome, pair))
    random, people = np.random.default_rng(1), 250
    drawn = [
        np.mean([np.subtract(*(average_precision_score(o[pick], m[pick]) for m in pair)) for o, pair in draws])
        for pick in (random.integers(0, people, people) for _ in range(300))
    ]
    assert gain == pytest.approx(np.mean(gains))
    assert error == pytest.approx(max(np.std(gains, ddof=1) / np.sqrt(3), np.std(drawn)), rel=0.15)


def test_ctrl_c_in_the_second_candidate_keeps_the_first(config, tmp_path, monkeypatch):
    def interrupted(candidate, rows, settings):
        if candidate == "lightgbm":
            raise KeyboardInterrupt
        return fit(candidate, rows, settings)

    fit = tune.fit_margin
    monkeypatch.setattr(tune, "fit_margin", interrupted)
    result = tune.run(config, world(), tmp_path, Budget(trials=2), silent)
    assert result.stopped and [own.candidate for own in result.found] == ["logistic"]
    first = config.model_copy(update={"candidates": ("lightgbm",)})
    with pytest.raises(KeyboardInterrupt):
        tune.run(first, world(), tmp_path, Budget(trials=2), silent)


def test_a_candidate_that_cannot_be_fitted_is_left_out_and_named(config, tmp_path, monkeypatch):
    def fussy(candidate, rows, settings):
        if candidate in broken:
            raise NoFit(f"{candidate} could not be fitted (no)")
        return fit(candidate, rows, settings)

    fit, broken, lines = tune.fit_margin, ["logistic"], []
    monkeypatch.setattr(tune, "fit_margin", fussy)
    result = tune.run(config, world(), tmp_path, Budget(trials=2), lines.append)
    assert [own.candidate for own in result.found] == ["lightgbm"]
    assert "WARNING logistic could not be fitted (no); it is not tuned" in lines
    broken.append("lightgbm")
    with pytest.raises(DataError, match="no candidate could be fitted"):
        tune.run(config, world(), tmp_path / "b", Budget(trials=2), silent)


def test_a_handful_of_customers_have_nothing_to_tune(config, tmp_path):
    with pytest.raises(DataError, match="none competes, and rules have no settings"):
        tune.run(config, world(people=10), tmp_path, Budget(trials=2), silent)


def test_one_outcome_only_is_said(config, tmp_path):
    one = world()
    nobody = replace(one, rows=replace(one.rows, outcome=np.zeros(len(one.rows))))
    with pytest.raises(DataError, match="nothing to tune on"):
        tune.run(config, nobody, tmp_path, Budget(trials=2), silent)


def test_data_too_short_for_dates_are_tuned_on_customers(config, tmp_path):
    result = tune.run(config, world(dates=4, people=600), tmp_path, Budget(trials=1), silent)
    assert result.folds == ("customers 1/3", "customers 2/3", "customers 3/3")


def test_other_rows_or_settings_are_another_study_and_what_does_not_matter_is_not(config):
    names = [
        tune.study_name(config, "a", "logistic"),
        tune.study_name(config, "b", "logistic"),
        tune.study_name(config, "a", "lightgbm"),
        tune.study_name(config.model_copy(update={"settings": Settings(negatives=0.5)}), "a", "logistic"),
        tune.study_name(config.model_copy(update={"settings": Settings(logistic=Logistic(C=1))}), "a", "logistic"),
    ]
    assert len(set(names)) == len(names)
    same = config.model_copy(update={"holdout": 0.3, "settings": Settings(lightgbm=LightGBM(num_iterations=7))})
    assert tune.study_name(same, "a", "logistic") == names[0]


def test_every_trial_is_a_run_below_the_run_of_its_study_once(tmp_path):
    def fussy(settings):
        if settings.logistic.C > 0.1:
            raise NoFit("no")
        yield from judge(settings)

    for trials in (6, 12):
        attempts, _ = made(tmp_path, trials, fussy)
        own = Found("logistic", "churn-logistic-0", tuple(attempts), attempts[0], 0.0, 0.0)
        parent = tracking.record_study(tmp_path, "tiny-churn", own.study, own.figures, tuned.trials(own))
    runs = recorded(tmp_path)
    assert len(runs) == 1 + 12
    assert {run.data.tags.get("mlflow.parentRunId") for run in runs} == {None, parent}
    whole = next(run for run in runs if run.info.run_id == parent)
    assert (whole.data.metrics["trials"], whole.info.status) == (12, "FINISHED")
    below = {run.data.tags["trial"]: run for run in runs if run is not whole}
    for attempt in attempts:
        run = below[str(attempt.number)]
        assert float(run.data.params["C"]) == attempt.settings["C"]
        assert run.data.tags["state"] == attempt.state
        assert (run.info.status == "FAILED") == (attempt.state == "failed")
        assert ("average_precision" in run.data.metrics) == (attempt.state != "failed")


def recorded(home):
    with tracking._mlflow(home, "tiny-churn"):
        import mlflow

        return mlflow.MlflowClient().search_runs([mlflow.get_experiment_by_name("tiny-churn").experiment_id])
