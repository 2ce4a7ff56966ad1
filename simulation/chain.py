"""One cause as a Markov chain of weeks: idle, or an episode of one strength and age."""

from dataclasses import dataclass

import numpy as np

from simulation import causes
from simulation.causes import STRENGTHS, Cause

IDLE = -1


@dataclass(frozen=True)
class Walk:
    """What the coming weeks do to k accounts."""

    left: np.ndarray  # float64[k, weeks + 1], share of paths the cause has not decided before each week
    added: np.ndarray  # float64[k, weeks], hazard it adds among those, in multiples of the base


@dataclass(frozen=True)
class Chain:
    """A cause at one signal strength."""

    cause: Cause
    signal: float

    @property
    def weights(self) -> np.ndarray:
        return causes.weights(self.cause, self.signal)

    def added(self, age: np.ndarray, strength: np.ndarray) -> np.ndarray:
        """Hazard added in these states, in multiples of the base: float64[k]."""
        return np.where(age == IDLE, 0.0, self.weights[strength, age])

    def walk(self, age: np.ndarray, strength: np.ndarray, hazard: np.ndarray, leaving: np.ndarray) -> Walk:
        """One exact forward pass: age, strength: int8[k] now; hazard: base of each week, float64[k, weeks];
        leaving: weekly probability that an episode ends, float64[k]."""
        k, weeks = hazard.shape
        weights = self.weights
        idle, mass = (age == IDLE).astype(float), np.zeros((k, *weights.shape))
        active = np.flatnonzero(age != IDLE)
        mass[active, strength[active], age[active]] = 1.0
        left, added = np.ones((k, weeks + 1)), np.zeros((k, weeks))
        for week in range(weeks):
            if week:
                idle, mass = self._move(idle, mass, leaving)
            added[:, week] = np.einsum("ksa,sa->k", mass, weights) / left[:, week]
            mass *= np.exp(-hazard[:, week, None, None] * weights)
            left[:, week + 1] = idle + mass.sum(axis=(1, 2))
        return Walk(left, added)

    def _move(self, idle: np.ndarray, mass: np.ndarray, leaving: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        stays = mass * (1 - leaving)[:, None, None]
        older = np.zeros_like(mass)
        older[:, :, 1:] = stays[:, :, :-1]
        if not self.cause.fixed:
            older[:, :, -1] += stays[:, :, -1]
        older[:, :, 0] = (idle * self.cause.onset / len(STRENGTHS))[:, None]
        return idle + mass.sum(axis=(1, 2)) - older.sum(axis=(1, 2)), older
