"""A bundle and a snapshot -> scores with their parts."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from serving.reasons import Parts, mean_slope, parts
from training.bundle import Bundle


@dataclass(frozen=True)
class Scores:
    """n rows. ``score``: calibrated probability; ``percentile``: 0..100 among the reference scores.

    ``gap``: the largest distance between base + log-odds and margin, or points and score − base score.
    """

    margin: np.ndarray
    score: np.ndarray
    percentile: np.ndarray
    band: np.ndarray
    parts: Parts
    gap: float


def score(bundle: Bundle, frame: pd.DataFrame) -> Scores:
    """Score every row of a snapshot. Raises DataError when the frame does not fit the bundle."""
    matrix = bundle.matrix(frame)
    margin = bundle.margin(matrix)
    probability = bundle.probability(margin)
    base_margin, base = bundle.base_margin, bundle.base_probability
    at_base = float(bundle.calibrator.slope(np.asarray(base_margin)))
    slope = mean_slope(probability, margin, base, base_margin, at_base)
    families = [column["family"] for column in bundle.info.features]
    split = parts(bundle.contributions(matrix), families, slope)
    apart = np.abs(split.log_odds.sum(axis=1) + base_margin - margin)
    apart = np.maximum(apart, np.abs(split.points.sum(axis=1) + base - probability))
    gap = float(apart.max()) if len(apart) else 0.0
    return Scores(margin, probability, bundle.percentile(probability), bundle.band(probability), split, gap)
