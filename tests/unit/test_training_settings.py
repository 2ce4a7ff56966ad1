"""How candidates are fitted: what reasons may cost, fewer negatives, one direction, a failing candidate, a cluster."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from features.errors import ConfigError
from tests.unit.test_training_fit import table
from training import fit, metrics
from training.sampling import directions, sampled
from training.settings import LightGBM, Logistic, Settings


def test_trees_whose_reasons_would_cost_too_much_are_refused():
    with pytest.raises(ValidationError, match=r"2,520,000, at most 400,000 .* fewer trees"):
        LightGBM(num_iterations=700, num_leaves=100, max_depth=6)
    assert LightGBM(num_iterations=300, num_leaves=31, max_depth=6).explanation == 334_800


@given(
    outcome=st.lists(st.sampled_from([0.0, 1.0]), min_size=2, max_size=200),
    share=st.floats(0.05, 1.0),
    some=st.booleans(),
)
def test_the_weighted_base_rate_of_a_sample_is_that_of_the_rows(outcome, share, some):
    outcome = np.array(outcome)
    index = np.arange(0, len(outcome), 2) if some else None
    kept, weight = sampled(outcome, index, Settings(negatives=share))
    every = np.arange(len(outcome)) if index is None else index
    if weight is None:
        assert kept is index
        return
    assert set(kept) <= set(every)
    assert set(every[outcome[every] == 1]) <= set(kept)
    assert np.average(outcome[kept], weights=weight) == pytest.approx(outcome[every].mean())


@pytest.mark.parametrize(("candidate", "near"), [("logistic", 0.05), ("lightgbm", 0.1)])
def test_a_model_of_few_negatives_still_knows_the_base_rate(candidate, near):
    own = table(8_000)
    rare = own.take(np.flatnonzero((own.outcome == 0) | (np.arange(len(own)) % 6 == 0)))
    margin = fit.fit_margin(candidate, rare, Settings(negatives=0.2)).margin(rare.matrix)
    assert (1 / (1 + np.exp(-margin))).mean() == pytest.approx(rare.outcome.mean(), rel=near)  # .3 without weights
    everything = fit.fit_margin(candidate, rare).margin(rare.matrix)
    assert metrics.roc_auc(rare.outcome, margin) == pytest.approx(metrics.roc_auc(rare.outcome, everything), abs=0.03)
    if candidate == "logistic":
        assert not np.array_equal(margin, everything)


def test_what_a_positive_row_counts_is_undone_by_the_calibrator():
    own, unseen = table(6_000), table(3_000, seed=1)
    settings = Settings(lightgbm=LightGBM(positive_weight=10))
    raw = fit.fit_margin("lightgbm", own, settings).margin(unseen.matrix)
    assert (1 / (1 + np.exp(-raw))).mean() > unseen.outcome.mean() + 0.1
    fitted = fit.fit_candidate("lightgbm", own, settings)
    assert fitted.score(unseen.matrix).mean() == pytest.approx(unseen.outcome.mean(), abs=0.02)


def test_the_catalogue_and_the_rows_say_which_way_a_measure_moves_the_risk():
    own = table(3_000)  # quiet customers have the outcome, busy ones do not
    named = dict(zip([column["name"] for column in own.columns], directions(own), strict=True))
    assert named["login_recency"] == 1 and named["login_count_28d"] == -1
    assert named["tenure_days"] == named["plan"] == 0
    turned = replace(own, outcome=1 - own.outcome)
    flipped = dict(zip([column["name"] for column in own.columns], directions(turned), strict=True))
    assert flipped["login_recency"] == -1 and flipped["login_count_28d"] == 1


def test_a_monotone_model_never_falls_where_it_may_only_rise():
    own = table(3_000)
    position = [column["name"] for column in own.columns].index("login_recency")
    row = np.nanmedian(own.matrix, axis=0)
    line = np.tile(row, (60, 1))
    line[:, position] = np.arange(60)
    steps = {
        monotone: np.diff(
            fit.fit_margin("lightgbm", own, Settings(lightgbm=LightGBM(monotone=monotone))).margin(line)
        ).min()
        for monotone in (False, True)
    }
    assert steps[True] >= 0 > steps[False]


def test_a_candidate_that_fails_is_named_with_what_to_do(monkeypatch):
    def broken(rows, settings):
        raise np.linalg.LinAlgError("Singular matrix")

    monkeypatch.setitem(fit.CANDIDATES, "logistic", broken)
    with pytest.raises(fit.NoFit, match=r"^logistic could not be fitted \(Singular matrix\); change its settings or"):
        fit.fit_candidate("logistic", table(100))


def test_more_regularisation_makes_smaller_weights():
    own = table(2_000)
    weights = [
        np.abs(fit.fit_margin("logistic", own, Settings(logistic=Logistic(C=c))).contributions(own.matrix)).mean()
        for c in (0.0001, 0.01, 1)
    ]
    assert weights == sorted(weights)


def test_nobody_at_the_address_of_the_cluster():
    pytest.importorskip("distributed")
    settings = Settings(lightgbm=LightGBM(cluster="tcp://127.0.0.1:9"))
    with pytest.raises(ConfigError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9 .* or write local"):
        fit.fit_margin("lightgbm", table(200), settings)


@pytest.fixture(scope="module")
def workers():
    """A cluster of two processes on this machine, ended with the module."""
    pytest.importorskip("distributed")
    from training import cluster

    yield "local"
    home = cluster.client("local")
    own = home.cluster
    home.close()
    own.close()
    cluster.client.cache_clear()


def test_a_cluster_fits_what_one_process_fits(workers):
    own, unseen = table(4_000), table(2_000, seed=1)
    far = fit.fit_margin("lightgbm", own, Settings(lightgbm=LightGBM(cluster=workers), negatives=0.5))
    near = fit.fit_margin("lightgbm", own, Settings(negatives=0.5))
    ranked = [metrics.roc_auc(unseen.outcome, model.margin(unseen.matrix)) for model in (far, near)]
    assert ranked[0] == pytest.approx(ranked[1], abs=0.02)
    assert np.corrcoef(far.margin(unseen.matrix), near.margin(unseen.matrix))[0, 1] > 0.95
    assert "127.0.0.1" not in far.text() and "machines" not in far.text()
    parts = far.contributions(unseen.matrix).sum(axis=1) + far.base_margin
    assert np.abs(parts - far.margin(unseen.matrix)).max() < 1e-9
