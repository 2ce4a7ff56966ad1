"""What the doors take and give. Requests are strict: nothing is guessed, an unknown key is refused."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from features.config import Language

Text = Annotated[str, Field(max_length=1_000)]
Status = Literal["ok", "unknown_customer", "already_leaving", "opted_out", "not_enough_history"]


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
    """One row's answer. Without the status ``ok`` its figures are null, there is no reason, and a text says why.

    ``low`` to ``high`` is the interval that the answer's ``interval`` explains; ``risks`` maps the days of each horizon
    to the risk within it. Null where the model knows none. ``reference`` is where the points start, not the base rate:
    all points sum to score − reference.
    """

    customer_id: str
    status: Status
    status_text: str | None = None
    score: float | None = None
    low: float | None = None
    high: float | None = None
    risks: dict[str, float] | None = None
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
    """Results in the order of the request. ``note`` says so when the score is a simple rule's.

    ``interval``: what the low and high of every score cover; null when there are none.
    """

    model: str
    note: str | None
    interval: str | None
    results: list[Result]
