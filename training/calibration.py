"""From a margin to a probability: smooth, strictly increasing, learnt on rows the model has not seen."""

from dataclasses import dataclass

import numpy as np

LEAST_SLOPE = 0.01


@dataclass(frozen=True)
class Calibrator:
    """Platt's p = sigmoid(a × margin + b), a > 0: smooth and strictly increasing."""

    a: float
    b: float

    def __call__(self, margin: np.ndarray | float) -> np.ndarray:
        return np.exp(-np.logaddexp(0.0, -(self.a * np.asarray(margin) + self.b)))

    def slope(self, margin: np.ndarray | float) -> np.ndarray:
        """dp / dmargin."""
        probability = self(margin)
        return self.a * probability * (1 - probability)


def calibrate(margin: np.ndarray, outcome: np.ndarray) -> Calibrator:
    """Platt's calibrator by Newton's method, with a weak pull (one row's worth) towards a = 1, b = 0.

    Source: Platt 1999, "Probabilistic outputs for support vector machines". a stays positive: where the
    margins rank the wrong way round, only b is learnt.
    """
    design = np.column_stack([margin, np.ones(len(margin))])
    start = np.array([1.0, 0.0])
    slopes = _newton(design, outcome, start, free=np.array([True, True]))
    if slopes[0] < LEAST_SLOPE:
        slopes = _newton(design, outcome, np.array([LEAST_SLOPE, 0.0]), free=np.array([False, True]))
    return Calibrator(float(slopes[0]), float(slopes[1]))


def _newton(design: np.ndarray, outcome: np.ndarray, start: np.ndarray, free: np.ndarray) -> np.ndarray:
    weights = start.copy()
    for _ in range(100):
        probability = Calibrator(1.0, 0.0)(design @ weights)
        slope = design.T @ (probability - outcome) + (weights - start)
        curve = (design.T * (probability * (1 - probability))) @ design + np.eye(2)
        step = np.zeros(2)
        step[free] = np.linalg.solve(curve[np.ix_(free, free)], slope[free])
        weights -= step * min(1.0, 1.0 / max(np.abs(step).max(), 1e-12))
        if np.abs(step).max() < 1e-10:
            break
    return weights
