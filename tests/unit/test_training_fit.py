import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from features.catalogue import Feature
from tests.unit.bundles import COLUMNS, frame
from training import fit
from training.calibration import Calibrator, calibrate
from training.models import KINDS
from training.rows import rows
from training.rules import fit_rule, numbers

FEATURES = [Feature(**{k: v for k, v in column.items() if k != "categories"}) for column in COLUMNS]


def table(count=3000, seed=0):
    return rows(frame(count, seed), FEATURES)


@pytest.mark.parametrize("candidate", ["logistic", "lightgbm"])
def test_a_candidate_ranks_unseen_rows_and_its_parts_add_up(candidate):
    from training.metrics import roc_auc

    fitted, unseen = fit.fit_candidate(candidate, table()), table(1000, seed=1)
    assert roc_auc(unseen.outcome, fitted.score(unseen.matrix)) > 0.8
    model = fitted.model
    total = model.contributions(unseen.matrix).sum(axis=1) + model.base_margin
    assert np.abs(total - model.margin(unseen.matrix)).max() < 1e-9
    again = KINDS[model.kind].parse(model.text())
    assert (again.margin(unseen.matrix) == model.margin(unseen.matrix)).all()


def test_a_linear_model_is_the_one_scikit_learn_fitted():
    from sklearn.linear_model import LogisticRegression

    own = table()
    blocks = [fit._block(own, position)[0] for position in range(len(own.columns))]
    design = np.hstack(blocks)
    theirs = LogisticRegression(C=fit.DEFAULT.logistic.C, solver="newton-cholesky", max_iter=50).fit(
        design, own.outcome
    )
    ours = fit.fit_margin("logistic", own)
    assert np.abs(ours.margin(own.matrix) - theirs.decision_function(design)).max() < 1e-9
    assert abs(ours.contributions(own.matrix).mean(axis=0)).max() < 1e-9


def test_a_column_without_nulls_values_or_spread_does_no_harm():
    own = table(300)
    own.matrix[:, 0], own.matrix[:, 2] = np.nan, 7.0
    for candidate in ("logistic", "lightgbm"):
        model = fit.fit_margin(candidate, own)
        assert np.isfinite(model.margin(table(50, seed=3).matrix)).all()


def test_calibration_finds_the_slope_and_the_level():
    random = np.random.default_rng(0)
    margin = random.normal(size=20_000)
    outcome = (random.random(20_000) < Calibrator(0.5, -1.0)(margin)).astype(float)
    found = calibrate(margin, outcome)
    assert found.a == pytest.approx(0.5, abs=0.05)
    assert found.b == pytest.approx(-1.0, abs=0.05)


def test_a_calibrator_never_turns_the_ranking_round():
    random = np.random.default_rng(0)
    margin = random.normal(size=2000)
    found = calibrate(margin, (random.random(2000) < Calibrator(-1.0, -1.0)(margin)).astype(float))
    assert found.a > 0
    assert found(np.array([0.0]))[0] == pytest.approx(0.3, abs=0.05)
    assert calibrate(np.zeros(0), np.zeros(0)) == Calibrator(1.0, 0.0)


def test_a_calibrator_is_smooth_far_out():
    calibrator = Calibrator(1.0, 0.0)
    scores = calibrator(np.array([-800.0, -30.0, 0.0, 30.0, 800.0]))
    assert (np.diff(scores)[:-1] > 0).all()
    assert scores[2] == 0.5
    assert calibrator.slope(np.array([0.0]))[0] == 0.25


def test_a_unit_is_in_one_part():
    unit = np.array([5, 7, 5, 9, 7, 5])
    part = fit.parts(unit)
    assert all(len(set(part[unit == name])) == 1 for name in unit)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_rule_takes_the_direction_of_the_rows_and_nulls_their_own_cell(sign):
    random = np.random.default_rng(0)
    number = random.integers(0, 40, 4000).astype(float)
    outcome = (random.random(4000) < 1 / (1 + np.exp(3 - sign * (number - 20) / 5))).astype(float)
    number[:200], outcome[:200] = np.nan, 1.0
    rule = fit_rule(number, outcome)
    assert rule.sign == sign
    ladder = rule.margin(np.arange(-5.0, 60.0)[:, None])
    assert (np.diff(ladder) * sign > 0).all()
    assert rule.margin(np.array([[np.nan]]))[0] > np.median(ladder)
    assert abs(Calibrator(1, 0)(rule.margin(number[:, None])).mean() - outcome.mean()) < 0.02


@pytest.mark.parametrize("number", [np.full(50, np.nan), np.full(50, 3.0), np.zeros(50)])
def test_a_rule_of_a_number_that_says_nothing_is_the_base_rate(number):
    outcome = np.tile([1.0, 0, 0, 0, 0], 10)
    assert Calibrator(1, 0)(fit_rule(number, outcome).margin(number[:, None])) == pytest.approx(0.2, abs=0.02)


def test_rules_are_numbers_never_flags_or_attributes():
    names = [COLUMNS[position]["name"] for position in numbers(COLUMNS)]
    assert names == ["login_recency", "login_count_28d", "tenure_days"]


SCRIPT = """
import sys
from pathlib import Path
from tests.unit.test_training_fit import FEATURES, table
from training import fit
fit.SMALL = 0
own = table(4000)
with fit.one_thread():
    for name in ("logistic", "lightgbm"):
        fitted = fit.fit_candidate(name, own)
        sys.stdout.write(fitted.model.text() + repr(fitted.calibrator))
    sys.stdout.write(fit.fit_number(0, own).model.text())
"""


def test_one_and_two_threads_give_the_same_bytes():
    def run(threads):
        environment = {**os.environ, "OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads}
        environment["OMP_WAIT_POLICY"] = "PASSIVE"
        root = Path(__file__).parents[2]
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT], cwd=root, env=environment, capture_output=True, check=True
        )
        return done.stdout

    one = run("1")
    assert len(one) > 10_000
    assert one == run("2")
