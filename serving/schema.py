"""What the doors take and give. Requests are strict: nothing is guessed, an unknown key is refused."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from features.config import Language

Text = Annotated[str, Field(max_length=1_000)]
Status = Literal["ok", "unknown_customer", "already_leaving", "opted_out"]


class Request(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False, hide_input_in_errors=True)


class Customer(Request):
    """One row. ``changes`` asks what the score would be if these features had these values."""

    customer_id: str = Field(min_length=1, max_length=255)
    changes: dict[Text, float | Text | None] = Field(default={}, max_length=500)


class ScoreRequest(Request):
    """Up to 1,000 customers of one model."""

    model: str = Field(min_length=1, max_length=64)
    customers: list[Customer] = Field(min_length=1, max_length=1_000)
    reasons: int = Field(default=3, ge=0, le=50)
    lang: Language = "en"


class Reason(BaseModel):
    """``log_odds`` adds to the margin, ``points`` to the score; ``facts`` are the numbers behind the text."""

    family: str
    direction: Literal["raises", "lowers"]
    log_odds: float
    points: float
    facts: dict[str, Any]
    text: str


class Horizon(BaseModel):
    """The outcome is looked for in [start, end)."""

    start: str
    end: str


class Result(BaseModel):
    """One row's answer. Without the status ``ok`` its figures are null and there is no reason.

    ``reference`` is where the points start, not the base rate: all points sum to score − reference.
    """

    customer_id: str
    status: Status
    score: float | None = None
    band: Literal["high", "medium", "low"] | None = None
    percentile: float | None = None
    base_rate: float
    reference: float
    as_of: str
    horizon: Horizon
    reasons: list[Reason] = []
    model_version: str
    grade: Literal["A", "B", "C"]


class ScoreResponse(BaseModel):
    """Results in the order of the request. ``note`` says so when the score is a simple rule's."""

    model: str
    note: str | None
    results: list[Result]
