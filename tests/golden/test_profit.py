"""On a simulated company the truth is known: what a list is truly worth, and what contacts truly did."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pytest

from features import config as configs
from features.holdout import held_out
from simulation.company import build
from simulation.settings import Settings
from tests.golden.house import silent
from training import evaluate, job
from training.config import TrainConfig
from training.fit import one_thread
from training.folds import folds
from training.grade import LIMITS
from training.value import gains
from training.worth.later import Later, later
from training.worth.profit import profit
from training.worth.treated import treated

CUSTOMERS, SEED, DRAWS = 3_000, 29, 40


@dataclass(frozen=True)
class Company:
    """The test rows, judged; their true ``chance`` of the outcome; the accounts of the rows."""

    config: TrainConfig
    contacts: int
    rows: Later
    chance: np.ndarray


@pytest.fixture(scope="module")
def company(tmp_path_factory) -> Company:
    """Churn, scored on the test dates by the logistic regression, which is quick."""
    folder = tmp_path_factory.mktemp("profit") / "data"
    build(Settings(folder, customers=CUSTOMERS, months=24, seed=SEED))
    config = configs.load("configs/saas/churn.yaml", TrainConfig, [f"data.root={folder}"])
    own = job.prepare(config, job.snapshot(config, silent))
    with one_thread():
        tests = evaluate.splits(own.rows, folds(own.rows.dates, config.span_days, config.as_of.test_dates).test, silent)
        scored = evaluate.score(own.rows, tests, ["logistic"], None, config.settings, silent)
    rows = later(scored, scored["score"].to_numpy(), own.rows, config.value, config.outcome)
    truth = pd.read_parquet(folder / "truth.parquet").query("outcome == 'churn'")
    keys = pd.MultiIndex.from_arrays([truth["as_of"].astype(str), truth["account_id"].astype(str)])
    place = keys.get_indexer(pd.MultiIndex.from_arrays([rows.fold.astype(str), rows.customer.astype(str)]))
    assert (place >= 0).all()
    return Company(config, own.contacts, rows, truth["probability"].to_numpy()[place])


def worth(lists: list[np.ndarray], gain: np.ndarray) -> np.ndarray:
    """What lists of 0, 1, 2, … customers are truly worth, mean over the dates; as long as the shortest date."""
    shortest = min(len(order) for order in lists)
    return np.mean([np.insert(np.cumsum(gain[order]), 0, 0.0)[: shortest + 1] for order in lists], axis=0)


def test_the_best_cut_is_worth_nearly_as_much_as_the_true_optimum(company):
    rows, value = company.rows, company.config.value
    found = profit(rows, value, company.contacts)
    true = gains(company.chance, rows.amount, value)
    ours = worth(list(rows.lists(value).values()), true)
    optimum = worth([own[np.argsort(-true[own])] for own in rows.dates.values()], true)
    assert ours[found.best.length] >= 0.90 * optimum.max()
    assert ours[found.best.length] >= 0.97 * ours.max()  # of what its own ranking allows
    assert ours[found.best.length] > ours[company.contacts]


def test_contacts_that_halve_the_churn_of_the_top_tenth_are_seen_and_the_holdout_still_tells_the_truth(company):
    """Everyone in the top tenth outside the hold-out is contacted; outcomes are drawn again, with fixed seeds."""
    rows, chance = company.rows, company.chance
    held = held_out(rows.customer.tolist(), company.config.holdout)
    top = np.zeros(len(rows), bool)
    for order in rows.ranked(rows.score).values():
        top[order[: int(np.ceil(len(order) / 10))]] = True
    contacted = top & ~held
    side = {"contacted": contacted.astype(float), "held_out": held.astype(float)}
    effect = chance[top & held].mean() - chance[contacted].mean() / 2
    off = np.mean(rows.score[held] - chance[held])
    told = {"effect": 0, "sure": 0, "gap": 0, "calibrated": 0, "treated_off": 0}
    for seed in range(DRAWS):
        outcome = np.random.default_rng(seed).random(len(rows)) < np.where(contacted, chance / 2, chance)
        found = treated(replace(rows, outcome=outcome.astype(float), side=side))
        own, harmed = found.groups["held_out"], found.groups["top_contacted"]
        told["effect"] += found.effect.low <= effect <= found.effect.high
        told["sure"] += found.effect.low > 0
        told["gap"] += own.gap.low <= off <= own.gap.high
        told["calibrated"] += own.ece <= LIMITS["B"] + own.ece_limit
        told["treated_off"] += harmed.gap.low > 0 and harmed.ece > harmed.ece_limit
    assert min(told["effect"], told["gap"]) >= 34  # 38 on average; fewer have a chance of 1 in 100
    assert told["sure"] > DRAWS / 2  # with some 70 rows of the hold-out in the top tenth, five draws of six
    assert told["calibrated"] >= 38 and told["treated_off"] == DRAWS
