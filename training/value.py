"""What one contact is worth. The formula lives here once; its settings travel in the bundle."""

from typing import Literal

import numpy as np
import pandas as pd
from pydantic import Field

from features.config import Days, Strict, Wait
from features.errors import DataError


class Stream(Strict):
    """An amount taken from a stream: its ``measure`` over the last ``days``, a feature of the snapshot."""

    stream: str
    measure: Literal["sum", "mean", "count"] = "sum"
    days: Days

    @property
    def column(self) -> str:
        return f"{self.stream}_{self.measure}_{self.days}d"


class Value(Strict):
    """What is at stake. ``effect`` is an assumption until it is measured, and is labelled so.

    ``amount``: a column of the snapshot, a measure of a stream, or one constant for everybody. ``contact``: what a
    contact does: it ``keeps`` customers who would leave, or ``adds`` to the chance of buying more.
    """

    amount: Stream | float | str = 1.0
    contact: Literal["keeps", "adds"] = "keeps"
    margin: float = Field(default=1.0, gt=0, le=1)
    effect: float = Field(default=0.2, ge=0, le=1)
    contact_cost: float = Field(default=0.0, ge=0)

    @property
    def column(self) -> str | None:
        """The snapshot column of the amount; None for a constant."""
        if isinstance(self.amount, Stream):
            return self.amount.column
        return self.amount if isinstance(self.amount, str) else None


class Capacity(Strict):
    """How many contacts the team makes in a period, and how long a customer is left in peace after one."""

    contacts: int = Field(default=50, ge=1)
    per: Literal["day", "week", "month"] = "week"
    by: Literal["owner"] | None = None
    rest_days: Wait = 14


def amounts(frame: pd.DataFrame, value: Value) -> np.ndarray:
    """The amount of every row, (n,), in the unit of the data; an unknown amount is 0.

    Raises DataError when the column is missing or not numeric.
    """
    if value.column is None:
        return np.full(len(frame), value.amount, dtype=np.float64)
    if value.column not in frame:
        raise DataError(f"value.amount: no column {value.column}; name a number feature or give a constant")
    column = frame[value.column]
    if not pd.api.types.is_numeric_dtype(column):
        raise DataError(f"value.amount: {value.column} is no number; name a number feature or give a constant")
    return np.nan_to_num(column.to_numpy(np.float64, na_value=np.nan), nan=0.0)


def gains(probability: np.ndarray, amount: np.ndarray, value: Value) -> np.ndarray:
    """Expected gain of one contact, (n,), in the unit of the amount.

    keeps: score × effect × amount × margin − cost: a contact keeps the share ``effect`` of those who would leave.
    adds: added chance × amount × margin − cost: a contact adds ``effect`` × score to the chance, up to certainty.
    """
    chance = probability * value.effect
    if value.contact == "adds":
        chance = np.minimum(chance, 1 - probability)
    return chance * amount * value.margin - value.contact_cost
