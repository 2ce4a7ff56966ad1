"""What the reading and the writing door give, as models: the OpenAPI page is made from them. All times are UTC."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from serving.scores.schema import Horizon, Reason, Status

Date = Annotated[str, Field(json_schema_extra={"format": "date"})]
Time = Annotated[str, Field(json_schema_extra={"format": "date-time"})]
Band = Literal["high", "medium", "low"]
Grade = Literal["A", "B", "C"]
Share = Annotated[float, Field(ge=0, le=1)]
Next = Annotated[str | None, Field(description="the cursor of the next page; null on the last one")]


class Answer(BaseModel):
    """What is answered holds these names and no others."""

    model_config = ConfigDict(extra="forbid")


class ProblemDetail(Answer):
    path: str
    message: str


class Problem(Answer):
    """Every error (RFC 9457). ``errors`` names every place and what is allowed there; the input is never repeated."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[ProblemDetail]


class Row(Answer):
    """A row of a list. ``low`` to ``high``: the score's interval; ``action``: what the list says, not what was done."""

    rank: int
    customer_id: str
    name: str | None
    score: Share
    low: Share | None
    high: Share | None
    band: Band
    percentile: float
    change: float | None
    segment: str | None
    stage: str | None
    rfm: str | None
    segment_name: str | None
    stage_name: str | None
    risks: dict[str, float] | None
    reasons: list[Reason]
    value_at_risk: float
    gain: float
    owner: str | None
    renewal: Date | None
    held_out: bool
    action: str


class About(Answer):
    """The head of a list, so that no number can be misread."""

    model: str
    as_of: Date
    horizon: Horizon
    model_version: str
    grade: Grade
    base_rate: float
    reference: float
    note: str | None
    legend: str
    interval: str


class List(About):
    """``reasons_kept``: false for an old list whose reasons were removed; its rows have none."""

    reasons_kept: bool
    next: Next
    rows: list[Row]


class Contact(Answer):
    id: int
    customer_id: str
    at: Time
    channel: Literal["call", "email", "meeting", "other"]
    note: str | None
    by: str
    created_at: Time


class Action(Answer):
    id: int
    model: str
    customer_id: str
    as_of: Date
    kind: Literal["planned", "done", "snoozed", "dismissed"]
    until: Date | None
    note: str | None
    by: str
    created_at: Time


class Contacted(Contact):
    """The contact as it is kept."""


class Acted(Action):
    """The action as it is kept."""


class Scored(Row, About):
    """The newest list's row of the customer. ``open_action``: planned, or put aside until after the list's date."""

    status: Literal["ok"]
    status_text: None
    open_action: Action | None


class NotScored(About):
    """The customer is in no row of the newest list; ``status_text`` says why."""

    status: Status
    status_text: str
    open_action: Action | None


class Past(Answer):
    model: str
    as_of: Date
    model_version: str
    grade: Grade
    score: Share
    low: Share | None
    high: Share | None
    band: Band
    rank: int


class KnownCustomer(Answer):
    """``models``: model -> its newest word. ``contacts`` and ``history``: the newest; see /history for all."""

    customer_id: str
    models: dict[str, Scored | NotScored]
    contacts: list[Contact]
    history: list[Past]


Customer = KnownCustomer  # in the description its name is another than that of the customer who is to be scored


class PastWithReasons(Past):
    """``reasons`` are null where they were removed for their age."""

    percentile: float
    change: float | None
    action: str
    reference: float
    reasons: list[Reason] | None


class History(Answer):
    customer_id: str
    history: list[PastWithReasons]
    next: Next


class Word(Answer):
    as_of: Date
    model_version: str
    grade: Grade
    reference: float
    base_rate: float
    horizon: Horizon
    score: Share | None
    low: Share | None
    high: Share | None
    band: Band | None
    rank: int | None


class Split(Answer):
    """``between``: the new data under the old model. data = between − then, model = now − between."""

    between: Share
    data: float
    model: float


class NoSplit(Answer):
    reason: Literal["no_list_before", "not_on_both", "model_gone", "rows_gone", "rows_differ", "does_not_fit"]
    text: str


class Side(Answer):
    points: float
    facts: dict[str, Any]
    text: str


class Moved(Answer):
    family: str
    moved: float
    then: Side | None
    now: Side | None


class Changes(Answer):
    """``change`` = ``split.data`` + ``split.model``; where ``split`` is null, ``no_split`` says why."""

    customer_id: str
    model: str
    then: Word | None
    now: Word
    change: float | None
    split: Split | None
    no_split: NoSplit | None
    families: list[Moved]
