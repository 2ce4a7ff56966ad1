from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from empulse.metrics import empc_score
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta

from features.errors import DataError
from features.outcome import Horizon
from training import metrics
from training.rows import Rows
from training.value import Contract, Value, gains, lost
from training.worth.later import Later, later, metric, shares
from training.worth.profit import SURENESS, profit, realised
from training.worth.words import words

KEEPS = Value(amount="arr", margin=0.5, effect=0.2, contact_cost=5)
ADDS = KEEPS.model_copy(update={"contact": "adds"})
FOLDS = ("2025-01-01", "2025-02-01")


def made(outcome, score, arr, fold=None, customer=None, unit=None) -> Later:
    size = len(outcome)
    customer = [f"顧客{i:03d}" for i in range(size)] if customer is None else customer
    day = np.array([FOLDS[0]] * size if fold is None else fold, object)
    names = [np.array(own, object) for own in (customer, customer if unit is None else unit)]
    return Later(day, *names, np.array(outcome, float), np.array(score, float), np.array(arr, float))


@st.composite
def some(draw) -> Later:
    size = draw(st.integers(1, 25))
    numbers = np.random.default_rng(draw(st.integers(0, 10_000)))
    score = numbers.integers(0, 11, size) / 10
    outcome, arr = numbers.random(size) < score, numbers.integers(0, 4, size) * 100.0
    fold = [FOLDS[i] for i in numbers.integers(0, 2, size)]
    return made(outcome, score, arr, fold, unit=[f"u{i}" for i in numbers.integers(0, 9, size)])


def many(dates=2, size=400, seed=0, arr=None) -> Later:
    numbers = np.random.default_rng(seed)
    score = numbers.beta(1, 6, dates * size)
    worth = numbers.choice([100.0, 1000.0], dates * size) if arr is None else np.full(dates * size, arr)
    customer = [f"c{i:04d}" for i in range(size)] * dates
    return made(numbers.random(dates * size) < score, score, worth, np.repeat(FOLDS[:dates], size), customer)


def test_one_date_by_hand():
    found = profit(made([1, 0, 1, 0], [0.9, 0.5, 0.1, 0.0], [100, 300, 1000, 50]), KEEPS, 2)
    # gain by score: .9·.2·100·.5−5 = 4, .5·.2·300·.5−5 = 10, .1·.2·1000·.5−5 = 5, −5; by outcome: 5, −5, 95, −5
    assert found.curve.expected == pytest.approx([0, 10, 15, 19, 14])
    assert found.curve.realised == pytest.approx([0, -5, 90, 95, 90])
    assert found.mean == found.dates[FOLDS[0]]
    assert vars(found.mean) == pytest.approx(
        {"contacts": 2, "precision": 0.5, "found": 0.5, "money": 1000 / 1100, "expected": 15, "realised": 90}
    )
    assert (found.best.length, found.best.expected, found.best.realised) == pytest.approx((3, 19, 95))
    assert (found.best.more_expected.value, found.best.more_realised.value) == (4, 5)
    assert (found.return_expected.value, found.return_realised.value) == (1.5, 9)
    assert found.break_even.value == pytest.approx(0.08)  # 10 of cost against 250 · effect · margin


def test_dates_count_alike_and_a_longer_list_than_a_date_holds_everyone():
    rows = made([1, 0, 0], [0.9, 0.8, 0.7], [100] * 3, [FOLDS[1], FOLDS[0], FOLDS[0]])
    found = profit(rows, KEEPS, 2)
    assert list(found.dates) == list(FOLDS)
    assert [one.contacts for one in found.dates.values()] == [2, 1]
    assert found.mean.precision == 0.5
    assert found.mean.found == 1.0  # the first date has no outcome, so no share of it
    assert found.curve.realised == pytest.approx([0, 0, -2.5])


@given(some(), st.sampled_from([KEEPS, ADDS, ADDS.model_copy(update={"effect": 0.9, "contact_cost": 0.0})]))
def test_the_curve_is_that_of_plain_loops(rows, value):
    found = profit(rows, value, 3)
    worth = realised(rows, value)
    for length in range(len(found.curve.expected)):
        expected, seen = [], []
        for day in set(rows.fold):
            own = [i for i in range(len(rows)) if rows.fold[i] == day]
            gain = {i: gains(rows.score[[i]], rows.amount[[i]], value)[0] for i in own}
            first = sorted(own, key=lambda i: (-gain[i], rows.customer[i]))[:length]
            expected.append(sum(gain[i] for i in first))
            seen.append(sum(worth[i] for i in first))
        assert found.curve.expected[length] == pytest.approx(np.mean(expected), abs=1e-9)
        assert found.curve.realised[length] == pytest.approx(np.mean(seen), abs=1e-9)
    assert found.best.expected == found.curve.expected.max()
    assert found.best.expected >= found.mean.expected - 1e-9
    points = found.curve.points(7)
    assert points[0] == 0 and points[-1] == len(found.curve.expected) - 1 and len(points) <= 7


@given(st.floats(0, 1), st.floats(0, 1), st.sampled_from(["keeps", "adds"]))
def test_the_gain_by_outcome_is_on_average_the_gain_by_score(score, effect, contact):
    value = Value(amount="arr", effect=effect, contact=contact, contact_cost=3)
    rows = made([0, 1], [score, score], [50, 50])
    without, with_it = realised(rows, value)
    average = (1 - score) * without + score * with_it
    assert average == pytest.approx(gains(np.array([score]), np.array([50.0]), value)[0], abs=1e-9)


@pytest.mark.parametrize("value", [KEEPS, ADDS, ADDS.model_copy(update={"contact_cost": 60.0})])
def test_at_the_break_even_effect_the_list_at_capacity_gains_nothing(value):
    rows = many()
    effect = profit(rows, value, 50).break_even.value
    listed = rows.listed(value, 50)

    def total(own):
        return gains(rows.score[listed], rows.amount[listed], value.model_copy(update={"effect": own})).mean()

    assert total(effect) == pytest.approx(0, abs=1e-3)
    assert total(effect * 0.99) < 0 < total(effect * 1.01)


def test_empc_is_the_best_cut_by_the_outcomes_over_every_share_that_may_stay():
    """Our own curve at each effect, weighted by the Beta distribution, against the library."""
    rows = many(arr=200.0)
    value = KEEPS.model_copy(update={"contact_cost": 8.0})
    found = profit(rows, value, 50)
    effects = (np.arange(400) + 0.5) / 400
    weights = beta(SURENESS * 0.2, SURENESS * 0.8).pdf(effects)
    each = []
    for own in rows.dates.values():
        hits = np.insert(np.cumsum(rows.outcome[own][np.argsort(-rows.score[own])]), 0, 0)
        best = [(hits * effect * 100 - 8 * np.arange(len(hits))).max() for effect in effects]
        each.append(np.average(best, weights=weights) / len(own))
    assert found.empc.value == pytest.approx(np.mean(each), rel=1e-3)
    assert 0 < found.empc_share.value < 1


def test_our_value_becomes_the_parameters_of_empc():
    rows = many(dates=1)
    worth = {"alpha": 4.0, "beta": 16.0, "clv": rows.amount.mean() / 2, "incentive_cost": 0, "contact_cost": 5}
    assert profit(rows, KEEPS, 50).empc.value == pytest.approx(empc_score(rows.outcome, rows.score, **worth), abs=1e-6)
    sure = profit(rows, KEEPS.model_copy(update={"effect": 1.0}), 50)
    nearly = profit(rows, KEEPS.model_copy(update={"effect": 1 - 1e-6}), 50)
    assert sure.empc.value == pytest.approx(nearly.empc.value, rel=1e-3)


@pytest.mark.parametrize(
    ("changes", "answers"),
    [
        ({"contact_cost": 0.0}, {"return_expected": (None, "no_cost"), "break_even": (0.0, "no_cost")}),
        ({"amount": 0.0}, dict.fromkeys(("return_expected", "break_even", "empc", "empc_share"), (None, "no_amount"))),
        ({"amount": 0.0, "contact_cost": 0.0}, {"return_expected": (None, "no_cost"), "break_even": (None, "no_amount")}),
        ({"effect": 0.0}, {"return_realised": (-1.0, "no_effect"), "empc": (None, "no_effect")}),
        ({"contact_cost": 1e9}, {"break_even": (None, "never_pays"), "empc": (0.0, None)}),
        ({"contact": "adds"}, {"empc": (None, "not_churn"), "empc_share": (None, "not_churn")}),
    ],
)  # fmt: skip
def test_what_cannot_be_told_has_a_reason_in_both_languages(changes, answers):
    value = KEEPS.model_copy(update=changes)
    found = profit(many(arr=value.amount if "amount" in changes else None), value, 50)
    told = {name: (vars(found)[name].value, vars(found)[name].reason) for name in answers}
    assert told == answers
    for _, reason in told.values():
        assert reason is None or all(words()[lang]["reasons"][reason] for lang in ("en", "ja"))


def test_when_no_contact_pays_the_best_list_is_empty():
    found = profit(many(), KEEPS.model_copy(update={"effect": 0.0}), 50)
    assert found.best.length == 0 and found.best.expected == 0
    assert found.best.more_expected.value == found.best.more_expected.low == 50 * 5
    assert found.break_even.value == pytest.approx(profit(many(), KEEPS, 50).break_even.value)


def test_nobody_with_the_outcome_nobody_with_an_amount_and_one_row():
    rows = made([0], [0.5], [0])
    found = profit(rows, KEEPS, 50)
    assert (found.mean.contacts, found.mean.found, found.mean.money) == (1, None, None)
    assert found.empc.reason == "no_amount" and found.return_realised.value is None
    nobody = profit(made([0, 0], [0.5, 0.1], [100, 100]), KEEPS, 1)
    assert nobody.empc.reason == "no_outcome" and nobody.return_realised.value == -1.0


def test_the_interval_of_the_best_cut_holds_the_truth_19_times_of_20():
    """Outcomes redrawn from the scores: what the longer list gains on average is what the scores expect of it."""
    held = 0
    for seed in range(60):
        best = profit(many(seed=seed), KEEPS, 20).best
        held += best.more_realised.low <= best.more_expected.value <= best.more_realised.high
    assert 51 <= held <= 60


def test_the_same_rows_give_the_same_figures():
    one, two = (profit(many(), KEEPS, 20) for _ in range(2))
    assert one.best == two.best and one.empc == two.empc and one.mean == two.mean


def test_later_rows_are_taken_from_the_rows_of_the_training():
    day = np.array(["2025-01-01", "2025-02-01", "2025-02-01"], "datetime64[D]")
    table = Rows(
        [], np.zeros((3, 0)), np.array([0.0, 1, 0]), np.array([4, 5, 4]), np.array(["甲", "乙", "甲"], object), day
    )
    scored = pd.DataFrame({"fold": ["2025-02-01", "2025-01-01"], "row": [2, 0]})
    value, outcome = Value(amount="arr"), Horizon(horizon_days=90)
    full = replace(table, side={"amount": np.array([10.0, 20, 30]), "contacted": np.array([0.0, 1, 2])})
    rows = later(scored, np.array([0.3, 0.2]), full, value, outcome)
    assert rows.amount.tolist() == [30, 10] and rows.side["contacted"].tolist() == [2, 0] and "amount" not in rows.side
    assert rows.customer.tolist() == ["甲", "甲"] and rows.unit.tolist() == [4, 4]
    assert {day: list(own) for day, own in rows.dates.items()} == {"2025-01-01": [1], "2025-02-01": [0]}
    contract = Value(amount=Contract(contract="arr", days=365))
    own = later(scored, np.array([0.3, 0.2]), full, contract, outcome)
    assert own.amount == pytest.approx(np.array([30, 10]) * lost(own.score, contract, outcome))
    assert later(pd.DataFrame(), np.zeros(0), full, value, outcome) is None
    with pytest.raises(DataError, match="without their amount"):
        later(scored, np.zeros(2), table, value, outcome)


@given(some())
def test_sums_are_those_of_the_rows_and_of_the_draws(rows):
    columns, masks = [np.ones(len(rows)), rows.outcome], [np.ones(len(rows), bool), rows.score > 0.5, rows.score > 2]
    sums = rows.sums(columns, masks)
    weights = np.concatenate([np.ones((1, len(rows))), *metrics.resampled(rows.unit)])
    assert sums.shape == (2, 3, 1 + metrics.DRAWS)
    for found, column in zip(sums, columns, strict=True):
        for own, inside in zip(found, masks, strict=True):
            assert np.allclose(own, weights @ (column * inside))


def test_a_share_of_all_or_none_of_a_few_rows_is_not_taken_for_certain():
    five, thousand = np.full((1, 1001), 5.0), np.full((1, 1001), 1000.0)
    assert 0.4 < metric(shares(five, five)[0]).low < 0.7  # Clopper and Pearson: .48
    assert metric(shares(thousand, thousand)[0]).low > 0.99
    assert metric(shares(0 * five, five)[0]).high < 0.6
    assert metric(shares(0 * five, 0 * five)[0]) is None
