import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.errors import ConfigError
from training import metrics
from training.rows import Rows
from training.value import Value
from training.worth import slices
from training.worth.later import Later
from training.worth.slices import LEAST_CUSTOMERS, LEAST_OUTCOMES, attributes, said
from training.worth.words import words

VALUE = Value(amount=1.0)
DATES = ("2025-01-01", "2025-02-01")


def rows(size=400, dates=DATES, seed=0) -> Later:
    """Customers on each date, their scores calibrated; the amount is 1 for all."""
    numbers = np.random.default_rng(seed)
    score = np.round(numbers.beta(2, 6, size * len(dates)), 4)
    customer = np.array([f"c{i:04d}" for i in range(size)] * len(dates), object)
    outcome = (numbers.random(len(score)) < score).astype(float)
    fold = np.repeat(np.array(dates, object), size)
    return Later(fold, customer, customer, outcome, score, np.ones(len(score)))


def column(values) -> pd.DataFrame:
    return pd.DataFrame({"plan": pd.Series(values, dtype=object)})


def by_name(found: slices.Slices) -> dict[str, slices.Slice]:
    return {one.name or one.kind: one for one in found.slices}


@settings(max_examples=15)
@given(st.integers(0, 1_000), st.integers(1, 60))
def test_figures_of_a_slice_are_those_of_its_rows_alone(seed, contacts):
    own = rows(seed=seed)
    plan = np.random.default_rng(seed + 1).choice(["基本", "team", "pro"], len(own))
    found = by_name(slices.slices(own, column(plan), VALUE, contacts))
    first = pd.Series(-own.score).groupby(own.fold).rank(method="first") <= contacts
    for name in ("基本", "team", "pro"):
        inside, one = plan == name, found[name]
        outcome, score = own.outcome[inside], own.score[inside]
        assert (one.rows, one.customers, one.kind) == (inside.sum(), len(set(own.customer[inside])), "value")
        assert one.outcomes == len(set(own.customer[inside & (own.outcome == 1)]))
        assert one.base_rate == pytest.approx(outcome.mean()) and one.mean_score == pytest.approx(score.mean())
        assert one.average_precision == pytest.approx(metrics.average_precision(outcome, score))
        assert one.roc_auc == pytest.approx(metrics.roc_auc(outcome, score))
        assert one.gap.value == pytest.approx(score.mean() - outcome.mean(), abs=1e-6)
        assert one.selected.value == pytest.approx(first[inside].mean(), abs=1e-6)
        assert one.recall.value == pytest.approx(first[inside & (own.outcome == 1)].mean(), abs=1e-6)
        for metric in (one.gap, one.selected, one.recall):
            assert metric.low <= metric.high


def test_small_slices_are_taken_together_and_too_small_ones_have_no_figures():
    own = rows()
    plan = np.full(len(own), "main", object)
    plan[:40], plan[40:50], plan[50:55], plan[55] = "big", "rare", "rarer", None
    own.outcome[:LEAST_OUTCOMES] = 1.0
    found = by_name(slices.slices(own, column(plan), VALUE, 30))
    assert set(found) == {"main", "big", "other"}
    assert found["other"].rows == 16 and found["other"].few
    hidden = [name for name, value in vars(found["other"]).items() if value is None]
    assert hidden == ["base_rate", "mean_score", "average_precision", "roc_auc", "gap", "selected", "recall"]
    compared = {one.slice.name for one in slices.slices(own, column(plan), VALUE, 30).differences}
    assert compared == {"main", "big"}


@pytest.mark.parametrize(("customers", "outcomes", "kept"), [(20, 5, True), (19, 5, False), (20, 4, False)])
def test_a_slice_needs_twenty_customers_and_five_of_them_with_the_outcome(customers, outcomes, kept):
    own = rows()
    plan = np.where(np.arange(len(own)) % 400 < customers, "few", "many")  # each customer on both dates
    own.outcome[plan == "few"] = 0.0
    for date in (0, 400):
        own.outcome[date : date + outcomes] = 1.0
    found = by_name(slices.slices(own, column(plan), VALUE, 30))
    assert ("few" in found) is kept
    assert (LEAST_CUSTOMERS, LEAST_OUTCOMES) == (20, 5)


def test_numbers_are_cut_in_quarters_by_rows_and_named_by_what_they_hold():
    own = rows()
    days = np.arange(800.0) * 5
    days[700:] = np.nan
    found = slices.slices(own, pd.DataFrame({"tenure_days": days}), VALUE, 30)
    assert [one.kind for one in found.slices] == ["range"] * 4 + ["missing"]
    assert [one.rows for one in found.slices] == [175, 175, 175, 175, 100]
    assert found.slices[0].name == "0–870"


def test_a_quarter_without_outcomes_is_taken_together_with_its_neighbour():
    own = rows()
    days = np.arange(800.0) % 400
    own.outcome[days < 150] = 0.0
    names = [one.name for one in slices.slices(own, pd.DataFrame({"days": days}), VALUE, 30).slices]
    assert names == ["0–199", "200–299", "300–399"]
    own.outcome[days > 250] = 0.0
    names = [one.name for one in slices.slices(own, pd.DataFrame({"days": days}), VALUE, 30).slices]
    assert names == ["0–199", "200–399"]


@pytest.mark.parametrize(
    ("values", "kinds"),
    [
        (np.full(800, 3.0), ["range"]),
        (np.full(800, np.nan), ["missing"]),
        (np.repeat([0.0, 1.0], 400), ["range", "range"]),
        ((np.arange(800) % 10 == 0) * 1.0, ["range", "range"]),
    ],
)
def test_constant_empty_and_two_valued_numbers(values, kinds):
    found = slices.slices(rows(), pd.DataFrame({"flag": values}), VALUE, 30)
    assert [one.kind for one in found.slices] == kinds
    assert bool(found.differences) is (len(kinds) > 1)


def test_no_attribute_no_slice():
    assert slices.slices(rows(), pd.DataFrame(), VALUE, 30) == slices.Slices((), ())


def test_many_categories_are_limited_to_the_most_frequent():
    own = rows(2_000)
    plan = [f"p{min(i, 39):02d}" for i in np.random.default_rng(0).integers(0, 60, len(own))]
    found = slices.slices(own, column(plan), VALUE, 100).slices
    assert len(found) == slices.MOST + 1 and found[0].name == "p39" and found[-1].kind == "other"
    assert sum(one.rows for one in found) == len(own)


def test_a_sure_difference_is_found_and_said_in_both_languages():
    own = rows()
    plan = np.where(
        np.argsort(np.argsort(-own.score)) % 800 < 300, "甲", "乙"
    )  # the high scores are mostly of one plan
    found = slices.slices(own, column(plan), VALUE, 60)
    one = next(d for d in found.differences if d.slice.name == "甲" and d.measure == "selected")
    other = next(d for d in found.differences if d.slice.name == "乙" and d.measure == "selected")
    assert one.sure and one.gap.low > 0 and other.gap.value == pytest.approx(-one.gap.value)
    assert one.own == pytest.approx(120 / 300) and one.others == 0 and one.ratio is None
    assert other.ratio.value == 0
    assert said(one, "Plan", "en").startswith("Plan 甲: 40.0% are listed for contact, 0.0% of all others")
    assert said(one, "Plan", "en").endswith(words()["en"]["slices"]["more"])
    assert said(other, "契約プラン", "ja").startswith("契約プラン「乙」：")
    assert said(other, "契約プラン", "ja").endswith(words()["ja"]["slices"]["less"])


def test_all_of_five_found_is_no_sure_difference_to_most_found():
    own = rows()
    plan = np.array(["rest"] * len(own), object)
    own.outcome[:30] = 0.0
    own.outcome[:5], own.score[:5] = 1.0, 0.99
    plan[:30] = "small"
    own.score[(own.outcome == 1) & (np.arange(len(own)) % 4 > 0)] = 0.98
    one = next(
        d
        for d in slices.slices(own, column(plan), VALUE, 150).differences
        if d.slice.name == "small" and d.measure == "recall"
    )
    assert one.own == 1.0 and 0.6 < one.others < 0.95
    assert not one.sure and "no sure difference" in said(one, "Plan", "en")


def test_slices_alike_are_seldom_called_different():
    """Random labels: all comparisons of an attribute together err 1 time in 20."""
    wrong = 0
    for seed in range(40):
        own = rows(seed=seed)
        plan = np.random.default_rng(seed).choice(list("abcd"), 400)
        found = slices.slices(own, column(np.tile(plan, 2)), VALUE, 60)
        wrong += any(one.sure for one in found.differences if one.measure == "selected")
    assert wrong <= 6  # 2 on average; over 6 has a chance of 1 in 250


def table(categories, codes) -> Rows:
    columns = [
        {"name": "plan", "kind": "category", "measure": "attribute", "categories": categories},
        {"name": "tenure_days", "kind": "number", "measure": "tenure_days", "categories": None},
        {"name": "login_count_28d", "kind": "number", "measure": "count", "categories": None},
    ]
    matrix = np.column_stack([codes, np.arange(len(codes)), np.zeros(len(codes))]).astype(float)
    nothing = np.zeros(len(codes))
    return Rows(columns, matrix, nothing, nothing, nothing, nothing)


def test_attributes_come_back_from_the_matrix():
    made = table(["基本", "pro"], [0, 1, np.nan, 1])
    found = attributes(made, np.array([3, 2, 0]))
    assert found["plan"].isna().tolist() == [False, True, False]
    assert found["plan"].dropna().tolist() == ["pro", "基本"] and found["tenure_days"].tolist() == [3, 2, 0]
    assert list(attributes(made, np.arange(4), ["login_count_28d"])) == ["login_count_28d"]
    assert attributes(made, np.arange(4), []).empty
    with pytest.raises(ConfigError, match="no column plans; name attributes or features of the model, such as plan"):
        attributes(made, np.arange(4), ["plans"])
