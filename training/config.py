"""The training half of a model's YAML."""

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from features.config import Strict
from features.data_config import Data
from features.snapshot_config import SnapshotConfig
from training.settings import Settings
from training.value import Capacity, Contract, Value

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
    settings: Settings = Settings()
    slices: tuple[str, ...] | None = None

    @field_validator("value")
    @classmethod
    def _subscription_value(cls, value: Value, info: ValidationInfo) -> Value:
        """``amount: arr`` may name the subscriptions' value column; the snapshot has its own name for it."""
        data: Data | None = info.data.get("data")
        arr = data.subscriptions.value if data and data.subscriptions else None
        if arr and value.amount == arr:
            return value.model_copy(update={"amount": "subscription_value"})
        if arr and isinstance(value.amount, Contract) and value.amount.contract == arr:
            own = value.amount.model_copy(update={"contract": "subscription_value"})
            return value.model_copy(update={"amount": own})
        return value

    @model_validator(mode="after")
    def _a_lifetime_needs_values(self) -> "TrainConfig":
        name, streams = self.value.buying, self.data.behaviour()
        fit = [key for key, own in streams.items() if own.value is not None and own.kind != "rating"]
        if name and name not in fit:
            raise ValueError(
                f"value.amount.lifetime: {name} is no stream of purchases; "
                f"streams with a value: {', '.join(fit) or 'none'}"
            )
        return self

    @model_validator(mode="after")
    def _the_score_is_on_the_curve(self) -> "TrainConfig":
        own = self.outcome.horizon_days
        if self.curve and own not in self.curve:
            raise ValueError(
                f"curve: {list(self.curve)} is without outcome.horizon_days ({own}), the horizon of the score, through "
                f"which every curve passes; write {sorted({*self.curve, own})}"
            )
        return self
