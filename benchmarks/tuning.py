"""Tuned settings beside those of the YAML, on the test dates that tuning never saw.

    python -m benchmarks.tuning configs/relax/churn.yaml --minutes 10
    python -m benchmarks.tuning configs/relax/churn.yaml --trials 8 --shuffle 1

The study is a fresh one, kept nowhere. Each candidate, and what is chosen among them, gets the paired gain in average
precision over the test dates with its 95% interval over units. ``--shuffle`` deals the outcomes of each date out anew:
then there is nothing to find, and the grade must stay C. Exit code 1 when tuning surely ends below the YAML's settings.
"""

import argparse
import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from features import config
from features.command import progress
from features.errors import InputError
from training import job
from training.config import TrainConfig
from training.tuning import search as tune
from training.tuning import tuned
from training.tuning.study import Budget
from training.versus import Versus, record, versus


def shuffled(own: job.Prepared, seed: int) -> job.Prepared:
    """The outcomes of each date dealt out anew."""
    random, outcome = np.random.default_rng(seed), own.rows.outcome.copy()
    for day in np.unique(own.rows.day):
        on = own.rows.day == day
        outcome[on] = random.permutation(outcome[on])
    return replace(own, rows=replace(own.rows, outcome=outcome), fingerprint=f"shuffled {seed}")


def gains(before: job.Evaluation, after: job.Evaluation) -> dict[str, Versus | None]:
    """The gain of every candidate, and under ``chosen`` that of the candidates chosen."""
    if before.every.empty or before.chosen is None or after.chosen is None:
        return {}
    first, second = (dict(list(own.every.groupby("candidate"))) for own in (before, after))
    found = {name: versus(first[name], second[name]) for name in before.config.candidates if name in first}
    return found | {"chosen": versus(first[before.chosen], second[after.chosen])}


def measured(settings: TrainConfig, own: job.Prepared, budget: Budget) -> dict:
    """What tuning found, and what it was worth on the test dates."""
    with tempfile.TemporaryDirectory() as folder:
        found = tune.run(settings, own, Path(folder), budget, progress)
    for line in tuned.told(found):
        print(line)
    better = settings.model_copy(update={"settings": found.settings})
    before, after = (job.evaluate(one, own, progress, compare=True) for one in (settings, better))
    compared = gains(before, after)
    for name, one in compared.items():
        print(f"{name}: {one or 'no date with both outcomes'}")
    print(f"chosen: {before.chosen} and {after.chosen}; grade {before.grade.letter} and {after.grade.letter}")
    grades = {"before": before.grade.letter, "after": after.grade.letter}
    gained = {name: record(one) for name, one in compared.items()}
    return tuned.record(found) | {"grades": grades, "gains": gained}


def surely_worse(answer: dict) -> bool:
    return any(one is not None and one["high"] < 0 for one in answer["gains"].values())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    budget = parser.add_mutually_exclusive_group(required=True)
    budget.add_argument("--minutes", type=float)
    budget.add_argument("--trials", type=int)
    parser.add_argument("--shuffle", type=int, metavar="SEED")
    parser.add_argument("--set", action="append", default=[], metavar="PATH=VALUE")
    chosen = parser.parse_args()
    try:
        settings = config.load(chosen.config, TrainConfig, chosen.set)
        own = job.prepare(settings, job.snapshot(settings, progress))
        own = own if chosen.shuffle is None else shuffled(own, chosen.shuffle)
        answer = measured(settings, own, Budget(chosen.trials, chosen.minutes))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(json.dumps(answer, ensure_ascii=False))
    return 1 if surely_worse(answer) else 0


if __name__ == "__main__":
    sys.exit(main())
