"""Fit a candidate and calibrate it on margins of customers it has not seen."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np

from features.errors import DataError
from training.calibration import Calibrator, calibrate
from training.models import Categories, Linear, Numbers, Served, Trees
from training.rows import Rows
from training.rules import fit_rule
from training.sampling import directions, sampled
from training.settings import LightGBM, Settings

Fit = Callable[[np.ndarray | None], Trees | Linear]
Term = Callable[[np.ndarray, np.ndarray], Numbers | Categories]

DEFAULT = Settings()

ALWAYS = {
    "objective": "binary", "bagging_freq": 1, "max_bin": 63, "bin_construct_sample_cnt": 20_000,
    "deterministic": True, "force_row_wise": True, "seed": 0, "verbose": -1,
}  # fmt: skip
SMALL = 3_000_000
LARGE = 50_000_000
TAILS = (0.005, 0.995)
PARTS = 3
ENOUGH = 500


class NoFit(DataError):
    """A candidate that could not be fitted on these rows."""


@dataclass(frozen=True)
class Fitted:
    """A model with the calibrator of its recipe."""

    model: Served
    calibrator: Calibrator

    def score(self, matrix: np.ndarray) -> np.ndarray:
        return self.calibrator(self.model.margin(matrix))


def trees(rows: Rows, settings: Settings = DEFAULT) -> Fit:
    """Bins the rows once; the returned function fits LightGBM on all of them or on the given positions."""
    categories = [i for i, column in enumerate(rows.columns) if column["kind"] == "category"]
    names = [column["name"] for column in rows.columns]
    own = settings.lightgbm
    if own.cluster:
        return _on_cluster(rows, settings, names, categories)
    boosting = {**_boosting(own, rows), "num_threads": 1 if rows.matrix.size < SMALL else 0}
    data = Trees.binned(rows.matrix, rows.outcome, names, categories, boosting)

    def fit(index: np.ndarray | None = None) -> Trees:
        kept, weight = sampled(rows.outcome, index, settings)
        return Trees.fit(data, kept, weight, boosting, own.num_iterations)

    return fit


def _on_cluster(rows: Rows, settings: Settings, names: list[str], categories: list[int]) -> Fit:
    from training import cluster

    own = settings.lightgbm
    assert own.cluster is not None
    address, boosting = own.cluster, _boosting(own, rows) | {"n_estimators": own.num_iterations}

    def fit(index: np.ndarray | None = None) -> Trees:
        kept, weight = sampled(rows.outcome, index, settings)
        kept = np.arange(len(rows)) if kept is None else kept
        text = cluster.train(address, boosting, rows.matrix[kept], rows.outcome[kept], weight, names, categories)
        return Trees(text)

    return fit


def _boosting(own: LightGBM, rows: Rows) -> dict[str, Any]:
    """LightGBM's parameters; what is always so, and what the settings say."""
    chosen = own.model_dump(exclude={"num_iterations", "positive_weight", "monotone", "cluster"})
    constraints = {"monotone_constraints": directions(rows)} if own.monotone else {}
    return {**ALWAYS, **chosen, **constraints}


def linear(rows: Rows, settings: Settings = DEFAULT) -> Fit:
    """Scales the rows once; the returned function fits a logistic regression with an L2 penalty."""
    from sklearn.linear_model import LogisticRegression

    blocks = [_block(rows, position) for position in range(len(rows.columns))]
    widths = np.cumsum([block.shape[1] for block, _ in blocks])
    large = len(rows) * widths[-1] > LARGE
    design = np.hstack([block for block, _ in blocks], dtype=np.float32 if large else np.float64)
    terms = [term for _, term in blocks]
    del blocks
    plain = settings.model_copy(update={"lightgbm": LightGBM()})

    def fit(index: np.ndarray | None = None) -> Linear:
        kept, weight = sampled(rows.outcome, index, plain)
        own = design if kept is None else design[kept]
        outcome = rows.outcome if kept is None else rows.outcome[kept]
        # newton-cholesky copies the design; lbfgs does not
        solver = {"solver": "lbfgs", "max_iter": 200} if large else {"solver": "newton-cholesky", "max_iter": 50}
        model = LogisticRegression(C=settings.logistic.C, **solver).fit(own, outcome, weight)
        slopes = np.split(model.coef_[0].astype(np.float64), widths[:-1])
        sides = np.split(own.mean(axis=0, dtype=np.float64), widths[:-1])
        fitted = [term(side, weight) for term, side, weight in zip(terms, sides, slopes, strict=True)]
        return Linear(float(model.intercept_[0]), tuple(fitted))

    return fit


def _block(rows: Rows, position: int) -> tuple[np.ndarray, Term]:
    """The design columns of one feature, and how their means and weights become its term."""
    column, values = rows.columns[position], rows.matrix[:, position]
    if column["kind"] == "category":
        return _category_block(values, len(column["categories"] or []))
    return _number_block(values, column["unit"] == "score")


def _category_block(codes: np.ndarray, size: int) -> tuple[np.ndarray, Term]:
    block = np.eye(size + 1)[np.where(np.isnan(codes), size, codes).astype(np.int64)]

    def term(means: np.ndarray, weights: np.ndarray) -> Categories:
        return Categories(tuple(weights[:-1].tolist()), float(weights[-1]), float(means @ weights))

    return block, term


def _number_block(values: np.ndarray, rating: bool) -> tuple[np.ndarray, Term]:
    known = values[~np.isnan(values)]
    low, high = np.quantile(known, TAILS).tolist() if len(known) else (0.0, 0.0)
    plain = Numbers(low, high, bool(low >= 0 and not rating), 0.0, 1.0, 1.0, np.nan, 0.0)
    scaled = plain.term(values)
    center, scale = (float(np.nanmean(scaled)), float(np.nanstd(scaled))) if len(known) else (0.0, 0.0)
    scale = scale if scale > 1e-9 else 1.0
    block = np.nan_to_num((scaled - center) / scale)[:, None]
    if len(known) < len(values):
        block = np.hstack([block, np.isnan(values)[:, None]])

    def term(means: np.ndarray, weights: np.ndarray) -> Numbers:
        weight, missing = (*weights.tolist(), 0.0)[:2]
        return Numbers(low, high, plain.log, center, scale, weight, missing, float(means @ weights))

    return block, term


@contextmanager
def one_thread() -> Iterator[None]:
    """Linear algebra on one thread: sums in one order give one result on any machine of a kind."""
    from threadpoolctl import threadpool_limits

    import_module("sklearn.linear_model")  # a BLAS must be loaded to be limited
    with threadpool_limits(1, user_api="blas"):
        yield


CANDIDATES: dict[str, Callable[[Rows, Settings], Fit]] = {"logistic": linear, "lightgbm": trees}


def fit_candidate(candidate: str, rows: Rows, settings: Settings = DEFAULT) -> Fitted:
    """Fit on all rows; calibrate on the margins of units held out of a second fit on the others.

    The units are cut into thirds; thirds are held out in turn until ``ENOUGH`` outcomes have been scored
    unseen.
    """
    fit = _fit(candidate, rows, settings)
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


def fit_margin(candidate: str, rows: Rows, settings: Settings = DEFAULT) -> Trees | Linear:
    """The model alone: enough where only the ranking counts."""
    return _fit(candidate, rows, settings)(None)


def _fit(candidate: str, rows: Rows, settings: Settings) -> Fit:
    """The candidate's fit, whose failures name it. Raises NoFit."""
    with _named(candidate):
        made = CANDIDATES[candidate](rows, settings)

    def fit(index: np.ndarray | None = None) -> Trees | Linear:
        with _named(candidate):
            return made(index)

    return fit


@contextmanager
def _named(candidate: str) -> Iterator[None]:
    try:
        yield
    except (ValueError, ArithmeticError, MemoryError, DataError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise NoFit(
            f"{candidate} could not be fitted ({reason}); change its settings or take it out of `candidates`"
        ) from error


def fit_number(position: int, rows: Rows) -> Fitted:
    """The rule of one column; its table is calibrated already."""
    return Fitted(fit_rule(rows.matrix[:, position], rows.outcome), Calibrator(1.0, 0.0))


def parts(unit: np.ndarray) -> np.ndarray:
    """The part, 0 to ``PARTS`` − 1, of every row; a unit is in one part with all its rows."""
    names, codes = np.unique(unit, return_inverse=True)
    return (np.random.default_rng(0).permutation(len(names)) % PARTS)[codes]
