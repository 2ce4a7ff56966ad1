"""From margins to probabilities: always rising and smooth, bent only where the rows show it."""

import hashlib
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.words.reasons import mean_slope
from tests.unit.bundles import lightgbm_bundle
from training import calibration
from training.bundle import load, save, seal
from training.calibration import Calibrator, beta, calibrate, platt
from training.metrics import ece, log_loss

FLAT_TOP = Calibrator(1.3, 0.5, -1.1)
STEEP_TOP = Calibrator(0.4, -1.0, 1.2)
STRAIGHT = Calibrator(0.8, -0.3)

ends = st.floats(0.05, 5.0)
calibrators = st.builds(lambda low, b, high: Calibrator(low, b, high - low), ends, st.floats(-5, 5), ends)


def sample(truth, count, seed=0):
    random = np.random.default_rng(seed)
    margin = random.normal(-1.5, 1.5, count)
    return margin, (random.random(count) < truth(margin)).astype(float)


@pytest.mark.parametrize("truth", [FLAT_TOP, STEEP_TOP])
def test_a_bend_is_found_and_beats_the_straight_line(truth):
    found = calibrate(*sample(truth, 20_000))
    assert (found.a, found.b, found.bend) == pytest.approx((truth.a, truth.b, truth.bend), abs=0.2)
    margin, outcome = sample(truth, 50_000, seed=1)
    straight = platt(*sample(truth, 20_000))
    assert log_loss(outcome, found(margin)) < log_loss(outcome, straight(margin)) - 0.001
    assert ece(outcome, found(margin)) < 0.5 * ece(outcome, straight(margin))


def test_a_straight_truth_stays_straight():
    found = [calibrate(*sample(STRAIGHT, 5_000, seed)) for seed in range(20)]
    assert sum(own.bend != 0 for own in found) <= 3
    assert found[0] == platt(*sample(STRAIGHT, 5_000, 0))


def test_rows_of_one_unit_are_not_taken_for_so_many_witnesses():
    def bent(seed, units):
        random = np.random.default_rng(seed)
        own = np.repeat(np.arange(500), 8)
        margin = random.normal(-1.5, 1.4, 500)[own] + random.normal(0, 0.5, len(own))
        outcome = (random.random(500)[own] < STRAIGHT(margin)).astype(float)
        return calibrate(margin, outcome, own if units else None).bend != 0

    assert sum(bent(seed, True) for seed in range(30)) <= 3 < sum(bent(seed, False) for seed in range(30))


@pytest.mark.parametrize("rare", [0, 1])
def test_few_rows_or_few_of_one_outcome_stay_straight(rare):
    margin, outcome = sample(STEEP_TOP, 40_000)
    few = np.flatnonzero(outcome == rare)[: calibration.LEAST_OF_EACH - 1]
    kept = np.sort(np.append(few, np.flatnonzero(outcome != rare)))
    assert calibrate(margin[kept], outcome[kept]) == platt(margin[kept], outcome[kept])
    short = slice(calibration.LEAST_ROWS - 1)
    assert calibrate(margin[short], outcome[short]) == platt(margin[short], outcome[short])


def test_the_same_rows_give_the_same_calibrator():
    rows = sample(FLAT_TOP, 5_000)
    found = calibrate(*rows)
    assert found.bend != 0 and found == calibrate(*rows)


@pytest.mark.parametrize("truth", [Calibrator(-1.0, -1.0), Calibrator(-1.0, -1.0, 2.0), Calibrator(1.0, 0.0, -2.5)])
@pytest.mark.parametrize("learn", [platt, beta, calibrate])
def test_margins_that_rank_the_wrong_way_round_still_give_a_rising_calibrator(learn, truth):
    margin, outcome = sample(truth, 5_000)
    found = learn(margin, outcome)
    assert found.a > 0 and found.a + found.bend > 0
    assert found(margin).mean() == pytest.approx(outcome.mean(), abs=0.01)
    assert (np.diff(found(np.linspace(-12, 12, 1_000))) > 0).all()


@given(calibrators)
def test_more_margin_is_more_probability_everywhere(calibrator):
    near = calibrator(np.arange(-6.0, 6.0, 0.01))
    assert (np.diff(near[near < 1 - 1e-9]) > 0).all()
    far = calibrator(np.linspace(-700.0, 700.0, 2_001))
    assert (np.diff(far) >= 0).all() and far[0] >= 0 and far[-1] <= 1
    assert (calibrator.slope(np.linspace(-700.0, 700.0, 2_001)) >= 0).all()


@given(calibrators, st.floats(-12, 12))
def test_the_slope_is_the_derivative(calibrator, margin):
    step = 1e-5
    difference = (calibrator(margin + step) - calibrator(margin - step)) / (2 * step)
    assert calibrator.slope(margin) == pytest.approx(float(difference), rel=1e-4, abs=1e-9)


@given(calibrators, st.floats(-6, 6), st.floats(-6, 6))
def test_the_mean_slope_of_a_path_is_positive_and_between_the_slopes_along_it(calibrator, base, margin):
    at, to = np.array([base]), np.array([margin])
    slope = mean_slope(calibrator(to), to, float(calibrator(base)), base, float(calibrator.slope(base)))[0]
    along = calibrator.slope(np.linspace(base, margin, 2_000))
    assert along.min() * 0.98 - 1e-9 <= slope <= along.max() * 1.02 + 1e-9
    assert slope * (to - at)[0] == pytest.approx(float(calibrator(margin) - calibrator(base)), abs=1e-6)


@given(st.floats(0.01, 5), st.floats(-5, 5), st.floats(-700, 700))
def test_without_a_bend_it_is_platts(a, b, margin):
    assert Calibrator(a, b)(margin) == np.exp(-np.logaddexp(0.0, -(a * margin + b)))


@pytest.mark.parametrize("seed", range(20))
def test_the_least_cost_is_found_however_wide_the_margins_are(seed):
    """Nothing near the weights found, within their floors, costs less: the cost is convex."""
    random = np.random.default_rng(seed)
    margin = np.clip(random.normal(random.uniform(-3, 3), 10 ** random.uniform(-1, 2), 800), -700, 700)
    outcome = (random.random(800) < Calibrator(0.05, -0.5)(margin)).astype(float)
    found, start = beta(margin, outcome), np.array([1.0, 0.0, 1.0])
    design = np.column_stack([-np.logaddexp(0.0, -margin), np.ones(800), np.logaddexp(0.0, margin)])
    weights = np.array([found.a, found.b, found.a + found.bend])
    least = calibration._cost(design, outcome, start, weights)
    for step in random.normal(size=(200, 3)) * 10.0 ** random.uniform(-4, 0, (200, 1)):
        other = np.maximum(weights + step, [calibration.LEAST_SLOPE, -np.inf, calibration.LEAST_SLOPE])
        assert calibration._cost(design, outcome, start, other) >= least - 1e-9


def test_a_bundle_keeps_the_bend(tmp_path):
    plain = lightgbm_bundle()
    bent = seal(plain.info, plain.model, STEEP_TOP, plain.reference)
    save(bent, tmp_path / "bent")
    assert load(tmp_path / "bent").calibrator == STEEP_TOP
    assert bent.version != plain.version


def test_a_bundle_written_before_there_were_bends_is_read(tmp_path):
    made = lightgbm_bundle()
    save(made, tmp_path / "old")
    content = json.dumps({"a": made.calibrator.a, "b": made.calibrator.b}).encode()
    (tmp_path / "old/calibrator.json").write_bytes(content)
    manifest = json.loads((tmp_path / "old/manifest.json").read_text())
    manifest["calibrator.json"] = hashlib.sha256(content).hexdigest()
    (tmp_path / "old/manifest.json").write_text(json.dumps(manifest))
    assert load(tmp_path / "old").calibrator == made.calibrator
