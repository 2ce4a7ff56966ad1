"""Two models on the same rows: the gain, its interval, what the list becomes, and the way back."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score

from features.errors import DataError
from tests.unit.bundles import lightgbm_bundle, rule_bundle
from training import versus
from training.bundle import champion, give_back, load, place, save
from training.config import Gate
from training.gate import decide
from training.versus import Versus


def scored(noise, dates=("2025-01-01", "2025-02-01", "2025-03-01"), customers=400, seed=0):
    """Rows whose scores say the outcome, the worse the more noise; the same customers and outcomes for any noise."""
    random, frames = np.random.default_rng(seed), []
    for fold in dates:
        outcome = (random.random(customers) < 0.3).astype(float)
        other = np.random.default_rng([seed, int(10 * noise), int(fold[5:7])])
        score = outcome + noise * other.normal(size=customers)
        frames.append(
            pd.DataFrame(
                {
                    "fold": fold,
                    "customer_id": [f"c{i}" for i in range(customers)],
                    "unit": np.arange(customers),
                    "outcome": outcome,
                    "score": score,
                }
            )
        )
    return pd.concat(frames, ignore_index=True)


def test_the_gain_is_the_mean_difference_of_average_precision_by_date():
    one, two = scored(2.0), scored(0.5)
    found = versus.versus(one.sample(frac=1, random_state=1), two)
    of = [
        [average_precision_score(part["outcome"], part["score"]) for _, part in rows.groupby("fold")]
        for rows in (one, two)
    ]
    assert found.first == pytest.approx(np.mean(of[0]), abs=1e-6) and found.second == pytest.approx(
        np.mean(of[1]), abs=1e-6
    )
    assert found.gain == pytest.approx(np.mean(np.subtract(of[1], of[0])), abs=1e-6)
    assert 0 < found.low < found.gain < found.high and found.not_worse
    back = versus.versus(two, one)
    assert back.gain == pytest.approx(-found.gain, abs=1e-6) and not back.not_worse


def test_only_common_rows_count_and_none_is_no_comparison():
    one, two = scored(1.0, dates=("2025-01-01", "2025-02-01")), scored(1.0, dates=("2025-02-01", "2025-03-01"))
    found = versus.versus(one.iloc[:-10], two)
    assert (found.dates, found.rows) == (1, 390)
    assert versus.versus(one[one["fold"] == "2025-01-01"], two) is None
    flat = two.assign(outcome=0.0)
    assert versus.versus(one, flat) is None


def test_equal_models_gain_nothing_and_are_not_worse():
    found = versus.versus(scored(1.0), scored(1.0))
    assert (found.gain, found.low, found.high) == (0, 0, 0) and found.not_worse and found.enough


def against(low, outcomes=200):
    return Versus(4, 1000, outcomes, 0.3, 0.3, 0.0, low, 0.02)


A, B, C = lightgbm_bundle(grade="A").info, lightgbm_bundle().info, rule_bundle().info


@pytest.mark.parametrize(
    ("new", "current", "found", "placed"),
    [
        (B, B, against(-0.009), True),
        (B, B, against(-0.011), False),
        (A, B, against(-0.011), False),
        (B, A, against(-0.009), True),
        (B, A, against(-0.009, outcomes=49), False),
        (B, B, against(-0.5, outcomes=49), True),
        (B, C, against(-0.5), True),
        (C, B, against(0.1), False),
    ],
)
def test_a_challenger_takes_the_place_unless_it_may_be_worse(new, current, found, placed):
    promoted, why = decide(new, Gate(), current, found)
    assert promoted is placed and why


def test_the_way_back_goes_through_every_champion(tmp_path):
    bundles = [lightgbm_bundle(), lightgbm_bundle(grade="A"), rule_bundle()]
    for number, bundle in enumerate(bundles):
        save(bundle, tmp_path / str(number))
    model = bundles[0].info.model
    numbers = []
    for number in (0, 1, 1, 2):  # one placed twice is one step back
        place(tmp_path / str(number), tmp_path, model)
        numbers.append(json.loads((tmp_path / f"champion-{model}.json").read_text())["sequence"])
    assert give_back(tmp_path, model).sha256 == bundles[1].sha256
    assert give_back(tmp_path, model).sha256 == bundles[0].sha256
    assert load(champion(tmp_path, model)).sha256 == bundles[0].sha256
    with pytest.raises(DataError, match="no champion before the present one"):
        give_back(tmp_path, model)
    with pytest.raises(DataError, match="no champion before the present one"):
        give_back(tmp_path, "other")
    numbers.append(json.loads((tmp_path / f"champion-{model}.json").read_text())["sequence"])
    assert [number - numbers[0] for number in numbers] == [0, 1, 2, 3, 5]


def test_a_list_by_the_same_model_is_the_same(tmp_path):
    bundle = lightgbm_bundle()
    random = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            column["name"]: [column["categories"][0]] * 50 if column["categories"] else random.normal(5, 3, 50)
            for column in bundle.info.features
        }
    )
    frame = frame.assign(customer_id=[f"c{i}" for i in range(50)], as_of=pd.Timestamp("2025-06-01"))
    found = versus.lists(bundle, bundle, frame, 20)
    assert found == versus.Lists("2025-06-01", 50, 20, 20, 0)
    assert versus.comparable(bundle, bundle) is None
