import numpy as np
import pandas as pd
import pytest

from tests.unit.bundles import lightgbm_bundle, rule_bundle
from training.config import Gate
from training.gate import decide
from training.grade import grade


def scored(model_noise, rule_noise, rows=800, shift=0.0, dates=4):
    """Test rows in which model and rule see the true log-odds through noise."""
    random = np.random.default_rng(0)
    parts = []
    for fold in range(dates):
        margin = random.normal(-2, 1.5, rows)
        probability = 1 / (1 + np.exp(-margin))
        slope = 1 / (1 + model_noise**2 / 1.5**2)
        seen = -2 + slope * (margin + 2 + random.normal(0, model_noise, rows) if model_noise else margin + 2)
        parts.append(pd.DataFrame({
            "fold": f"2025-0{fold + 1}-01", "unit": np.arange(rows),
            "outcome": (random.random(rows) < probability).astype(float),
            "score": np.clip(1 / (1 + np.exp(-seen)) + shift, 0.001, 0.999),
            "rule": margin + random.normal(0, rule_noise, rows),
        }))  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def test_a_model_that_sees_far_more_than_the_rule_is_an_a():
    graded = grade(scored(0.0, 4.0))
    assert graded.letter == "A"
    assert graded.figures["surplus_low"] >= 0.10
    assert graded.figures["dates_better"] == 4


def test_a_model_that_sees_a_little_more_is_a_b():
    graded = grade(scored(0.0, 0.5, rows=3000))
    assert graded.letter == "B"
    assert "0.10 is needed" in graded.reasons[0]


@pytest.mark.parametrize("noise", [1.0, 3.0])
def test_a_model_no_better_than_the_rule_is_a_c(noise):
    graded = grade(scored(noise, noise))
    assert graded.letter == "C"
    assert "not surely better" in graded.reasons[0]


def test_calibration_decides_too_and_says_so():
    graded = grade(scored(0.0, 4.0, shift=0.08))
    assert graded.letter == "C"
    assert graded.reasons[0].startswith("calibration failed: ECE 0.0")
    assert grade(scored(0.0, 4.0, rows=4000, shift=0.025)).letter == "B"


def test_better_on_two_dates_of_four_is_not_enough():
    rows = scored(0.0, 3.0)
    late = rows["fold"].isin(["2025-03-01", "2025-04-01"])
    rows.loc[late, "rule"] = rows.loc[late, "score"] + rows.loc[late, "outcome"] * 0.01
    assert any("2 of 4 dates" in reason for reason in grade(rows).reasons)


def test_draws_without_an_outcome_are_left_out():
    rows = scored(0.0, 1.0, rows=40, dates=2)
    rows["outcome"] = 0.0
    rows.loc[[3, 50], "outcome"] = 1.0
    assert grade(rows).letter == "C"


A, B, C = (lightgbm_bundle(grade="A").info, lightgbm_bundle().info, rule_bundle().info)


@pytest.mark.parametrize(
    ("new", "gate", "current", "placed"),
    [
        (B, Gate(), None, True),
        (B, Gate(), C, True),
        (B, Gate(), B, True),
        (A, Gate(), B, True),
        (B, Gate(), A, False),
        (B, Gate(min_grade="A"), None, False),
        (A, Gate(min_grade="A"), C, True),
        (C, Gate(), None, True),
        (C, Gate(), C, True),
        (C, Gate(), B, False),
    ],
)
def test_who_becomes_champion(new, gate, current, placed):
    assert decide(new, gate, current)[0] is placed
