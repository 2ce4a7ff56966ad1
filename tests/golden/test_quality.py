"""How good the scores and the reasons are on later dates, against careful references and a known truth.

Protocol: dates are month starts, the last four are the test, and a test date trains on dates whose horizon had ended.
"""

from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

from features import config as configs
from serving.reasons import parts
from simulation.company import build
from simulation.settings import Settings
from tests.golden.house import RELAX, silent
from training import job, metrics
from training.config import TrainConfig
from training.evaluate import fit_named, splits
from training.fit import one_thread
from training.folds import Folds, folds
from training.grade import LIMITS
from training.rows import Rows, rows

# Pooled ROC AUC of a careful hand-made gradient boosting model on the same rows and dates.
REFERENCE = {"relax": 0.9654, "grocery": 0.8624}
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
    """The last four mature dates are the test, and every train horizon ended before its test date."""
    assert all(day.day == 1 for day in dates) and [fold.test for fold in plan.test] == dates[-4:]
    span = timedelta(days=config.span_days)
    return all(day + span <= fold.test for fold in (*plan.selection, *plan.test) for day in fold.train)


def calibrated(outcome: np.ndarray, score: np.ndarray) -> bool:
    return metrics.ece(outcome, score) <= LIMITS["B"] + metrics.ece_of_a_perfect_model(score)


@pytest.mark.parametrize("dataset", [RELAX, "grocery"])
def test_real_churn_is_ranked_as_well_as_by_a_careful_hand_made_model(dataset):
    config = configs.load(f"configs/{dataset}/churn.yaml", TrainConfig)
    judged = job.evaluate(config, job.snapshot(config, silent), silent)
    assert keeps_time(config, judged.rows.dates, judged.folds)
    assert set(judged.scored["fold"]) == {str(day) for day in judged.rows.dates[-4:]}
    outcome, score = (judged.scored[name].to_numpy() for name in ("outcome", "score"))
    assert metrics.roc_auc(outcome, score) > REFERENCE[dataset] - 0.005
    assert calibrated(outcome, score)


@dataclass(frozen=True)
class Seen:
    """n test rows: the model's ``score`` beside the truth, and log-odds (n, k) by family."""

    table: pd.DataFrame
    log_odds: np.ndarray
    families: np.ndarray

    def top(self, log_odds: np.ndarray) -> list[set[str]]:
        """The three families that raise the score most, for each row."""
        return [set(names) for names in self.families[np.argsort(-log_odds, axis=1)[:, :3]]]


@pytest.fixture(scope="module")
def seen(tmp_path_factory) -> Seen:
    """Boosted trees on a company of 5,000 that nobody developed on, on later dates only."""
    folder = tmp_path_factory.mktemp("unseen") / "data"
    build(Settings(folder, customers=5_000, months=24, seed=101))
    config = configs.load("configs/saas/churn.yaml", TrainConfig, [f"data.root={folder}"])
    made = job.snapshot(config, silent)
    with one_thread():
        table = rows(made.frame, made.features)
        plan = folds(table.dates, config.span_days, config.as_of.test_dates)
        assert keeps_time(config, table.dates, plan)
        tests = [scored(table.take(split.train), table.take(split.test)) for split in splits(table, plan.test)]
    families = tuple(dict.fromkeys(column["family"] for column in table.columns))
    return Seen(beside_truth(tests, folder), np.vstack([one["log_odds"] for one in tests]), np.array(families))


def scored(train: Rows, test: Rows) -> dict:
    fitted = fit_named("lightgbm", train)
    contributions = fitted.model.contributions(test.matrix)
    split = parts(contributions, [column["family"] for column in test.columns], np.ones(len(test)))
    told = {"account_id": test.customer, "as_of": test.day.astype("datetime64[s]"), "outcome": test.outcome}
    return {**told, "score": fitted.score(test.matrix), "log_odds": split.log_odds}


def beside_truth(tests: list[dict], folder) -> pd.DataFrame:
    named = ("account_id", "as_of", "outcome", "score")
    table = pd.concat([pd.DataFrame({name: one[name] for name in named}) for one in tests], ignore_index=True)
    truth = pd.read_parquet(folder / "truth.parquet").query("outcome == 'churn'").drop(columns="outcome")
    truth["as_of"] = truth["as_of"].astype("datetime64[s]")
    both = table.merge(truth, on=["account_id", "as_of"], how="left", validate="1:1")
    assert (both["outcome"] == both["happened"]).all()
    return both


def test_simulated_churn_is_ranked_nearly_as_well_as_by_the_oracle(seen):
    outcome, score, oracle = (seen.table[name].to_numpy(float) for name in ("outcome", "score", "probability"))
    assert metrics.roc_auc(outcome, oracle) - metrics.roc_auc(outcome, score) < 0.03
    assert calibrated(outcome, score)


def test_reasons_name_the_main_cause_of_churners_flagged_high(seen):
    table = seen.table
    high = table.groupby("as_of")["score"].rank(pct=True) > 0.9
    flagged = np.flatnonzero(high & (table["outcome"] == 1) & table["main_cause"].notna())
    causes = [MARKS[cause] for cause in table["main_cause"].iloc[flagged]]
    assert len(flagged) > 200 and set(table["main_cause"].iloc[flagged]) == set(MARKS)
    (largest,) = seen.top(np.abs(seen.log_odds).mean(axis=0, keepdims=True))
    named = np.mean([bool(marks & top) for marks, top in zip(causes, seen.top(seen.log_odds[flagged]))])
    always = np.mean([bool(marks & largest) for marks in causes])
    assert named >= 0.70
    assert named >= always + 0.15
