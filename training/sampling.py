"""What a fit attends to: which rows, by what weight, and which way each column may move the margin."""

import numpy as np

from features.catalogue import BY_NAME
from training.rows import Rows
from training.settings import Settings


def sampled(
    outcome: np.ndarray, index: np.ndarray | None, settings: Settings
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """The rows to fit on, and their weights; None: the given ones, all alike.

    Of the rows without the outcome a share ``negatives`` is kept, weighted so that they count for all of them: the
    weighted base rate is that of the rows, exactly (the weighting of King and Zeng 2001, "Logistic regression in rare
    events data").
    """
    every = np.arange(len(outcome)) if index is None else index
    positive = outcome[every] > 0
    keep = positive | (np.random.default_rng(0).random(len(outcome))[every] < settings.negatives)
    if not keep[~positive].any():
        keep = np.ones(len(every), bool)
    if keep.all() and settings.lightgbm.positive_weight == 1:
        return index, None
    kept = every[keep]
    weight = np.where(
        outcome[kept] > 0, settings.lightgbm.positive_weight, (~positive).sum() / (keep & ~positive).sum()
    )
    return kept, weight


def directions(rows: Rows) -> list[int]:
    """How each column may move the margin: 1 only up, −1 only down, 0 freely.

    The catalogue says which measures of a stream speak of more activity and which of less; whether more activity of
    this stream raises or lowers the risk, the rows say: by the sign of the summed rank correlations of its measures.
    """
    sides = np.array(
        [BY_NAME[column["measure"]].direction if column["measure"] in BY_NAME else 0 for column in rows.columns]
    )
    speaks = np.zeros(len(sides))
    for position in np.flatnonzero(sides):
        speaks[position] = sides[position] * _rank_correlation(rows.matrix[:, position], rows.outcome)
    sources = np.array([column["source"] for column in rows.columns], object)
    signs = [int(np.sign(speaks[sources == source].sum())) for source in sources]
    return [int(side) * sign for side, sign in zip(sides, signs)]


def _rank_correlation(values: np.ndarray, outcome: np.ndarray) -> float:
    """Spearman's, over the rows where the value is known; 0 where either side is constant."""
    from scipy.stats import rankdata

    known = ~np.isnan(values)
    if known.sum() < 2 or np.ptp(values[known]) == 0 or np.ptp(outcome[known]) == 0:
        return 0.0
    return float(np.corrcoef(rankdata(values[known]), outcome[known])[0, 1])
