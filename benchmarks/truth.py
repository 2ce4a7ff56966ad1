"""Scores beside the truth, on simulated companies whose true risks are known: deciles, and the profit of the best cut.

    python -m benchmarks.truth --seeds 20 --customers 2000

For each seed a company is made, churn is trained as its config says, and the rows of the test dates are cut into ten
equal groups by score. The 95% interval of the share with the outcome of each group (bootstrapped over units) is
compared with the mean of its true probabilities; with ``--refits``, which costs ten more fits for each date, so is that
of the mean score (how far it would move with a recipe fitted on other customers, by ``training.spread``). The list of
the best cut is judged by its true expected profit, as a share of that of the best list by the true risks. Prints one
JSON object.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from features import config as configs
from simulation.company import build
from simulation.settings import Settings
from training import job, metrics
from training.config import TrainConfig
from training.evaluate import fit_named, inputs, splits
from training.fit import one_thread
from training.grade import LIMITS
from training.spread import fit_spread
from training.value import gains
from training.worth.later import later
from training.worth.profit import profit


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.truth", description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=101)
    parser.add_argument("--refits", action="store_true")
    parser.add_argument("--customers", type=int, default=3_000)
    chosen = parser.parse_args(arguments)
    found = []
    for seed in range(chosen.first, chosen.first + chosen.seeds):
        found.append(cells(seed, chosen.customers, chosen.refits))
        print(json.dumps({"seed": seed, **summary(found[-1:])}), file=sys.stderr, flush=True)
    print(json.dumps({"seeds": chosen.seeds, "customers": chosen.customers, **summary(found)}))
    return 0


def summary(found: Sequence[pd.DataFrame]) -> dict[str, float]:
    every = pd.concat(found)
    inside = {
        f"{name}_covers": round(float(every["truth"].between(every[f"{name}_low"], every[f"{name}_high"]).mean()), 4)
        for name in ("score", "outcome")
        if f"{name}_low" in every
    }
    return {
        "cells": len(every),
        **inside,
        "profit_share": round(float(every.groupby("seed")["profit_share"].first().mean()), 4),
        "mean_gap": round(float((every["score"] - every["truth"]).abs().mean()), 4),
        "ece": round(float(every.groupby("seed")["ece"].first().mean()), 4),
        "calibrated": round(float(every.groupby("seed")["calibrated"].first().mean()), 4),
    }


def cells(seed: int, customers: int, refits: bool) -> pd.DataFrame:
    """One row per decile of one company: score, truth, outcome (means) and the two intervals."""
    with TemporaryDirectory() as folder:
        build(Settings(Path(folder), customers=customers, months=24, seed=seed))
        config = configs.load(Path("configs/saas/churn.yaml"), TrainConfig, [f"data.root={folder}"])
        judged = job.evaluate(config, job.snapshot(config, _quiet), _quiet)
        truth = pd.read_parquet(Path(folder) / "truth.parquet").query("outcome == 'churn'")
    truth = truth.assign(customer_id=truth["account_id"], fold=truth["as_of"].astype(str))
    own = judged.scored.merge(truth[["customer_id", "fold", "probability"]], on=["customer_id", "fold"], how="left")
    score, outcome = judged.served_scores, own["outcome"].to_numpy()
    group = metrics.bins(score)
    unit = own["unit"].to_numpy()
    table = pd.DataFrame({"score": score, "truth": own["probability"], "outcome": outcome}).groupby(group).mean()
    if refits:
        moved = refitted(judged)
        apart = np.square([pd.Series(one - other).groupby(group).mean() for one, other in moved.pairs])
        reach = stdtrit(len(moved.pairs), 0.975) * np.sqrt(moved.share * apart.mean(axis=0) / 2)
        table = table.assign(score_low=table["score"] - reach, score_high=table["score"] + reach)
    drawn = np.concatenate([_means(weights, outcome, group) for weights in metrics.resampled(unit)])
    low, high = np.nanquantile(drawn, [0.025, 0.975], axis=0)[:, table.index]
    allowed = LIMITS["B"] + metrics.ece_of_a_perfect_model(score)
    error = metrics.ece(outcome, score)
    share = profit_share(judged, own["probability"].to_numpy())
    return table.assign(
        seed=seed, profit_share=share, ece=error, calibrated=error <= allowed, outcome_low=low, outcome_high=high,
    )  # fmt: skip


def profit_share(judged: job.Evaluation, truth: np.ndarray) -> float:
    """True expected profit of our list cut at our best length, as a share of the best list and length by the truth."""
    value = judged.config.value
    tests = later(judged.scored, judged.served_scores, judged.rows, value, judged.config.outcome)
    assert tests is not None
    gain = gains(truth, tests.amount, value)
    best = {day: rows[np.argsort(-gain[rows], kind="stable")] for day, rows in tests.dates.items()}
    length = profit(tests, value, judged.contacts).best.length
    return float(earned(tests.lists(value), gain)[length] / earned(best, gain).max())


def earned(lists: Mapping[str, np.ndarray], gain: np.ndarray) -> np.ndarray:
    """Mean gain over the dates by list length, 0 to the longest date; a longer list holds everybody."""
    longest = max(map(len, lists.values()))
    curves = [np.pad(np.cumsum(gain[rows]), (1, longest - len(rows)), "edge") for rows in lists.values()]
    for curve in curves:
        curve[0] = 0.0
    return np.mean(curves, axis=0)


class Moved:
    """Scores of the test rows by pairs of refits on halves of the units: ``pairs`` of (n,), and ``share``."""

    def __init__(self, pairs: list[tuple[np.ndarray, np.ndarray]], share: float):
        self.pairs, self.share = pairs, share


def refitted(judged: job.Evaluation) -> Moved:
    table, name, parts, share = judged.rows, str(judged.served), [], 0.5
    own = inputs(name, table)
    for split in splits(table, judged.folds.test, _quiet):
        train, test = table.take(split.train), table.take(split.test)
        with one_thread():
            fitted = fit_named(name, train, judged.config.settings)
            spread = fit_spread(name, train, judged.config.settings)
        assert spread is not None
        share = spread.share
        parts.append([
            [fitted.calibrator(model.margin(test.matrix[:, own])) for model in pair] for pair in spread.pairs
        ])  # fmt: skip
    pairs = min(map(len, parts))
    joined = [tuple(np.concatenate([part[k][side] for part in parts]) for side in (0, 1)) for k in range(pairs)]
    return Moved(joined, share)


def _means(weights: np.ndarray, outcome: np.ndarray, group: np.ndarray) -> np.ndarray:
    members = np.eye(metrics.BINS)[group]
    with np.errstate(invalid="ignore"):
        return (weights @ (members * outcome[:, None])) / (weights @ members)


def _quiet(text: str) -> None:
    pass


if __name__ == "__main__":
    sys.exit(main())
