"""Out-of-time quality beside another model's scores on the same customers and dates.

    python -m benchmarks.quality configs/relax/churn.yaml --against relax.parquet

FILE has one row per customer and test date: ``id``, ``as_of``, ``churned`` and the other model's score in
``reference``. Rows, outcomes and dates must be the same. The difference of the pooled ROC AUC gets a paired 95%
interval, bootstrapped over units.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from features import config
from features.command import progress
from features.errors import DataError, InputError
from training import job, metrics
from training.config import TrainConfig


def paired(scored: pd.DataFrame, other: pd.DataFrame) -> pd.DataFrame:
    """Both models' scores side by side. Raises DataError unless rows and outcomes are the same."""
    other = other.assign(customer_id=other["id"].astype(str), fold=other["as_of"].dt.strftime("%Y-%m-%d"))
    both = scored.merge(other, on=["customer_id", "fold"], how="outer", indicator=True)
    alone = both["_merge"].value_counts()
    if alone["left_only"] or alone["right_only"]:
        raise DataError(f"rows differ: {alone['left_only']:,} only here, {alone['right_only']:,} only in the file")
    if (both["outcome"] != both["churned"]).any():
        raise DataError(f"outcomes differ in {(both['outcome'] != both['churned']).sum():,} rows")
    return both


def difference(both: pd.DataFrame) -> dict[str, float]:
    """ROC AUC and average precision of both models, and the interval of the difference in AUC."""
    outcome, unit = both["outcome"].to_numpy(), both["unit"].to_numpy()
    ours, theirs = (metrics.Ranking.of(outcome, both[name].to_numpy()) for name in ("score", "reference"))
    gaps = [ours.roc_auc(weights) - theirs.roc_auc(weights) for weights in metrics.resampled(unit)]
    low, high = metrics.interval(np.concatenate(gaps))
    out = {}
    for name, column in (("ours", "score"), ("reference", "reference")):
        out[f"roc_auc_{name}"] = metrics.roc_auc(outcome, both[column].to_numpy())
        out[f"average_precision_{name}"] = metrics.average_precision(outcome, both[column].to_numpy())
    return out | {"difference_low": low, "difference_high": high, "rows": len(both)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    parser.add_argument("--against", type=Path, required=True, metavar="FILE")
    parser.add_argument("--set", action="append", default=[], metavar="PATH=VALUE")
    chosen = parser.parse_args()
    try:
        settings = config.load(chosen.config, TrainConfig, chosen.set)
        done = job.evaluate(settings, job.snapshot(settings, progress), progress)
        figures = difference(paired(done.scored, pd.read_parquet(chosen.against)))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(json.dumps({name: round(value, 5) for name, value in figures.items()} | {"candidate": done.chosen}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
