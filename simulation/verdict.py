"""Is the company believable: can the outcome be foreseen about as well as in life?"""

from dataclasses import dataclass, field

import numpy as np

from simulation.settings import SimulationError

LOWEST, HIGHEST = 0.75, 0.90
BINS = 20_000


@dataclass
class Tally:
    """Counts of probabilities with and without the outcome, in fine bins of log-odds."""

    outcome: str
    yes: np.ndarray = field(default_factory=lambda: np.zeros(BINS))
    no: np.ndarray = field(default_factory=lambda: np.zeros(BINS))

    def add(self, probability: np.ndarray, happened: np.ndarray) -> None:
        """Count the rows whose outcome is known (1 or 0, not NaN)."""
        odds = np.log(probability / (1 - probability))
        place = np.clip((odds + 10) / 20 * BINS, 0, BINS - 1).astype(int)
        self.yes += np.bincount(place[happened == 1], minlength=BINS)
        self.no += np.bincount(place[happened == 0], minlength=BINS)

    @property
    def rows(self) -> int:
        return int(self.yes.sum() + self.no.sum())

    @property
    def base_rate(self) -> float:
        return float(self.yes.sum() / self.rows) if self.rows else 0.0

    @property
    def auc(self) -> float:
        """P(a row with the outcome is above one without), ties counted half; .5 with only one kind."""
        pairs = self.yes.sum() * self.no.sum()
        below = np.cumsum(self.no) - self.no
        return float((self.yes * (below + self.no / 2)).sum() / pairs) if pairs else 0.5

    def check(self) -> None:
        """Raises SimulationError when the oracle's AUC is not what is found in life."""
        if not LOWEST <= self.auc <= HIGHEST:
            raise SimulationError(
                f"the oracle's AUC of {self.outcome} is {self.auc:.3f}; "
                f"allowed is {LOWEST:.2f} to {HIGHEST:.2f}; change --signal (1 is the documented company), "
                "--customers or --seed"
            )
