"""What the scoring door takes and gives. Requests are strict: nothing is guessed, an unknown key is refused."""

from typing import Annotated, Any, Literal, Required

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, RootModel, field_validator
from pydantic_core import PydanticCustomError
from typing_extensions import TypedDict

MOST_SCORES, MOST_EVENTS = 1_000, 20_000
LARGEST = 1e12

STRICT = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False, hide_input_in_errors=True)
MOMENT = "a date or time such as 2026-01-30, 2026-01-30T10:00:00+09:00 or, in `naive_times`, 2026-01-30T10:00:00"
_CLOCK = "[0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]{1,9})?)?([Zz]|[+-][0-9]{2}:?[0-9]{2})?"

Language = Literal["en", "ja"]
ENDS = r"^[^\t-\r ]([\s\S]*[^\t-\r ])?$"  # tables are read without those blanks: an id with one would be nobody's
ID = "the customer's id as the lists have it: 1 to 255 characters, no blank at either end"
Id = Annotated[str, Field(min_length=1, max_length=255, pattern=ENDS, description=ID)]
Model = Annotated[str, Field(min_length=1, max_length=64)]
Text = Annotated[str, Field(max_length=1_000)]
Whole = Annotated[int, BeforeValidator(lambda given: int(given) if _is_whole(given) else given)]
Moment = Annotated[str, Field(pattern=rf"^[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}([T ]{_CLOCK})?$", description=MOMENT)]
Number = Annotated[float, Field(ge=-LARGEST, le=LARGEST)]
Basis = Literal["list", "changes", "events"]
Status = Literal[
    "ok", "unknown_customer", "already_leaving", "opted_out", "not_enough_history", "not_in_population"
]  # fmt: skip


def _is_whole(given: Any) -> bool:
    """JSON has one kind of number: 3.0 is 3."""
    return isinstance(given, float) and given.is_integer()


class Request(BaseModel):
    model_config = STRICT


class Event(TypedDict, total=False):
    """One event: ``at`` and the other roles its stream has in data.yaml, each of them, null where there is none."""

    __pydantic_config__ = STRICT  # type: ignore[misc]
    at: Required[Moment]
    known: Moment | None
    until: Moment | None
    value: Number | None
    entity: Text | Whole | None


Stream = Annotated[list[Event], Field(max_length=MOST_EVENTS)]


class Customer(Request):
    """One row: a customer by id, as listed; with ``changes``: if these features had these values; with ``events``.

    ``events``: stream -> all its events within the history; ``[]`` says there were none. A stream that is not named
    stays as listed; of a customer who is in no list it is empty, and every feature that is not in ``changes`` unknown.
    """

    customer_id: Id
    changes: dict[Text, Number | Text | None] = Field(default={}, max_length=500)
    events: dict[Text, Stream] = Field(default_factory=dict, min_length=1, max_length=100)


class ScoreRequest(Request):
    """Give either ``model`` or ``models``. Customers × models: up to 1,000; events of one call: up to 20,000."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [{"required": ["model"]}, {"required": ["models"]}]})
    model: Model = Field(default_factory=str)
    models: list[Model] = Field(
        default_factory=list, min_length=1, max_length=20, json_schema_extra={"uniqueItems": True}
    )
    customers: list[Customer] = Field(min_length=1, max_length=MOST_SCORES)
    reasons: Whole = Field(default=3, ge=0, le=50)
    lang: Language = "en"

    @field_validator("models")
    @classmethod
    def _each_once(cls, models: list[Model]) -> list[Model]:
        if len(set(models)) < len(models):
            raise PydanticCustomError("repeated", "each model once")
        return models

    @field_validator("customers")
    @classmethod
    def _not_too_many(cls, customers: list[Customer]) -> list[Customer]:
        number = sum(len(stream) for customer in customers for stream in customer.events.values())
        if number > MOST_EVENTS:
            raise PydanticCustomError("too_many_events", "up to {most} events a call", {"most": f"{MOST_EVENTS:,}"})
        return customers


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

    ``basis``: what was scored: the row as listed, with changes, or from the events given. ``missing``: streams taken as
    empty and features taken as unknown because neither the list nor the request gives them. ``ignored_events``: given,
    but not before ``as_of``, or not known before it. ``low`` to ``high`` is the interval that the answer's ``interval``
    explains; ``risks`` maps the days of each horizon to the risk within it. Null where the model knows none.
    ``reference`` is where the points start, not the base rate: all points sum to score − reference. ``stale``: made
    from the last good state, for the store or the champion cannot be read now.
    """

    customer_id: str
    status: Status
    status_text: str | None
    basis: Basis | None
    score: float | None
    low: float | None
    high: float | None
    risks: dict[str, float] | None
    band: Literal["high", "medium", "low"] | None
    percentile: float | None
    base_rate: float
    reference: float
    as_of: str
    horizon: Horizon
    reasons: list[Reason]
    missing: list[str]
    ignored_events: int
    model_version: str
    grade: Literal["A", "B", "C"]
    stale: bool


class ScoreResponse(BaseModel):
    """Results in the order of the request. ``note`` says so when the score is a simple rule's.

    ``interval``: what the low and high of every score cover; null when there are none.
    """

    model: str
    note: str | None
    interval: str | None
    results: list[Result]


class ScoreResponses(BaseModel):
    """The answer to ``models``: one for each, in their order."""

    answers: list[ScoreResponse]


class ScoreAnswer(RootModel[ScoreResponse | ScoreResponses]):
    """The answer to ``model``, or to ``models``."""
