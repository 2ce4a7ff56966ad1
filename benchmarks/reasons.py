"""What exact reasons take: our compiled kernel beside LightGBM's ``pred_contrib``, in the same run, least of several.

    python -m benchmarks.reasons --rows 200000

One model of default size (300 trees, 31 leaves, depth 6) on random numbers with nulls and some categories.
Contributions must be equal to 1e-9 and margins to the bit. Prints one JSON object: many rows on all cores, one row and
1,000 rows on one thread, the ten half fits behind an interval, and what a start costs.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from itertools import cycle

import numpy as np

from benchmarks import work
from features.errors import DataError
from training import attribution
from training.forest import Forest
from training.models import Trees

COLUMNS, CATEGORIES, CODES, LEARNT = 170, 5, 40, 30_000
BOOSTING = {
    "objective": "binary", "num_leaves": 31, "max_depth": 6, "learning_rate": 0.05, "feature_fraction": 0.3,
    "bagging_fraction": 0.8, "bagging_freq": 1, "max_bin": 63, "min_data_in_leaf": 50, "verbose": -1, "seed": 0,
}  # fmt: skip


def drawn(rows: int, random: np.random.Generator) -> np.ndarray:
    """(rows, COLUMNS): numbers, counts with many ties, and codes in the last columns; one in twenty is null."""
    matrix = random.normal(size=(rows, COLUMNS))
    matrix[:, ::3] = np.round(5 * np.abs(matrix[:, ::3]))
    matrix[:, -CATEGORIES:] = random.integers(0, CODES, (rows, CATEGORIES))
    matrix[random.random(matrix.shape) < 0.05] = np.nan
    return matrix


def fitted(trees: int) -> Trees:
    random = np.random.default_rng(0)
    matrix = drawn(LEARNT, random)
    weights = random.normal(size=COLUMNS) * (random.random(COLUMNS) < 0.3)
    chance = 1 / (1 + np.exp(1 - np.nan_to_num(matrix) @ weights / 5))
    outcome = (random.random(LEARNT) < chance).astype(float)
    categories = list(range(COLUMNS - CATEGORIES, COLUMNS))
    data = Trees.binned(matrix, outcome, [f"x{i}" for i in range(COLUMNS)], categories, BOOSTING)
    return Trees.fit(data, None, None, BOOSTING, trees)


def least(call: Callable[[], object], times: int) -> float:
    """Milliseconds of the quickest call."""
    took = []
    for _ in range(times):
        begin = time.perf_counter()
        call()
        took.append(time.perf_counter() - begin)
    return 1_000 * min(took)


def median(call: Callable[[np.ndarray], object], matrix: np.ndarray, times: int = 300) -> float:
    """Milliseconds of the middle one of calls with another row each, for one row alone would be in every cache."""
    took = []
    for _, row in zip(range(times), cycle(range(len(matrix)))):
        begin = time.perf_counter()
        call(matrix[row : row + 1])
        took.append(time.perf_counter() - begin)
    return 1_000 * float(np.median(took))


def theirs(model: Trees, matrix: np.ndarray, threads: int = 0) -> np.ndarray:
    return np.asarray(model.booster.predict(matrix, pred_contrib=True, num_threads=threads))


def measure(model: Trees, matrix: np.ndarray) -> dict[str, float]:
    """Milliseconds; and the largest difference. Raises DataError when ours are not theirs."""
    some = matrix[:1_000]
    apart = float(np.abs(model.contributions(matrix) - theirs(model, matrix)[:, :-1]).max())
    equal = np.array_equal(model.margin(matrix), model.booster.predict(matrix, raw_score=True))
    if apart > 1e-9 or not equal or not model.tables:
        raise DataError(f"contributions are {apart} apart, margins {'equal' if equal else 'not equal'}")
    halves = Forest.parse(*[model.text()] * 10)
    bulk, bulk_theirs = least(lambda: model.contributions(matrix), 3), least(lambda: theirs(model, matrix), 1)
    return {
        "bulk_ms": bulk,
        "bulk_pred_contrib_ms": bulk_theirs,
        "bulk_times_faster": bulk_theirs / bulk,
        "largest_difference": apart,
        "one_row_ms": median(model.contributions, some),
        "one_row_pred_contrib_ms": median(lambda row: theirs(model, row, 1), some),
        "thousand_rows_ms": least(lambda: model.contributions(some), 5),
        "thousand_rows_pred_contrib_ms": least(lambda: theirs(model, some, 1), 2),
        "one_margin_ms": median(model.margin, some),
        "one_interval_ms": median(lambda row: attribution.margins(halves, row), some),
        "start_ms": least(lambda: Trees(model.text()).tables, 3),
    }


def main() -> int:
    parser = work.Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--trees", type=int, default=300)
    args = parser.parse_args()
    if min(args.rows, args.trees) < 1:
        parser.error("--rows and --trees: at least 1")
    try:
        found = measure(fitted(args.trees), drawn(args.rows, np.random.default_rng(1)))
    except DataError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    sizes = {"rows": args.rows, "columns": COLUMNS, "trees": args.trees}
    print(json.dumps(sizes | {name: float(f"{value:.4g}") for name, value in found.items()}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
