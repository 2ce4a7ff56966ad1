import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.buying import COLUMNS
from features.config import load
from features.errors import ConfigError, DataError
from features.outcome import SubscriptionEnd
from tests.company import configs
from training.config import TrainConfig
from training.value import Contract, Future, Stream, Value, amounts, check, gains, lost
from training.worth.lifetime import Lifetime, Purchases, Spend

FRAME = pd.DataFrame({"basket_sum_90d": [10.0, np.nan], "plan": ["a", "b"]})


def test_the_amount_is_a_column_a_measure_or_a_constant():
    assert amounts(FRAME, Value(amount=7)).tolist() == [7.0, 7.0]
    assert amounts(FRAME, Value(amount="basket_sum_90d")).tolist() == [10.0, 0.0]
    assert amounts(FRAME, Value(amount=Stream(stream="basket", days=90))).tolist() == [10.0, 0.0]


@pytest.mark.parametrize(("amount", "words"), [("arr", "no column arr"), ("plan", "plan is no number")])
def test_an_amount_that_is_not_there_is_refused(amount, words):
    with pytest.raises(DataError, match=words):
        amounts(FRAME, Value(amount=amount))


def test_gain_by_hand():
    keeps = Value(amount=1000.0, margin=0.8, effect=0.2, contact_cost=40)
    adds = keeps.model_copy(update={"contact": "adds"})
    score, amount = np.array([0.5, 0.0, 1.0]), np.full(3, 1000.0)
    assert gains(score, amount, keeps) == pytest.approx([40.0, -40.0, 120.0])
    assert gains(score, amount, adds) == pytest.approx([40.0, -40.0, -40.0])


YEAR = Value(amount=Contract(contract="arr", days=365))
QUARTER = SubscriptionEnd(kind="subscription_end", horizon_days=90, gap_days=7)
MODEL = Lifetime(
    stream="order", purchases=Purchases(r=0.243, alpha=4.414, a=0.793, b=2.426), spend=Spend(p=6.25, q=3.74, v=15.44),
    customers=2357, repeat=946, correlation=0.11, log_likelihood=-9582.4,
)  # fmt: skip
BOUGHT = pd.DataFrame([(3, 213, 272, 22.35), (0, np.nan, np.nan, np.nan)], columns=COLUMNS, dtype=float)


def test_a_lifetime_is_what_the_fitted_model_expects_and_nothing_for_who_never_bought():
    value = Value(amount={"lifetime": "order", "days": 365})
    assert amounts(BOUGHT, value, MODEL).tolist() == [MODEL.ahead(BOUGHT, 365)[0], 0.0]
    assert lost(np.array([0.2, 0.9]), value, QUARTER).tolist() == [1.0, 1.0]
    assert (value.form, value.buying, value.column, value.columns) == ("lifetime", "order", None, COLUMNS)
    check(BOUGHT, value)


def test_a_lifetime_needs_its_model_and_its_columns():
    value = Value(amount=Future(lifetime="order", days=365))
    with pytest.raises(DataError, match="no lifetime of order has been fitted; train again"):
        amounts(BOUGHT, value)
    with pytest.raises(DataError, match="no lifetime of order"):
        amounts(BOUGHT, value, MODEL.model_copy(update={"stream": "basket"}))
    for use in (lambda frame: check(frame, value), lambda frame: amounts(frame, value, MODEL)):
        with pytest.raises(DataError, match=r"no .*buying_mean"):
            use(BOUGHT.drop(columns="buying_mean"))


def test_a_contract_brings_its_value_for_as_long_as_it_is_looked_at():
    frame = pd.DataFrame({"arr": [1000.0, np.nan]})
    assert amounts(frame, YEAR).tolist() == [1000.0, 0.0]
    half = Value(amount={"contract": "arr", "days": 180, "per_days": 30})
    assert amounts(frame, half).tolist() == [6000.0, 0.0]
    assert (YEAR.form, YEAR.buying, YEAR.columns) == ("contract", None, ("arr",))
    with pytest.raises(DataError, match="no column arr"):
        check(frame.rename(columns={"arr": "mrr"}), YEAR)


@pytest.mark.parametrize("days", [30, 60, 97, 365])
@pytest.mark.parametrize("score", [0.02, 0.4, 0.95])
def test_what_a_leaver_takes_away_is_what_one_kept_through_the_horizon_brings_more(score, days):
    """Leaving times of the hazard that gives the score; one who is kept stays to the end of the horizon, then draws again."""
    random = np.random.default_rng(0)
    hazard = -np.log(1 - score) / 90
    leaves = 7 + random.exponential(1 / hazard, 200_000)
    inside = leaves < 97
    kept = np.where(inside, 97 + random.exponential(1 / hazard, len(leaves)), leaves)
    more = np.minimum(kept, days) - np.minimum(leaves, days)
    value = Value(amount={"contract": "arr", "days": days})
    share = lost(np.array([score]), value, QUARTER)[0]
    assert share * days == pytest.approx(more[inside].mean(), rel=0.03)
    assert score * share * days == pytest.approx(more.mean(), rel=0.03)  # the chance to leave counts once


@given(st.floats(0, 1), st.floats(0, 1), st.integers(1, 2_000))
def test_what_is_lost_is_a_share_and_more_is_at_risk_the_higher_the_score(one, other, days):
    value, scores = Value(amount={"contract": "arr", "days": days}), np.array(sorted((one, other)))
    shares = lost(scores, value, QUARTER)
    assert (shares >= 0).all() and (shares <= 1).all()
    low, high = scores * shares
    assert low <= high + 1e-9
    if days > 2 * (7 + 90):  # far ahead, a likely leaver would have been gone by then anyway
        assert shares[1] <= shares[0] + 1e-9


def test_at_the_ends_of_the_scores():
    nobody, everybody = lost(np.array([0.0, 1.0]), YEAR, QUARTER) * 365
    assert nobody == pytest.approx(45 + (365 - 97), rel=1e-4)  # half the horizon, and all that follows
    assert everybody == pytest.approx(90, rel=1e-3)  # the horizon: nobody stays on after it
    assert lost(np.zeros(0), YEAR, QUARTER).shape == (0,)


@pytest.mark.parametrize(
    ("amount", "words"),
    [
        ({"lifetime": "order", "dayz": 365}, r"unknown key \(did you mean days\?\); known keys: lifetime, days"),
        ({"lifetime": "order"}, "days: this key is missing"),
        ({"contract": "arr", "days": 0}, "greater than or equal to 1"),
        ({"contract": "arr", "lifetime": "order", "days": 9}, "contract: unknown key; known keys: lifetime, days"),
        (
            {"days": 365},
            r"value.amount: should be a number, a column, \{stream: …, .*\{contract: a column, days: 365\}",
        ),
        (None, "value.amount: should be a number, a column"),
    ],
)
def test_a_wrong_amount_is_one_clear_message(tmp_path, amount, words):
    path = configs(tmp_path, model={"model": "churn"})
    with pytest.raises(ConfigError, match=words) as error:
        load(path, TrainConfig, [f"value.amount={'null' if amount is None else amount}"])
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize("amount", [{"lifetime": "order", "days": 365}, {"contract": "arr", "days": 365}])
def test_the_future_is_lost_by_leaving_and_not_won_by_an_upsell(amount):
    with pytest.raises(ValueError, match="is what is lost with a customer who leaves; with `contact: adds` give"):
        Value(amount=amount, contact="adds")


@pytest.mark.parametrize(
    "amount", [7.0, "arr", {"stream": "o", "days": 9}, {"lifetime": "o", "days": 9}, {"contract": "arr", "days": 9}]
)
def test_every_form_travels_as_text(amount):
    value = Value(amount=amount)
    assert Value.model_validate_json(value.model_dump_json()) == value
