"""How good the scores and the reasons are on later dates, against careful references and a known truth.

Protocol: dates are month starts, the last four (three on cdnow) are the test, and a test date trains on dates whose
horizon had ended.
"""

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

from features import config as configs
from serving.words.reasons import parts
from simulation.company import build
from simulation.settings import Settings
from tests.golden.house import CDNOW, RELAX, silent
from training import job, metrics
from training.config import TrainConfig
from training.evaluate import Split, fit_named, splits
from training.fit import one_thread
from training.folds import Folds
from training.grade import LIMITS

# Pooled ROC AUC of a careful hand-made gradient boosting model on the same rows and dates.
REFERENCE = {"relax": 0.9654, "grocery": 0.8624, "cdnow": 0.7143}
# Which families show a cause (docs/simulation.md, "Causes"): the mark that the simulation leaves in the tables.
MARKS = {
    "usage_decline": {"login", "login_user_id", "feature_use", "feature_use_feature"},  # both streams fall
    "unresolved_tickets": {"ticket"},  # tickets that stay open
    "key_user_gone": {"admin_action"},  # the administrator's actions stop
    "price_rise": {"invoice", "subscription_value"},  # the price per seat, and with it the subscription's value
    "failed_payments": {"payment_failed"},
    "low_seat_use": {"seat_use", "seats"},  # the share of the seats in use falls
}


def keeps_time(config: TrainConfig, dates: list, plan: Folds) -> bool:
    """The last mature dates are the test, and every train horizon ended before its test date."""
    assert all(day.day == 1 for day in dates) and [fold.test for fold in plan.test] == dates[-config.as_of.test_dates :]
    span = timedelta(days=config.span_days)
    return all(day + span <= fold.test for fold in (*plan.selection, *plan.test) for day in fold.train)


def calibrated(outcome: np.ndarray, score: np.ndarray) -> bool:
    return metrics.ece(outcome, score) <= LIMITS["B"] + metrics.ece_of_a_perfect_model(score)


@pytest.mark.parametrize("dataset", [RELAX, "grocery", CDNOW])
def test_real_churn_is_ranked_as_well_as_by_a_careful_hand_made_model(dataset):
    config = configs.load(f"configs/{dataset}/churn.yaml", TrainConfig)
    judged = job.evaluate(config, job.snapshot(config, silent), silent)
    assert keeps_time(config, judged.rows.dates, judged.folds)
    assert set(judged.scored["fold"]) == {str(day) for day in judged.rows.dates[-config.as_of.test_dates :]}
    outcome, score = (judged.scored[name].to_numpy() for name in ("outcome", "score"))
    assert metrics.roc_auc(outcome, score) > REFERENCE[dataset] - 0.005
    assert calibrated(outcome, score)


@dataclass(frozen=True)
class Unseen:
    """A simulated company that nobody developed on. truth: the test rows, judged, beside what is true of them."""

    judged: job.Evaluation
    truth: pd.DataFrame


@pytest.fixture(scope="module")
def unseen(tmp_path_factory) -> Unseen:
    folder = tmp_path_factory.mktemp("unseen") / "data"
    build(Settings(folder, customers=5_000, months=24, seed=101))
    config = configs.load("configs/saas/churn.yaml", TrainConfig, [f"data.root={folder}"])
    judged = job.evaluate(config, job.snapshot(config, silent), silent)
    truth = pd.read_parquet(folder / "truth.parquet").query("outcome == 'churn'").drop(columns="outcome")
    truth = truth.assign(customer_id=truth["account_id"], fold=truth["as_of"].astype(str))
    both = judged.scored.merge(truth, on=["customer_id", "fold"], how="left", validate="1:1")
    assert (both["outcome"] == both["happened"]).all()
    return Unseen(judged, both)


def test_simulated_churn_is_ranked_nearly_as_well_as_by_the_oracle(unseen):
    assert keeps_time(unseen.judged.config, unseen.judged.rows.dates, unseen.judged.folds)
    outcome, score, oracle = (unseen.truth[name].to_numpy(float) for name in ("outcome", "score", "probability"))
    assert metrics.roc_auc(outcome, oracle) - metrics.roc_auc(outcome, score) < 0.03
    assert calibrated(outcome, score)


def test_reasons_name_the_main_cause_of_churners_flagged_high(unseen):
    """On the last two test dates, by models of their train dates: the very ones that were judged."""
    last = splits(unseen.judged.rows, unseen.judged.folds.test, silent)[-2:]
    table = unseen.truth[unseen.truth["fold"].isin([split.name for split in last])].reset_index(drop=True)
    log_odds, families = reasons(unseen.judged, last, table["score"].to_numpy())
    high = table.groupby("fold")["score"].rank(pct=True) > 0.9
    flagged = np.flatnonzero(high & (table["outcome"] == 1) & table["main_cause"].notna())
    causes = [MARKS[cause] for cause in table["main_cause"].iloc[flagged]]
    assert len(flagged) > 100 and set(table["main_cause"].iloc[flagged]) == set(MARKS)
    (largest,) = top(families, np.abs(log_odds).mean(axis=0, keepdims=True))
    named = np.mean([bool(marks & own) for marks, own in zip(causes, top(families, log_odds[flagged]))])
    always = np.mean([bool(marks & largest) for marks in causes])
    assert named >= 0.70
    assert named >= always + 0.15


def reasons(judged: job.Evaluation, chosen: list[Split], score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Log-odds (n, k) of the k families on the test rows of these folds; ``score`` is what was judged there."""
    found, scores = [], []
    for split in chosen:
        train, test = judged.rows.take(split.train), judged.rows.take(split.test)
        with one_thread():
            fitted = fit_named(judged.chosen, train, judged.config.settings)
        scores.append(fitted.score(test.matrix))
        family = [column["family"] for column in test.columns]
        found.append(parts(fitted.model.contributions(test.matrix), family, np.ones(len(test))))
    assert np.array_equal(np.concatenate(scores), score)
    return np.vstack([one.log_odds for one in found]), np.array(found[0].families)


def top(families: np.ndarray, log_odds: np.ndarray) -> list[set[str]]:
    """The three families that raise the score most, for each row."""
    return [set(names) for names in families[np.argsort(-log_odds, axis=1)[:, :3]]]
