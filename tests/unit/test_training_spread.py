"""What the interval of a score covers: other customers to learn from, and nothing else."""

import json

import numpy as np
import pytest

from tests.unit.bundles import COLUMNS, frame
from training import spread as spreads
from training.calibration import Calibrator
from training.columns import Column, encode
from training.fit import CANDIDATES, fit_number, one_thread
from training.rows import Rows
from training.settings import LightGBM, Logistic, Settings
from training.spread import Spread, fit_spread, scaled

PLAIN = Calibrator(1.0, 0.0)
SMALL_TREES = Settings(lightgbm=LightGBM(num_iterations=25, num_leaves=6, max_depth=3, feature_fraction=0.6))
FREE = Settings(logistic=Logistic(C=1e6))
WEIGHTS = np.array([0.9, -0.6, 0.4, 0.0])


def column(name: str) -> Column:
    return Column(
        name=name,
        source="x",
        measure="m",
        days=None,
        family="x",
        kind="number",
        unit="score",
        label={},
        categories=None,
    )


def drawn(units: int, random: np.random.Generator, per: int = 1) -> Rows:
    """``units`` customers of one kind, ``per`` rows each, whose chance of the outcome is known."""
    matrix = np.repeat(random.normal(size=(units, 4)), per, axis=0) + 0.5 * random.normal(size=(units * per, 4))
    outcome = (random.random(units * per) < PLAIN(matrix @ WEIGHTS - 1.0)).astype(np.float64)
    unit = np.repeat(np.arange(units), per)
    days = np.zeros(units * per, "datetime64[D]")
    return Rows([column(f"x{i}") for i in range(4)], matrix, outcome, unit, unit.astype(object), days)


def many(rows: Rows, times: int) -> Rows:
    """The same rows several times, as if one customer had told the same story again."""
    return rows.take(np.tile(np.arange(len(rows)), times))


@pytest.fixture(scope="module", autouse=True)
def thread():
    with one_thread():
        yield


@pytest.fixture(scope="module")
def others() -> np.ndarray:
    """Customers nobody learnt from."""
    return drawn(400, np.random.default_rng(99)).matrix


def test_a_linear_spread_is_the_variance_that_theory_gives(others):
    """Maximum likelihood: the variance of x·w is x (Σ p (1 − p) z zᵀ)⁻¹ x, within what five pairs can know."""
    ratios = []
    for seed in range(6):
        rows = drawn(1_500, np.random.default_rng(seed))
        design, new = (np.column_stack([np.ones(len(x)), x]) for x in (rows.matrix, others))
        chance = PLAIN(CANDIDATES["logistic"](rows, FREE)(None).margin(rows.matrix))
        variance = np.linalg.inv((design.T * (chance * (1 - chance))) @ design)
        theory = np.einsum("ij,jk,ik->i", new, variance, new)
        ratios.append(fit_spread("logistic", rows, FREE).deviation(others) ** 2 / theory)
    assert 0.85 < np.mean(ratios) < 1.2


@pytest.mark.parametrize(
    ("name", "settings", "units", "sets"),
    [("logistic", Settings(), 300, 30), ("lightgbm", SMALL_TREES, 600, 20), ("x0", Settings(), 400, 30)],
)
def test_the_interval_covers_the_fit_on_other_customers(name, settings, units, sets, others):
    """The interval of one fit against the mean of the fits on all the other sets of customers."""
    random, margins, reaches = np.random.default_rng(1), [], []
    own = others if name in CANDIDATES else others[:, [0]]
    for _ in range(sets):
        rows = drawn(units, random, per=2)
        model = CANDIDATES[name](rows, settings)(None) if name in CANDIDATES else fit_number(0, rows).model
        margins.append(model.margin(own))
        reaches.append(fit_spread(name, rows, settings).interval(own, margins[-1], PLAIN))
    total = np.sum(margins, axis=0)
    rest = PLAIN(np.array([(total - margin) / (sets - 1) for margin in margins]))
    low, high = np.array(reaches).transpose(1, 0, 2)
    assert 0.88 < ((low <= rest) & (rest <= high)).mean() < 0.985


def test_a_penalty_is_scaled_with_the_rows():
    half = scaled(Settings(lightgbm=LightGBM(cluster="local")), 0.5)
    assert (half.logistic.C, half.lightgbm.lambda_l2, half.lightgbm.min_data_in_leaf) == (0.02, 2.5, 25)
    assert half.lightgbm.cluster is None and half.lightgbm.num_iterations == Settings().lightgbm.num_iterations
    assert scaled(Settings(), 0.001).lightgbm.min_data_in_leaf == 1


def test_saying_everything_three_times_does_not_make_it_surer(others):
    rows = drawn(200, np.random.default_rng(3))
    once, thrice = (fit_spread("logistic", one, FREE).deviation(others) for one in (rows, many(rows, 3)))
    assert thrice == pytest.approx(once, rel=0.01)


def test_few_customers_make_a_wide_interval_and_many_a_narrow_one(others):
    widths = []
    for units in (60, 600, 6_000):
        rows = drawn(units, np.random.default_rng(4))
        low, high = fit_spread("logistic", rows, FREE).interval(others, others @ WEIGHTS, PLAIN)
        widths.append(np.median(high - low))
    assert widths[0] > 2 * widths[1] > 4 * widths[2]


def test_big_data_are_halved_in_part_and_the_share_says_so(others, monkeypatch):
    rows = drawn(4_000, np.random.default_rng(5), per=2)
    whole = fit_spread("logistic", rows)
    monkeypatch.setattr(spreads, "MOST_ROWS", 2_000)
    part = fit_spread("logistic", rows)
    assert (whole.share, part.share) == (0.5, 0.125)
    assert 0.6 < np.mean(part.deviation(others)) / np.mean(whole.deviation(others)) < 1.6


def mixed(units: int = 300) -> Rows:
    """Rows with nulls and a category."""
    table = frame(units, seed=6)
    unit = np.arange(units)
    matrix, outcome = encode(table, COLUMNS), table["outcome"].to_numpy()
    return Rows(COLUMNS, matrix, outcome, unit, unit.astype(object), np.zeros(units, "datetime64[D]"))


@pytest.mark.parametrize("name", ["logistic", "lightgbm", "login_recency"])
def test_a_spread_is_a_text_and_back(name):
    rows = mixed()
    made = fit_spread(name, rows, SMALL_TREES)
    assert made.text() == fit_spread(name, rows, SMALL_TREES).text()
    own = rows.matrix if name in CANDIDATES else rows.matrix[:, [0]]
    read = Spread.parse(made.text())
    assert (read.deviation(own) == made.deviation(own)).all() and read.text() == made.text()
    assert len(made.pairs) == 5 and made.deviation(own[:0]).shape == (0,)


@pytest.mark.parametrize("name", ["logistic", "lightgbm"])
def test_what_saves_time_and_text_changes_no_margin(name):
    """Linear pairs as differences; trees without what only explains them."""
    rows = mixed()
    fit = CANDIDATES[name](rows, scaled(SMALL_TREES, 0.5))
    made = fit_spread(name, rows, SMALL_TREES)
    halves = spreads._pairs(rows, 150)
    apart = [fit(one).margin(rows.matrix) - fit(other).margin(rows.matrix) for (one, other), _ in zip(halves, range(5))]
    assert made.deviation(rows.matrix) == pytest.approx(np.sqrt(np.mean(np.square(apart), axis=0) / 4), abs=1e-12)
    alone = [made.deviation(rows.matrix[[row]])[0] for row in range(20)]
    assert alone == made.deviation(rows.matrix)[:20].tolist()


@pytest.mark.parametrize("name", ["logistic", "lightgbm", "login_recency"])
@pytest.mark.parametrize("calibrator", [PLAIN, Calibrator(0.6, -1.0, 0.8)])
def test_the_interval_always_holds_the_score(name, calibrator):
    rows = mixed()
    own = np.vstack([rows.matrix, np.full((1, 4), np.nan), np.full((1, 4), 1e12)])
    own[-1, 3] = 2
    own = own if name in CANDIDATES else own[:, [0]]
    for margin in (np.zeros(len(own)), np.linspace(-800, 800, len(own))):
        low, high = fit_spread(name, rows, SMALL_TREES).interval(own, margin, calibrator)
        assert ((low >= 0) & (low <= calibrator(margin)) & (calibrator(margin) <= high) & (high <= 1)).all()


def test_halves_have_both_outcomes_or_there_is_no_interval():
    rows = mixed()
    alone = np.zeros(300)
    assert fit_spread("logistic", rows.take(np.arange(1))) is None
    for outcomes, some in ((0, False), (1, False), (2, True), (300, False)):
        alone[:outcomes] = 1
        one = Rows(rows.columns, rows.matrix, alone.copy(), rows.unit, rows.customer, rows.day)
        made = fit_spread("logistic", one)
        assert (made is not None) == some, outcomes


@pytest.mark.parametrize("change", [{"pairs": []}, {"share": 0.0}, {"share": 0.6}, {"kind": "forest"}, {"pairs": 3}])
def test_a_text_that_is_no_spread_is_refused(change):
    content = json.loads(fit_spread("login_recency", mixed()).text())
    with pytest.raises((ValueError, KeyError, TypeError)):
        Spread.parse(json.dumps(content | change))
