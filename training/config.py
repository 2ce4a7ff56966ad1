"""The training half of a model's YAML."""

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from features.config import Strict
from features.data_config import Data
from features.snapshot_config import SnapshotConfig
from training.value import Capacity, Value

Candidate = Literal["logistic", "lightgbm"]


class Gate(Strict):
    """The least grade that may be served as a model, and whether training promotes by itself."""

    min_grade: Literal["A", "B"] = "B"
    promote: Literal["auto", "never"] = "auto"


class TrainConfig(SnapshotConfig):
    """``churn.yaml`` or ``upsell.yaml``: which snapshot, which candidates, what a contact is worth."""

    model: str = Field(pattern=r"^[a-z][a-z0-9_-]{0,40}$")
    candidates: tuple[Candidate, ...] = Field(default=("logistic", "lightgbm"), min_length=1)
    value: Value = Value()
    capacity: Capacity = Capacity()
    holdout: Annotated[float, Field(ge=0, le=0.5)] = 0.1
    gate: Gate = Gate()

    @field_validator("value")
    @classmethod
    def _subscription_value(cls, value: Value, info: ValidationInfo) -> Value:
        """``amount: arr`` may name the subscriptions' value column; the snapshot has its own name for it."""
        data: Data | None = info.data.get("data")
        if data and data.subscriptions and value.amount == data.subscriptions.value:
            return value.model_copy(update={"amount": "subscription_value"})
        return value
