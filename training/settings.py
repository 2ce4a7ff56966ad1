"""How the candidates are fitted. Names and meanings are those of LightGBM and scikit-learn."""

from typing import Annotated

from pydantic import Field, model_validator

from features.config import Strict

Share = Annotated[float, Field(gt=0, le=1)]
EXPLAINED = 400_000


class LightGBM(Strict):
    """Boosted trees. ``monotone``: more activity never raises a risk, by the direction of each measure.

    ``positive_weight``: what a row with the outcome counts; the calibrator, learnt on rows as they are, undoes it.
    ``cluster``: fit with LightGBM on Dask, on the scheduler of this address or on ``local`` processes of this machine.
    """

    num_iterations: int = Field(default=120, ge=1, le=2_000)
    learning_rate: float = Field(default=0.07, gt=0, le=1)
    num_leaves: int = Field(default=15, ge=2, le=255)
    max_depth: int = Field(default=5, ge=1, le=12)
    min_data_in_leaf: int = Field(default=50, ge=1)
    bagging_fraction: Share = 0.8
    feature_fraction: Share = 0.3
    lambda_l2: float = Field(default=5.0, ge=0)
    positive_weight: float = Field(default=1.0, gt=0)
    monotone: bool = False
    cluster: str | None = None

    @property
    def explanation(self) -> int:
        """What an exact reason costs: trees × leaves × depth²."""
        return self.num_iterations * self.num_leaves * self.max_depth**2

    @model_validator(mode="after")
    def _explainable(self) -> "LightGBM":
        if self.explanation > EXPLAINED:
            raise ValueError(
                f"reasons would cost trees × leaves × depth² = {self.explanation:,}, at most {EXPLAINED:,} is allowed; "
                "take fewer trees, fewer leaves or less depth"
            )
        return self


class Logistic(Strict):
    """Logistic regression with an L2 penalty; a smaller ``C`` shrinks more."""

    C: float = Field(default=0.01, gt=0, le=1e6)


class Settings(Strict):
    """``negatives``: the share of rows without the outcome to fit on; their weight makes up for the others."""

    lightgbm: LightGBM = LightGBM()
    logistic: Logistic = Logistic()
    negatives: Share = 1.0
