"""The weighted figures equal scikit-learn's, ties and weights included."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score

from training import metrics

rows = st.lists(st.tuples(st.booleans(), st.integers(0, 6), st.integers(0, 3)), min_size=4, max_size=60).filter(
    lambda r: {o for o, _, w in r if w} == {True, False}
)


def arrays(drawn):
    outcome, score, weight = (np.array(column, dtype=float) for column in zip(*drawn, strict=True))
    return outcome, (score + 0.5) / 7.5, weight


@given(rows)
@settings(max_examples=150, deadline=None)
def test_weighted_rankings_equal_scikit_learn(drawn):
    outcome, score, weight = arrays(drawn)
    ranking = metrics.Ranking.of(outcome, score)
    both = np.stack([weight, np.ones(len(weight))])
    for position, weights in enumerate(both):
        ap = average_precision_score(outcome, score, sample_weight=weights)
        auc = roc_auc_score(outcome, score, sample_weight=weights)
        assert abs(ranking.average_precision(both)[position] - ap) < 1e-9
        assert abs(ranking.roc_auc(both)[position] - auc) < 1e-9


@given(rows)
@settings(max_examples=60, deadline=None)
def test_plain_figures_equal_scikit_learn_and_ignore_row_order(drawn):
    outcome, score, _ = arrays(drawn)
    assert abs(metrics.average_precision(outcome, score) - average_precision_score(outcome, score)) < 1e-9
    assert abs(metrics.brier(outcome, score) - brier_score_loss(outcome, score)) < 1e-12
    assert abs(metrics.log_loss(outcome, score) - log_loss(outcome, score)) < 1e-9
    back = metrics.ece(outcome[::-1], score[::-1])
    assert abs(metrics.ece(outcome, score) - back) < 1e-12


@given(rows)
@settings(max_examples=30, deadline=None)
def test_a_weight_of_two_is_a_row_twice(drawn):
    outcome, score, weight = arrays(drawn)
    weight = weight.astype(int)
    twice = metrics.average_precision(np.repeat(outcome, weight), np.repeat(score, weight))
    weighted = metrics.Ranking.of(outcome, score).average_precision(weight[None].astype(float))[0]
    assert abs(twice - weighted) < 1e-9


def test_ece_by_hand():
    probability = np.repeat(np.linspace(0.05, 0.95, 10), 10)
    outcome = np.zeros(100)
    assert metrics.bins(probability).tolist() == np.repeat(np.arange(10), 10).tolist()
    assert abs(metrics.ece(outcome, probability) - 0.5) < 1e-12


def test_a_perfect_model_passes_and_a_biased_one_does_not():
    random = np.random.default_rng(1)
    probability = random.beta(1, 5, 4000)
    outcome = (random.random(4000) < probability).astype(float)
    limit = metrics.ece_of_a_perfect_model(probability)
    assert metrics.ece(outcome, probability) < limit + 0.01
    assert metrics.ece(outcome, np.clip(probability + 0.05, 0, 1)) > limit + 0.01


def test_units_are_drawn_with_all_their_rows():
    unit = np.array(["a", "b", "a", "c"])
    weights = np.concatenate(list(metrics.resampled(unit, draws=50)))
    assert weights.shape == (50, 4) and (weights[:, 0] == weights[:, 2]).all()
    assert (weights[:, [0, 1, 3]].sum(axis=1) == 3).all()


def test_intervals_hold_their_values_and_narrow_with_rows():
    random = np.random.default_rng(2)

    def widths(rows):
        probability = random.beta(1, 4, rows)
        outcome = (random.random(rows) < probability).astype(float)
        figures = metrics.pooled(outcome, probability, np.arange(rows) // 2)
        assert all(low <= value <= high for name, (value, low, high) in figures.items() if name != "ece")
        return {name: high - low for name, (_, low, high) in figures.items()}

    small, large = widths(200), widths(5000)
    assert all(large[name] < small[name] for name in small)


def test_capacity_figures():
    outcome, score = np.array([1, 0, 1, 0, 0, 0.0]), np.array([0.9, 0.8, 0.7, 0.3, 0.2, 0.1])
    figures = metrics.at_capacity(outcome, score, 2)
    assert figures == {"precision": 0.5, "found": 0.5, "lift": 1.5}
    assert metrics.at_capacity(np.zeros(3), score[:3], 2) == {"precision": 0.0, "found": 0.0, "lift": 0.0}
