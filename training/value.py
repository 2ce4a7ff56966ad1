"""What one contact is worth. The formula lives here once; its settings travel in the bundle."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
from pydantic import Discriminator, Field, Tag, model_validator

from features import buying
from features.config import Days, Strict, Wait
from features.errors import DataError
from features.outcome import Horizon
from training.worth.lifetime import Lifetime

__all__ = [
    *("Capacity", "Contract", "Form", "Future", "Lifetime", "Stream", "Value"),
    *("amounts", "check", "gains", "lost"),
]

Form = Literal["stream", "lifetime", "contract", "number", "column"]


class Stream(Strict):
    """An amount taken from a stream: its ``measure`` over the last ``days``, a feature of the snapshot."""

    stream: str
    measure: Literal["sum", "mean", "count"] = "sum"
    days: Days

    @property
    def column(self) -> str:
        return f"{self.stream}_{self.measure}_{self.days}d"


class Future(Strict):
    """Without a contract: the spend in the stream ``lifetime`` expected in the next ``days``, if the customer stays."""

    lifetime: str
    days: Days


class Contract(Strict):
    """With a contract: the revenue of the next ``days``, as far as it is lost when the customer leaves; see ``lost``.

    contract: the snapshot column that holds the revenue of ``per_days``: 365 for a yearly value, 30 for a monthly one.
    """

    contract: str
    days: Days
    per_days: Days = 365


def _form(amount: Any) -> Form | None:
    """Which of its forms an amount has; None for none of them."""
    if isinstance(amount, str):
        return "column"
    if isinstance(amount, (int, float)):
        return "number"
    forms: tuple[Form, ...] = ("stream", "lifetime", "contract")
    has = (lambda key: key in amount) if isinstance(amount, Mapping) else (lambda key: hasattr(amount, key))
    return next((form for form in forms if has(form)), None)


Amount = Annotated[
    Annotated[Stream, Tag("stream")]
    | Annotated[Future, Tag("lifetime")]
    | Annotated[Contract, Tag("contract")]
    | Annotated[float, Tag("number")]
    | Annotated[str, Tag("column")],
    Discriminator(
        _form,
        custom_error_type="amount",
        custom_error_message=(
            "should be a number, a column, {stream: …, measure: sum, days: 90}, {lifetime: a stream, days: 365} or "
            "{contract: a column, days: 365}"
        ),
    ),
]


class Value(Strict):
    """What is at stake. ``effect`` is an assumption until it is measured, and is labelled so.

    ``amount``: a column of the snapshot, a measure of a stream, one constant for everybody, or what is expected of the
    future: ``lifetime`` without contracts, ``contract`` with them. ``contact``: what a contact does: it ``keeps``
    customers who would leave, or ``adds`` to the chance of buying more.
    """

    amount: Amount = 1.0
    contact: Literal["keeps", "adds"] = "keeps"
    margin: float = Field(default=1.0, gt=0, le=1)
    effect: float = Field(default=0.2, ge=0, le=1)
    contact_cost: float = Field(default=0.0, ge=0)

    @model_validator(mode="after")
    def _the_future_is_lost_by_leaving(self) -> "Value":
        if self.contact == "adds" and self.form in ("lifetime", "contract"):
            raise ValueError(
                f"amount: {self.form} is what is lost with a customer who leaves; with `contact: adds` give what is "
                "bought more: a number, a column or {stream: …, measure: sum, days: …}"
            )
        return self

    @property
    def form(self) -> Form:
        """Which of its forms ``amount`` has; ``lifetime`` and ``contract`` are expectations, and labelled so."""
        form = _form(self.amount)
        assert form is not None
        return form

    @property
    def buying(self) -> str | None:
        """The stream whose purchases so far the snapshot must tell of, ``SnapshotConfig.buying``; else None."""
        return self.amount.lifetime if isinstance(self.amount, Future) else None

    @property
    def column(self) -> str | None:
        """The one snapshot column of the amount; None for a constant or a lifetime."""
        if isinstance(self.amount, Contract):
            return self.amount.contract
        if isinstance(self.amount, Stream):
            return self.amount.column
        return self.amount if isinstance(self.amount, str) else None

    @property
    def columns(self) -> tuple[str, ...]:
        """All snapshot columns that the amount is made of."""
        if self.buying:
            return buying.COLUMNS
        return (self.column,) if self.column else ()


class Capacity(Strict):
    """How many contacts the team makes in a period, and how long a customer is left in peace after one."""

    contacts: int = Field(default=50, ge=1)
    per: Literal["day", "week", "month"] = "week"
    by: Literal["owner"] | None = None
    rest_days: Wait = 14


def check(frame: pd.DataFrame, value: Value) -> None:
    """Raise DataError when a column of the amount is missing or not numeric."""
    for name in value.columns:
        _numbers(frame, name)


def amounts(frame: pd.DataFrame, value: Value, lifetime: Lifetime | None = None) -> np.ndarray:
    """The amount of every row, (n,), in the unit of the data; an unknown amount is 0.

    A ``lifetime`` gives what a customer who has not left is expected to spend; a contract gives what it brings if it
    runs all ``days``: multiply by ``lost``. Raises DataError when a column, or the fitted lifetime, is missing.
    """
    if isinstance(value.amount, Future):
        if lifetime is None or lifetime.stream != value.buying:
            raise DataError(f"value.amount: no lifetime of {value.buying} has been fitted; train again")
        return np.nan_to_num(lifetime.ahead(frame, value.amount.days), nan=0.0)
    if value.column is None:
        return np.full(len(frame), value.amount, dtype=np.float64)
    found = np.nan_to_num(_numbers(frame, value.column), nan=0.0)
    if isinstance(value.amount, Contract):
        return found * (value.amount.days / value.amount.per_days)
    return found


def lost(score: np.ndarray, value: Value, outcome: Horizon) -> np.ndarray:
    """The share of the amount that is lost when a customer leaves within the horizon, (n,): 1 but for a contract.

    A contract would not have run for all ``days`` either. With H days of horizon after a gap g and the score p, leaving
    has the constant hazard h = −ln(1−p)/H. The loss, in days of revenue, is what lies between leaving and the end of
    the horizon, given that it is left within, and after it what would have survived: with F(y) = (1−e^(−hy))/h,

        (m − F(m))/p + F(days − g − H),  m = days − g, at least 0, at most H.

    p itself is not in it: ``gains`` holds the chance to leave, once. Over a year the share falls as p rises: who is
    likely to leave now is likely to leave later, even when kept now. Source: the law of total expectation; survival ×
    value as in Gupta, Lehmann (2003), Customers as Assets, Journal of Interactive Marketing 17(1), here at each
    customer's own hazard.
    """
    if not isinstance(value.amount, Contract):
        return np.ones(len(score))
    days, gap, horizon = value.amount.days, outcome.gap_days, outcome.horizon_days
    chance = np.clip(score, 1e-6, 1 - 1e-9)
    hazard = -np.log1p(-chance) / horizon
    inside = float(np.clip(days - gap, 0, horizon))
    after = max(days - gap - horizon, 0)
    return ((inside + np.expm1(-hazard * inside) / hazard) / chance - np.expm1(-hazard * after) / hazard) / days


def gains(probability: np.ndarray, amount: np.ndarray, value: Value) -> np.ndarray:
    """Expected gain of one contact, (n,), in the unit of the amount.

    keeps: score × effect × amount × margin − cost: a contact keeps the share ``effect`` of those who would leave.
    adds: added chance × amount × margin − cost: a contact adds ``effect`` × score to the chance, up to certainty.
    """
    chance = probability * value.effect
    if value.contact == "adds":
        chance = np.minimum(chance, 1 - probability)
    return chance * amount * value.margin - value.contact_cost


def _numbers(frame: pd.DataFrame, name: str) -> np.ndarray:
    if name not in frame:
        raise DataError(f"value.amount: no column {name}; name a number feature or give a constant")
    column = frame[name]
    if not pd.api.types.is_numeric_dtype(column):
        raise DataError(f"value.amount: {name} is no number; name a number feature or give a constant")
    return column.to_numpy(np.float64, na_value=np.nan)
