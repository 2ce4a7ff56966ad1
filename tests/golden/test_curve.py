"""The risk within 30, 60, 90 and 180 days on later dates of a simulated company, against what then happened.

Protocol: a test date knows only outcomes that were certain before it, for each interval of the curve by itself, and is
followed for 180 days. The company is one that nobody developed on.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest

from features import config as configs
from simulation.company import build
from simulation.settings import Settings
from tests.golden.house import SMALL, silent
from training import job, metrics
from training.config import TrainConfig
from training.fit import one_thread
from training.hazard import Horizons, calibration, happened, out_of_time
from training.rows import Rows, rows

GRACE, GAP = 30, 7
DATES = 2


@dataclass(frozen=True)
class Company:
    """A simulated company: its rows, its curves out of time, and its tables."""

    rows: Rows
    asked: Horizons
    scored: pd.DataFrame
    subscriptions: pd.DataFrame
    truth: pd.DataFrame


@pytest.fixture(scope="module")
def company(tmp_path_factory) -> Company:
    folder = tmp_path_factory.mktemp("curve") / "data"
    build(Settings(folder, customers=2_000, months=30, seed=104))
    wanted = [f"data.root={folder}", "curve=[30, 60, 90, 180]", *SMALL]
    config = configs.load("configs/saas/churn.yaml", TrainConfig, wanted)
    made, asked = job.snapshot(config, silent), Horizons.of(config)
    table = rows(made.frame, made.features)
    with one_thread():
        scored = out_of_time(table, asked, "lightgbm", config.settings, DATES, silent)
    truth = pd.read_parquet(folder / "truth.parquet").query("outcome == 'churn'")
    return Company(table, asked, scored, pd.read_parquet(folder / "subscriptions.parquet"), truth)


def ends(subscriptions: pd.DataFrame) -> dict[str, list[np.datetime64]]:
    """The days on which each account's service ended and did not begin again within the grace, by a plain walk."""
    found = dict[str, list[np.datetime64]]()
    for account, own in subscriptions.sort_values("start_date").groupby("account_id", observed=True):
        starts = own["start_date"].to_numpy("datetime64[D]")
        stops = own["end_date"].fillna(pd.Timestamp("2100-01-01").date()).to_numpy("datetime64[D]")
        last = [max(stops[: i + 1]) for i in range(len(stops))]
        following = [*starts[1:], np.datetime64("2200-01-01")]
        found[account] = [day for day, start in zip(last, following) if start >= day + GRACE and day.item().year < 2100]
    return found


def test_the_day_of_the_event_is_that_of_the_tables(company):
    ended, known = ends(company.subscriptions), company.rows
    for i in np.random.default_rng(0).permutation(len(known))[:2_000]:
        begin = known.day[i] + GAP
        days = [(day - begin).astype(int) for day in ended[known.customer[i]] if day >= begin]
        assert known.side["event_day"][i] == min(days) if days else np.isnan(known.side["event_day"][i])
    assert (happened(known, 90) == known.outcome).all()


def test_the_curve_is_calibrated_at_every_horizon(company):
    figures = calibration(company.scored, company.asked)
    assert figures["horizon"].tolist() == [30, 60, 90, 180] and set(figures["dates"]) == {DATES}
    assert (figures["rows"] > 1_000).all()
    assert (figures["ece"] <= figures["allowed"]).all(), figures
    assert (figures["roc_auc"] > 0.7).all(), figures
    for horizon, own in company.scored.groupby("horizon"):
        low, high = difference(own)  # by chance in the test rows; 0.01 for chance in the train rows and for the times
        assert low - 0.01 <= 0 <= high + 0.01, f"{horizon} days: predicted less observed {low:.4f} to {high:.4f}"


def difference(own: pd.DataFrame) -> tuple[float, float]:
    """Mean predicted less observed, its 95% interval over units."""
    error, draws = (own["score"] - own["outcome"]).to_numpy(), []
    for weights in metrics.resampled(own["unit"].to_numpy(), 200):
        draws.append(weights @ error / weights.sum(axis=1))
    return metrics.interval(np.concatenate(draws))


def test_no_curve_crosses_and_the_own_horizon_is_near_the_truth(company):
    keys = ["fold", "customer_id"]
    wide = company.scored.pivot(index=keys, columns="horizon", values="score")
    assert (np.diff(wide.to_numpy(), axis=1) >= 0).all()
    truth = company.truth.assign(fold=company.truth["as_of"].astype(str), customer_id=company.truth["account_id"])
    both = wide.reset_index().merge(truth, on=keys, validate="1:1")
    assert len(both) == len(wide) and both["happened"].notna().all()
    outcome = both["happened"].to_numpy(float)
    assert (
        metrics.roc_auc(outcome, both["probability"].to_numpy()) - metrics.roc_auc(outcome, both[90].to_numpy()) < 0.06
    )
    assert abs(both[90].mean() - both["probability"].mean()) < 0.02
