import numpy as np
import pandas as pd
import pytest

from features.errors import DataError
from training.value import Stream, Value, amounts, gains

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
