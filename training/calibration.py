"""From a margin to a probability: smooth, strictly increasing, learnt on rows the model has not seen."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Learn = Callable[[np.ndarray, np.ndarray], "Calibrator"]

LEAST_SLOPE = 0.01
LEAST_ROWS = 1_000  # a third parameter earns its place only where both tails are well filled
LEAST_OF_EACH = 200  # outcomes, and rows without one: the rarer of the two decides how well a tail is known
FOLDS = 3
SURE = 1.0  # standard errors: the simpler form stays unless the other is better by more than that


@dataclass(frozen=True)
class Calibrator:
    """p = sigmoid(a × margin + bend × softplus(margin) + b), a > 0, a + bend > 0: smooth and strictly increasing.

    In log-odds the slope goes from a, far below, to a + bend, far above. Platt's calibrator has no bend;
    with one it is the beta calibrator.
    """

    a: float
    b: float
    bend: float = 0.0

    def __call__(self, margin: np.ndarray | float) -> np.ndarray:
        margin = np.asarray(margin)
        return _sigmoid(self.a * margin + self.b + self.bend * np.logaddexp(0.0, margin))

    def slope(self, margin: np.ndarray | float) -> np.ndarray:
        """dp / dmargin."""
        probability = self(margin)
        return (self.a + self.bend * _sigmoid(np.asarray(margin))) * probability * (1 - probability)


def calibrate(margin: np.ndarray, outcome: np.ndarray, unit: np.ndarray | None = None) -> Calibrator:
    """The beta calibrator where there are rows enough and it is clearly better on units left out, else Platt's.

    All (n,). Rows of one unit resemble each other; without ``unit`` every row is taken for its own.
    """
    if len(outcome) < LEAST_ROWS or min(outcome.sum(), (1 - outcome).sum()) < LEAST_OF_EACH:
        return platt(margin, outcome)
    codes = np.arange(len(margin)) if unit is None else np.unique(unit, return_inverse=True)[1]
    return beta(margin, outcome) if _bends(margin, outcome, codes) else platt(margin, outcome)


def platt(margin: np.ndarray, outcome: np.ndarray) -> Calibrator:
    """Source: Platt 1999, "Probabilistic outputs for support vector machines".

    a stays positive: where the margins rank the wrong way round, only b is learnt.
    """
    design = np.column_stack([margin, np.ones(len(margin))])
    a, b = _fitted(design, outcome, np.array([1.0, 0.0]), np.array([LEAST_SLOPE, -np.inf])).tolist()
    return Calibrator(a, b)


def beta(margin: np.ndarray, outcome: np.ndarray) -> Calibrator:
    """Source: Kull, Silva Filho and Flach 2017, "Beta calibration".

    Log-odds are low × log q − high × log(1 − q) + b with q = sigmoid(margin); low and high stay positive.
    """
    design = np.column_stack([-np.logaddexp(0.0, -margin), np.ones(len(margin)), np.logaddexp(0.0, margin)])
    floor = np.array([LEAST_SLOPE, -np.inf, LEAST_SLOPE])
    low, b, high = _fitted(design, outcome, np.array([1.0, 0.0, 1.0]), floor).tolist()
    return Calibrator(low, b, high - low)


def _bends(margin: np.ndarray, outcome: np.ndarray, unit: np.ndarray) -> bool:
    """Whether beta's log loss on units left out is below Platt's by ``SURE`` standard errors, drawn over units."""
    fold = (np.random.default_rng(0).permutation(unit.max() + 1) % FOLDS)[unit]
    gain = np.bincount(unit, _loss(platt, margin, outcome, fold) - _loss(beta, margin, outcome, fold))
    return bool(gain.mean() > SURE * gain.std() / np.sqrt(len(gain)))


def _loss(learn: Learn, margin: np.ndarray, outcome: np.ndarray, fold: np.ndarray) -> np.ndarray:
    """The log loss of every row, (n,), under the calibrator of the other folds."""
    loss = np.zeros(len(margin))
    for out in (fold == number for number in range(FOLDS)):
        probability = learn(margin[~out], outcome[~out])(margin[out])
        loss[out] = -np.log(np.maximum(np.where(outcome[out] > 0, probability, 1 - probability), 1e-15))
    return loss


def _fitted(design: np.ndarray, outcome: np.ndarray, start: np.ndarray, floor: np.ndarray) -> np.ndarray:
    """Logistic weights, none below its floor: those that would be are held there and the others learnt again."""
    free = np.ones(len(start), dtype=bool)
    while True:
        weights = _newton(design, outcome, start, free)
        low = free & (weights < floor)
        if not low.any():
            return weights
        start, free = np.where(low, floor, start), free & ~low


def _newton(design: np.ndarray, outcome: np.ndarray, start: np.ndarray, free: np.ndarray) -> np.ndarray:
    """Newton's method with a weak pull, one row's worth, towards ``start``; a step that overshoots is halved."""
    weights, cost = start, _cost(design, outcome, start, start)
    for _ in range(100):
        probability = _sigmoid(design @ weights)
        slope = design.T @ (probability - outcome) + (weights - start)
        curve = (design.T * (probability * (1 - probability))) @ design + np.eye(len(start))
        step = np.zeros(len(start))
        step[free] = np.linalg.solve(curve[np.ix_(free, free)], slope[free])
        size = 1.0
        while (fresh := _cost(design, outcome, start, weights - size * step)) > cost * (1 + 1e-12) and size > 1e-9:
            size /= 2
        weights, cost = weights - size * step, fresh
        if np.abs(step).max() < 1e-10:
            break
    return weights


def _cost(design: np.ndarray, outcome: np.ndarray, start: np.ndarray, weights: np.ndarray) -> float:
    log_odds = design @ weights
    return float((np.logaddexp(0.0, log_odds) - outcome * log_odds).sum() + ((weights - start) ** 2).sum() / 2)


def _sigmoid(log_odds: np.ndarray) -> np.ndarray:
    return np.exp(-np.logaddexp(0.0, -log_odds))
