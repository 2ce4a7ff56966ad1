"""Several horizons that never cross: the hazards of the intervals between them, led through the served score.

The hazard of an interval is the probability that the event falls inside it, given that it has not come before; survival
is the product of 1 - hazard. Source: Singer and Willett 1993, "It's about time: using discrete-time survival analysis".
"""

import json
from dataclasses import dataclass

import numpy as np

from training.calibration import Calibrator
from training.models import KINDS, Served, dump

LEAST = 1e-9


@dataclass(frozen=True)
class Curve:
    """What a bundle holds beside its score when it is asked for several horizons.

    horizons: days from as_of + gap, ascending; own: the score's, one of them; silent: whether the score is that of no
    event (inactivity): then the curve falls. model: margins of a row and an interval, whose number is one more, last
    column; None where every customer has the same hazards. calibrators: from margin to hazard, one per interval.
    """

    horizons: tuple[int, ...]
    own: int
    silent: bool
    model: Served | None
    calibrators: tuple[Calibrator, ...]

    @property
    def flat(self) -> list[int]:
        """Horizons whose interval has one hazard for everybody, for want of events or of rows without."""
        return [end for end, calibrator in zip(self.horizons, self.calibrators) if calibrator.a == 0]

    def hazards(self, matrix: np.ndarray) -> np.ndarray:
        """(n, k): the probability of the event in each interval, given none before; matrix: (n, f), the score's own."""
        count, size = len(self.horizons), len(matrix)
        margin = np.zeros((count, size))
        if self.model:
            number = np.repeat(np.arange(count), size)
            below = np.tile(matrix, (count, 1))
            margin = self.model.margin(np.column_stack([below, number])).reshape(count, size)
        return np.column_stack([calibrator(margin[k]) for k, calibrator in enumerate(self.calibrators)])

    def risks(self, matrix: np.ndarray, score: np.ndarray) -> np.ndarray:
        """(n, k): the curve of each row, through its score (n,): it never falls, and for silence it never rises.

        Up to the score's own horizon H the hazards are proportional to the learnt ones, S*(t) = S(t)^γ with γ =
        log(1 - score) / log S(H) (Cox 1972); beyond it they are the learnt ones, S*(t) = (1 - score) S(t) / S(H): what
        the score knows better is known of its own days only.
        """
        learnt = np.cumsum(-np.log1p(-np.clip(self.hazards(matrix), LEAST, 1 - LEAST)), axis=1)
        own = self.horizons.index(self.own)
        until, here = learnt[:, : own + 1], learnt[:, [own]]
        with np.errstate(divide="ignore"):
            total = -np.log(score) if self.silent else -np.log1p(-score)
        led = np.hstack([total[:, None] * until / here, total[:, None] + learnt[:, own + 1 :] - here])
        curve = np.exp(-led) if self.silent else -np.expm1(-led)
        return _through(curve, own, score[:, None], self.silent)

    def text(self) -> str:
        """What its file holds; equal curves give equal bytes."""
        model = {"kind": self.model.kind, "text": self.model.text()} if self.model else None
        plain = {"horizons": self.horizons, "own": self.own, "silent": self.silent}
        return dump({**plain, "model": model, "calibrators": [vars(calibrator) for calibrator in self.calibrators]})

    @classmethod
    def parse(cls, text: str) -> "Curve":
        """The curve of this text. Raises ValueError, KeyError or TypeError when it is none."""
        content = json.loads(text)
        model, horizons = content["model"], tuple(content["horizons"])
        calibrators = tuple(Calibrator(**one) for one in content["calibrators"])
        if list(horizons) != sorted(set(horizons)) or len(calibrators) != len(horizons):
            raise ValueError("curve: horizons ascend, and each has a calibrator")
        if content["own"] not in horizons:
            raise ValueError(f"curve: the score's own horizon {content['own']} is not one of {list(horizons)}")
        fitted = KINDS[model["kind"]].parse(model["text"]) if model else None
        return cls(horizons, content["own"], bool(content["silent"]), fitted, calibrators)


def _through(curve: np.ndarray, own: int, score: np.ndarray, falling: bool) -> np.ndarray:
    """The curve with the score itself at its own horizon: what rounding did is undone, and the order stays."""
    before, after = (np.maximum, np.minimum) if falling else (np.minimum, np.maximum)
    return np.hstack([before(curve[:, :own], score), score, after(curve[:, own + 1 :], score)])
