"""What is answered about the service and its models rather than about one customer or row, as models."""

from typing import Any, Literal

from pydantic import BaseModel, RootModel

from serving.http.answers import Action, Answer, Date, Grade, Next, Time
from serving.scores.schema import Horizon


class Ready(BaseModel):
    """``status``: ready or degraded; a 503 says not_ready. Every model with its own state."""

    status: str
    reason: str | None
    looked_seconds_ago: int
    models: dict[str, dict[str, Any]]


class ListEntry(Answer):
    model: str
    as_of: Date
    rows: int
    model_version: str
    grade: Grade
    rule: str | None
    base_rate: float
    reference: float
    horizon: Horizon
    published_at: Time | None
    rows_kept: bool
    reasons_kept: bool


class Lists(Answer):
    lists: list[ListEntry]
    next: Next


class Actions(Answer):
    actions: list[Action]
    next: Next


class Models(BaseModel):
    """Every model of the config: what is served, or why nothing is."""

    models: list[dict[str, Any]]


class Card(BaseModel):
    """What a model predicts, for whom, from what, how well, and what it does not say."""

    model: str
    name: str
    model_version: str
    sha256: str
    predicts: str
    kind: Literal["lightgbm", "logistic", "rule"]
    grade: Grade
    base_rate: float
    reference: float
    population: dict[str, Any]
    outcome: dict[str, Any]
    metrics: dict[str, dict[str, float]]
    trained: dict[str, Any]
    families: list[dict[str, Any]]
    limits: list[str]


class Limits(BaseModel):
    """The numbers this service keeps; ``key``: the calling key's own."""

    body_bytes: int
    body_seconds: float
    handler_seconds: float
    concurrency: int
    wait_seconds: float
    rows_per_call: int
    reasons: int
    rows_per_page: int
    entries_per_page: int
    rows_per_spreadsheet: int
    key: dict[str, Any] | None


class Description(RootModel[dict[str, Any]]):
    """An OpenAPI document."""


class Receipt(BaseModel):
    """What was removed, where, with hashes; the customer's id is not in it."""

    status: Literal["erased", "already_erased", "nothing_found"]
