"""How good a ranking and its numbers are. Rankings take weights: one sort serves a whole bootstrap."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

DRAWS = 1_000
BINS = 10
BLOCK = 4_000_000


@dataclass(frozen=True)
class Ranking:
    """Rows sorted once by score, best first; ``ends`` are the last positions of runs of equal scores."""

    order: np.ndarray
    ends: np.ndarray
    outcome: np.ndarray

    @classmethod
    def of(cls, outcome: np.ndarray, score: np.ndarray) -> "Ranking":
        order = np.argsort(-score, kind="stable")
        ends = np.append(np.flatnonzero(np.diff(score[order])), len(score) - 1)
        return cls(order, ends, np.asarray(outcome, dtype=np.float64)[order])

    def _cumulated(self, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        weights = weights[:, self.order]
        hits = np.cumsum(weights * self.outcome, axis=1)[:, self.ends]
        return hits, np.cumsum(weights, axis=1)[:, self.ends]

    def average_precision(self, weights: np.ndarray) -> np.ndarray:
        """Σ precision × Δrecall over distinct scores, for each row of (d, n) weights; NaN without outcome."""
        hits, listed = self._cumulated(weights)
        with np.errstate(invalid="ignore"):
            precision = np.where(listed > 0, hits / listed, 0.0)
            return (precision * np.diff(hits, axis=1, prepend=0.0)).sum(axis=1) / hits[:, -1]

    def roc_auc(self, weights: np.ndarray) -> np.ndarray:
        """P(score with outcome > score without), ties half, per row of (d, n) weights; NaN if one class."""
        hits, listed = self._cumulated(weights)
        misses = listed - hits
        new = np.diff(misses, axis=1, prepend=0.0)
        below = misses[:, -1:] - misses + new / 2
        with np.errstate(invalid="ignore"):
            return (np.diff(hits, axis=1, prepend=0.0) * below).sum(axis=1) / (hits[:, -1] * misses[:, -1])


def _once(outcome: np.ndarray) -> np.ndarray:
    return np.ones((1, len(outcome)))


def average_precision(outcome: np.ndarray, score: np.ndarray) -> float:
    """Average precision as scikit-learn has it; NaN without a positive outcome."""
    return float(Ranking.of(outcome, score).average_precision(_once(outcome))[0])


def roc_auc(outcome: np.ndarray, score: np.ndarray) -> float:
    """Area under the ROC curve; NaN when all outcomes are equal."""
    return float(Ranking.of(outcome, score).roc_auc(_once(outcome))[0])


def brier(outcome: np.ndarray, probability: np.ndarray) -> float:
    """Mean squared difference between probability and outcome."""
    return float(np.mean((probability - outcome) ** 2))


def log_loss(outcome: np.ndarray, probability: np.ndarray) -> float:
    """Mean negative log-likelihood, in nats; probabilities are kept 1e-15 away from 0 and 1."""
    kept = np.clip(probability, 1e-15, 1 - 1e-15)
    return float(-np.mean(np.where(outcome > 0, np.log(kept), np.log1p(-kept))))


def bins(probability: np.ndarray) -> np.ndarray:
    """The equal-count bin of every row, (n,) 0..9; equal probabilities share a bin."""
    return np.searchsorted(np.sort(probability), probability, "left") * BINS // max(len(probability), 1)


def _bin_matrix(probability: np.ndarray) -> np.ndarray:
    return np.eye(BINS)[bins(probability)]


def ece(outcome: np.ndarray, probability: np.ndarray) -> float:
    """Expected calibration error over ten equal-count bins: Σ share × |mean probability − mean outcome|."""
    return float(np.abs((probability - outcome) @ _bin_matrix(probability)).sum() / len(outcome))


def ece_of_a_perfect_model(probability: np.ndarray, draws: int = DRAWS, seed: int = 0) -> float:
    """The 95th percentile of the ECE when the outcomes are redrawn from the probabilities themselves."""
    random, members = np.random.default_rng(seed), _bin_matrix(probability)
    size = max(1, BLOCK // max(len(probability), 1))
    errors = []
    for start in range(0, draws, size):
        redrawn = random.random((min(size, draws - start), len(probability))) < probability
        errors.append(np.abs((probability - redrawn) @ members).sum(axis=1) / len(probability))
    return float(np.quantile(np.concatenate(errors), 0.95))


def at_capacity(outcome: np.ndarray, score: np.ndarray, contacts: int) -> dict[str, float]:
    """Precision, share of outcomes found and lift among the ``contacts`` best-ranked rows of one date."""
    best = outcome[np.argsort(-score, kind="stable")[:contacts]]
    precision, base = float(best.mean()), float(outcome.mean())
    found = float(best.sum() / outcome.sum()) if base else 0.0
    return {"precision": precision, "found": found, "lift": precision / base if base else 0.0}


def resampled(unit: np.ndarray, draws: int = DRAWS, seed: int = 0) -> Iterator[np.ndarray]:
    """Blocks of (d, n) row weights: each draw takes units with replacement, with all their rows."""
    random = np.random.default_rng(seed)
    names, row_unit = np.unique(unit, return_inverse=True)
    size = max(1, BLOCK // max(len(unit), 1))
    for start in range(0, draws, size):
        block = min(size, draws - start)
        drawn = random.integers(0, len(names), (block, len(names)))
        flat = (drawn + len(names) * np.arange(block)[:, None]).ravel()
        counts = np.bincount(flat, minlength=block * len(names)).reshape(block, len(names))
        yield counts[:, row_unit].astype(np.float64)


def interval(draws: np.ndarray) -> tuple[float, float]:
    """The central 95% of bootstrap draws; draws without a value (one class only) are left out."""
    low, high = np.nanquantile(draws, [0.025, 0.975])
    return float(low), float(high)


def pooled(outcome: np.ndarray, probability: np.ndarray, unit: np.ndarray) -> dict[str, tuple[float, float, float]]:
    """roc_auc, average_precision, ece, brier over all rows: (value, low, high), bootstrapped over units."""
    ranking, members = Ranking.of(outcome, probability), _bin_matrix(probability)
    draws: dict[str, list[np.ndarray]] = {"roc_auc": [], "average_precision": [], "ece": [], "brier": []}
    for weights in resampled(unit):
        total = weights.sum(axis=1)
        draws["roc_auc"].append(ranking.roc_auc(weights))
        draws["average_precision"].append(ranking.average_precision(weights))
        draws["ece"].append(np.abs((weights * (probability - outcome)) @ members).sum(axis=1) / total)
        draws["brier"].append(weights @ (probability - outcome) ** 2 / total)
    values = {f.__name__: f(outcome, probability) for f in (roc_auc, average_precision, ece, brier)}
    return {name: (value, *interval(np.concatenate(draws[name]))) for name, value in values.items()}
