"""Reasons add up, whatever the model and the row; the earlier count is exactly recovered."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from features.catalogue import CUSTOMER_MEASURES, MEASURES, Feature
from serving.lists import scoring
from serving.words import reasons
from serving.words.sentences import prior, sentence
from tests.unit.bundles import COLUMNS, frame, lightgbm_bundle, logistic_bundle, rule_bundle

FAMILIES = ["login", "login", "plan", "tenure", "login"]
parts_of_margin = st.floats(-4, 4, allow_nan=False).map(lambda x: round(x, 6))


@given(arrays(np.float64, st.tuples(st.integers(1, 5), st.just(5)), elements=parts_of_margin), st.floats(-3, 3))
def test_families_sum_to_the_margin_and_points_to_the_score(contributions, base_margin):
    def g(margin):
        return 1 / (1 + np.exp(-(1.3 * margin - 0.2)))

    margin = base_margin + contributions.sum(axis=1)
    base = float(g(base_margin))
    slope = reasons.mean_slope(g(margin), margin, base, base_margin, 1.3 * base * (1 - base))
    split = reasons.parts(contributions, FAMILIES, slope)
    assert split.families == ("login", "plan", "tenure")
    assert np.abs(split.log_odds.sum(axis=1) + base_margin - margin).max() < 1e-9
    assert np.abs(split.points.sum(axis=1) - (g(margin) - base)).max() < 1e-9
    assert (np.sign(split.points) == np.sign(split.log_odds)).all()


@given(st.integers(0, 100_000), st.integers(0, 100_000))
def test_the_earlier_count_is_exact(count, earlier):
    assert prior({"count": count, "trend": math.log((count + 1) / (earlier + 1))}) == earlier


@given(arrays(np.float64, st.tuples(st.integers(1, 4), st.just(5)), elements=parts_of_margin))
def test_the_leading_feature_pulls_hardest_in_its_familys_direction(contributions):
    split = reasons.parts(contributions, FAMILIES, np.ones(len(contributions)))
    for row, leads in enumerate(split.lead):
        for position, family in enumerate(split.families):
            toward = -1 if split.log_odds[row, position] < 0 else 1
            own = [i for i, name in enumerate(FAMILIES) if name == family]
            assert leads[position] in own
            assert contributions[row, leads[position]] * toward == max(contributions[row, i] * toward for i in own)


fact = st.one_of(st.none(), st.integers(-5, 5_000), st.floats(-1e6, 1e6, allow_nan=False))


@given(
    st.sampled_from([*MEASURES, *CUSTOMER_MEASURES]),
    st.sampled_from([1, 7, 90]),
    st.sampled_from(["en", "ja"]),
    st.data(),
)
def test_there_is_a_sentence_for_any_facts(measure, days, lang, data):
    feature = Feature("x", "x", measure.name, days, "x_id", "number", measure.unit, {"en": "Logins", "ja": "ログイン"})
    value = data.draw(fact if measure.empty is None else st.floats(-1e3, 1e6).map(round))
    facts = {measure.name: value, **{m: data.draw(fact) for m in reasons.BESIDE.get(measure.name, ())}}
    if "trend" in facts:
        facts |= {"count": abs(round(facts["count"] or 0)), "trend": max(-5.0, min(5.0, facts["trend"] or 0))}
    text = sentence(feature, facts, lang)
    assert text.endswith(("。", ".")) and "{" not in text


@pytest.mark.parametrize("make", [lightgbm_bundle, logistic_bundle, rule_bundle])
def test_every_row_of_every_kind_of_bundle_adds_up(make):
    bundle = make()
    rows = frame(300, seed=5)
    scores = scoring.score(bundle, rows)
    assert (scores.gap < 1e-9).all()
    alone = scoring.score(bundle, rows.iloc[[17]].reset_index(drop=True))
    assert alone.score[0] == scores.score[17] and alone.gap < 1e-9
    assert set(scores.parts.families) <= {column["family"] for column in COLUMNS}


def test_facts_bring_what_the_sentence_compares_and_never_mix_two_worlds():
    columns = {
        **{f"login_{measure}_28d": (measure, 28) for measure in ("count", "trend", "days", "mean")},
        "login_mean_90d": ("mean", 90),
    }
    features = [Feature(name, "login", m, d, "login", "number", "count", {}) for name, (m, d) in columns.items()]
    facts = reasons.Facts(features, pd.DataFrame({name: [float(i), np.nan] for i, name in enumerate(columns)}))
    assert facts.of("login_days_28d", 0) == {"days": 2, "count": 0, "trend": 1}
    assert facts.of("login_mean_28d", 0) == {"mean": 3, "longest": 4, "longest_days": 90}
    assert facts.of("login_mean_90d", 1) == {"mean": None}
    assert facts.of("login_days_28d", 0, {"login_days_28d": 2}) == {"days": 2}
    assert facts.of("login_count_28d", 0, {"login_count_28d": 0, "login_trend_28d": 1}) == {
        "count": 0,
        "trend": 1,
    }


def test_at_the_starting_point_the_slope_is_its_limit():
    at, near = np.array([0.0]), np.array([1e-9])
    assert reasons.mean_slope(at, near, 0.5, 0.0, 0.25)[0] == 0.25
