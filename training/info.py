"""What a bundle says about its model: the card, the columns and the reference figures."""

from typing import Literal

from features.config import Strict
from features.segments import Cuts
from features.snapshot_config import Outcome, Population, Windows
from training.columns import Column
from training.value import Capacity, Lifetime, Value

Kind = Literal["lightgbm", "logistic", "rule"]


class Metric(Strict):
    """A figure on later, unseen dates, with its 95% interval."""

    value: float
    low: float
    high: float


class Info(Strict):
    """What the model is, on what it was trained, and how good it was."""

    schema_version: Literal[1] = 1
    data: str = ""
    model: str
    kind: Kind
    grade: Literal["A", "B", "C"]
    rule: str | None
    features: list[Column]
    population: Population
    outcome: Outcome
    grace_days: int = 0
    windows: Windows
    history_days: int
    timezone: str
    meaning: dict[str, str] = {}
    value: Value
    capacity: Capacity
    holdout: float
    base_rate: float
    metrics: dict[str, Metric]
    segments: Cuts | None = None
    lifetime: Lifetime | None = None
    fingerprint: str
    versions: dict[str, str]
    customers_with_outcome: int

    @property
    def names(self) -> list[str]:
        """The columns of the model's matrix, in order."""
        return [column["name"] for column in self.features]


class Distribution(Strict):
    """How one column was spread in training: deciles of its numbers, or shares of its categories."""

    nulls: float
    deciles: list[float] | None = None
    shares: dict[str, float] | None = None


class Reference(Strict):
    """scores: 1,001 quantiles of out-of-time scores, lowest first. base_margin: where reasons start."""

    base_margin: float
    scores: list[float]
    features: dict[str, Distribution]
