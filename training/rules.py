"""Rankings by one number: what every model has to beat, and what is served when it does not."""

from collections.abc import Sequence

import numpy as np

from features.ready.config import SOURCE
from training.columns import Column
from training.models import Rule

ALWAYS = {"recency", "gap_ratio", "tenure_days", "days_to_renewal"}
WIDEST = {"count", "days"}
CELLS = 20
SHRINKAGE = 20.0
STEP = 1e-3


def numbers(columns: Sequence[Column]) -> list[int]:
    """Positions of the columns that are rules: silence, own rhythm, activity, change, age, renewal.

    Of a ready-made table every number is one.
    """
    widest = max((column["days"] or 0 for column in columns), default=0)
    return [
        position
        for position, column in enumerate(columns)
        if column["kind"] == "number"
        and (
            column["measure"] in ALWAYS
            or column["measure"] == "trend"
            or column["source"] == SOURCE
            or (column["measure"] in WIDEST and column["days"] == widest)
        )
    ]


def fit_rule(number: np.ndarray, outcome: np.ndarray, shrinkage: float = SHRINKAGE) -> Rule:
    """The calibrated table of one number, (n,), in the direction that the rows speak for.

    Cells between quantiles, each with its rate shrunk towards the base rate by ``shrinkage`` rows, made monotone
    (isotonic regression), then strictly so. Nulls have their own cell. Both directions are tried; the likelier one
    stays.
    """
    from sklearn.isotonic import isotonic_regression

    base = (outcome.sum() + 0.5) / (len(outcome) + 1)
    known = ~np.isnan(number)
    missing = _log_odds(_shrunk(outcome[~known].sum(), (~known).sum(), base, shrinkage))
    if not known.any():
        return Rule((0.0,), (float(_log_odds(base)),), float(missing), float(missing))
    knots, hits, counts = _cells(number[known], outcome[known])
    rates = _shrunk(hits, counts, base, shrinkage)
    risings = [isotonic_regression(rates, sample_weight=counts, increasing=up) for up in (True, False)]
    sign, rate = max(zip((1, -1), risings, strict=True), key=lambda pair: _log_likelihood(pair[1], hits, counts))
    margins = _log_odds(rate) + sign * STEP * np.arange(len(rate))
    rule = Rule(tuple(knots.tolist()), tuple(margins.tolist()), float(missing), 0.0)
    return Rule(rule.knots, rule.margins, rule.missing, float(rule.margin(number[:, None]).mean()))


def _cells(number: np.ndarray, outcome: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean number, outcomes and rows of every cell that holds rows."""
    edges = np.unique(np.quantile(number, np.linspace(0, 1, CELLS + 1)))[1:]
    cell = np.searchsorted(edges, number, "left")
    counts = np.bincount(cell)
    filled = counts > 0
    knots = np.bincount(cell, number)[filled] / counts[filled]
    return knots, np.bincount(cell, outcome)[filled], counts[filled].astype(np.float64)


def _shrunk(hits: np.ndarray, counts: np.ndarray, base: float, shrinkage: float) -> np.ndarray:
    return (hits + shrinkage * base) / (counts + shrinkage)


def _log_odds(rate: np.ndarray) -> np.ndarray:
    return np.log(rate) - np.log1p(-rate)


def _log_likelihood(rate: np.ndarray, hits: np.ndarray, counts: np.ndarray) -> float:
    return float(hits @ np.log(rate) + (counts - hits) @ np.log1p(-rate))
