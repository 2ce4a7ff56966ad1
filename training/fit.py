"""Fit a candidate and calibrate it on margins of customers it has not seen."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module

import numpy as np

from training.calibration import Calibrator, calibrate
from training.models import Categories, Linear, Numbers, Served, Trees
from training.rows import Rows
from training.rules import fit_rule

Fit = Callable[[np.ndarray | None], Trees | Linear]

TREES = 120
BOOSTING = {
    "objective": "binary", "learning_rate": 0.07, "num_leaves": 15, "max_depth": 5, "min_data_in_leaf": 50,
    "bagging_fraction": 0.8, "bagging_freq": 1, "feature_fraction": 0.3, "lambda_l2": 5.0, "max_bin": 63,
    "bin_construct_sample_cnt": 20_000, "deterministic": True, "force_row_wise": True, "seed": 0,
    "verbose": -1,
}  # fmt: skip
SMALL = 3_000_000
PENALTY = 0.01
TAILS = (0.005, 0.995)
PARTS = 3
ENOUGH = 500


@dataclass(frozen=True)
class Fitted:
    """A model with the calibrator of its recipe."""

    model: Served
    calibrator: Calibrator

    def score(self, matrix: np.ndarray) -> np.ndarray:
        return self.calibrator(self.model.margin(matrix))


def trees(rows: Rows) -> Fit:
    """Bins the rows once; the returned function fits LightGBM on all of them or on the given positions."""
    categories = [i for i, column in enumerate(rows.columns) if column["kind"] == "category"]
    names = [column["name"] for column in rows.columns]
    settings = {**BOOSTING, "num_threads": 1 if rows.matrix.size < SMALL else 0}
    data = Trees.binned(rows.matrix, rows.outcome, names, categories, settings)

    def fit(index: np.ndarray | None = None) -> Trees:
        return Trees.fit(data, index, settings, TREES)

    return fit


def linear(rows: Rows) -> Fit:
    """Scales the rows once; the returned function fits a logistic regression with an L2 penalty."""
    from sklearn.linear_model import LogisticRegression

    blocks = [_block(rows, position) for position in range(len(rows.columns))]
    design = np.hstack([block for block, _ in blocks])

    def fit(index: np.ndarray | None = None) -> Linear:
        index = np.arange(len(rows)) if index is None else index
        model = LogisticRegression(C=PENALTY, solver="newton-cholesky", max_iter=50)
        model.fit(design[index], rows.outcome[index])
        weights = np.split(model.coef_[0], np.cumsum([block.shape[1] for block, _ in blocks])[:-1])
        terms = [term(block[index], own) for (block, term), own in zip(blocks, weights, strict=True)]
        return Linear(float(model.intercept_[0]), tuple(terms))

    return fit


def _block(rows: Rows, position: int) -> tuple[np.ndarray, Callable[[np.ndarray, np.ndarray], Numbers | Categories]]:
    """The design columns of one feature, and how their weights become its term."""
    column, values = rows.columns[position], rows.matrix[:, position]
    if column["kind"] == "category":
        return _category_block(values, len(column["categories"] or []))
    return _number_block(values, column["unit"] == "score")


def _category_block(codes: np.ndarray, size: int) -> tuple[np.ndarray, Callable[[np.ndarray, np.ndarray], Categories]]:
    block = np.eye(size + 1)[np.where(np.isnan(codes), size, codes).astype(np.int64)]

    def term(design: np.ndarray, weights: np.ndarray) -> Categories:
        return Categories(tuple(weights[:-1].tolist()), float(weights[-1]), float((design @ weights).mean()))

    return block, term


def _number_block(values: np.ndarray, rating: bool) -> tuple[np.ndarray, Callable[[np.ndarray, np.ndarray], Numbers]]:
    known = values[~np.isnan(values)]
    low, high = np.quantile(known, TAILS).tolist() if len(known) else (0.0, 0.0)
    plain = Numbers(low, high, bool(low >= 0 and not rating), 0.0, 1.0, 1.0, np.nan, 0.0)
    scaled = plain.term(values)
    center, scale = (float(np.nanmean(scaled)), float(np.nanstd(scaled))) if len(known) else (0.0, 0.0)
    scale = scale if scale > 1e-9 else 1.0
    block = np.nan_to_num((scaled - center) / scale)[:, None]
    if len(known) < len(values):
        block = np.hstack([block, np.isnan(values)[:, None]])

    def term(design: np.ndarray, weights: np.ndarray) -> Numbers:
        weight, missing = (*weights.tolist(), 0.0)[:2]
        expected = float((design @ weights).mean())
        return Numbers(low, high, plain.log, center, scale, weight, missing, expected)

    return block, term


@contextmanager
def one_thread() -> Iterator[None]:
    """Linear algebra on one thread: sums in one order give one result on any machine of a kind."""
    from threadpoolctl import threadpool_limits

    import_module("sklearn.linear_model")  # a BLAS must be loaded to be limited
    with threadpool_limits(1, user_api="blas"):
        yield


CANDIDATES: dict[str, Callable[[Rows], Fit]] = {"logistic": linear, "lightgbm": trees}


def fit_candidate(candidate: str, rows: Rows) -> Fitted:
    """Fit on all rows; calibrate on the margins of units held out of a second fit on the others.

    The units are cut into thirds; thirds are held out in turn until ``ENOUGH`` outcomes have been scored
    unseen.
    """
    fit = CANDIDATES[candidate](rows)
    margin, held = np.zeros(len(rows)), np.zeros(len(rows), dtype=bool)
    part = parts(rows.unit)
    for third in range(PARTS):
        inside, outside = np.flatnonzero(part != third), np.flatnonzero(part == third)
        if len(outside) and len(np.unique(rows.outcome[inside])) == 2:
            margin[outside] = fit(inside).margin(rows.matrix[outside])
            held[outside] = True
        if min(rows.outcome[held].sum(), (1 - rows.outcome[held]).sum()) >= ENOUGH:
            break
    return Fitted(fit(None), calibrate(margin[held], rows.outcome[held], rows.unit[held]))


def fit_margin(candidate: str, rows: Rows) -> Trees | Linear:
    """The model alone: enough where only the ranking counts."""
    return CANDIDATES[candidate](rows)(None)


def fit_number(position: int, rows: Rows) -> Fitted:
    """The rule of one column; its table is calibrated already."""
    return Fitted(fit_rule(rows.matrix[:, position], rows.outcome), Calibrator(1.0, 0.0))


def parts(unit: np.ndarray) -> np.ndarray:
    """The part, 0 to ``PARTS`` − 1, of every row; a unit is in one part with all its rows."""
    names, codes = np.unique(unit, return_inverse=True)
    return (np.random.default_rng(0).permutation(len(names)) % PARTS)[codes]
