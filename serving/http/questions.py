"""What the reading and the writing door take: queries and bodies, strict; a misfit is named by its place."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import parse_qsl

from pydantic import BaseModel, ConfigDict, Discriminator, Field, RootModel, ValidationError

from features.config import Language
from serving.http.scalars import WHOLE, Day, Id, Model, Moment, Note, Number
from serving.problem import Detail, Refusal, refuse_repeats

MOST_REASONS, MOST_ROWS, MOST_LISTS = 50, 10_000, 1_000
M = TypeVar("M", bound=BaseModel)

Reasons = Annotated[int, Field(ge=0, le=MOST_REASONS, description="how many reasons a score has at most"), WHOLE]
Limit = Annotated[int, Field(ge=1, le=MOST_LISTS, description="entries on a page"), WHOLE]
Page = Annotated[int, Field(ge=1, le=MOST_ROWS), WHOLE]
Cursor = Annotated[str, Field(max_length=2_000, pattern=r"^[A-Za-z0-9_-]+$", description="`next` of the page before")]
Lang = Annotated[Language, Field(description="the language of sentences and names")]
Rising = Literal["rank", "score", "value_at_risk", "gain", "change", "renewal"]
Falling = Literal["-rank", "-score", "-value_at_risk", "-gain", "-change", "-renewal"]
Sort = Literal[Rising, Falling]


class Query(BaseModel):
    """The query of an address: every parameter once, none unknown."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, allow_inf_nan=False)


class Spoken(Query):
    lang: Lang = "en"


class OfCustomer(Spoken):
    reasons: Reasons = 3


class OfHistory(OfCustomer):
    model: Model | None = Field(default=None, description="of this model only")
    limit: Limit = 100
    cursor: Cursor | None = None


class OfChanges(OfCustomer):
    model: Model = Field(description="the model whose newest list is compared with the one before")


class OfLists(Query):
    model: Model | None = Field(default=None, description="of this model only")
    limit: Limit = 100
    cursor: Cursor | None = None


class OfList(Spoken):
    """Without ``limit`` the whole list comes, in pieces."""

    owner: Id | None = Field(default=None, description="rows of this owner")
    band: Literal["high", "medium", "low"] | None = None
    segment: (
        Literal["champion", "loyal", "regular", "light", "fading", "slipping", "cannot_lose", "hibernating"] | None
    ) = None
    stage: Literal["onboarding", "adoption", "mature", "dormant"] | None = None
    action: Literal["contact", "held_out", "resting", "beyond_capacity", "no_gain"] | None = None
    min_value: Number | None = Field(default=None, description="rows whose value at risk is at least this")
    sort: Sort = Field(default="rank", description="rising; with - before it falling; rows without a value come last")
    limit: Page | None = Field(default=None, description="rows on a page")
    cursor: Cursor | None = None
    format: Literal["json", "csv", "xlsx"] | None = Field(default=None, description="goes before the header Accept")


class OfActions(Query):
    customer_id: Id | None = Field(default=None, description="of this customer only")
    model: Model | None = Field(default=None, description="of this model only")
    limit: Limit = 100
    cursor: Cursor | None = None


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)


class NewContact(Body):
    """The team spoke to a customer. ``at``: when, with its offset; in UTC from here on."""

    customer_id: Id
    at: Moment
    channel: Literal["call", "email", "meeting", "other"]
    note: Note | None = None


class Decided(Body):
    """What the team decided about a row of the list of a model and date."""

    model: Model
    customer_id: Id
    as_of: Day
    kind: Literal["planned", "done", "dismissed"]
    note: Note | None = None

    @property
    def back(self) -> date | None:
        """The day the row comes back."""
        return None


class Snoozed(Body):
    """A row of a list put aside ``until`` a day."""

    model: Model
    customer_id: Id
    as_of: Day
    kind: Literal["snoozed"]
    until: Day
    note: Note | None = None

    @property
    def back(self) -> date | None:
        """The day the row comes back."""
        return self.until


class NewAction(RootModel[Annotated[Decided | Snoozed, Discriminator("kind")]]):
    """A decision about a row; only ``snoozed`` takes ``until``."""

    model_config = ConfigDict(hide_input_in_errors=True)


def query(model: type[M], raw: bytes) -> M:
    """The parameters of an address as its model. Raises Refusal: 422, naming every place and repeating nothing.

    raw: as it was sent, still percent-encoded.
    """
    known = tuple(model.model_fields)
    details = []
    try:
        given = parse_qsl(raw.decode("ascii"), keep_blank_values=True, errors="strict")
    except UnicodeDecodeError:
        raise _refusal("query", [Detail("query", "percent-encoded UTF-8")]) from None
    if len(dict(given)) < len(given) or set(dict(given)) - set(known):
        details.append(Detail("query", f"unknown or repeated; known: {', '.join(known) or 'none'}, each once"))
    try:
        made = model.model_validate({name: value for name, value in given if name in known})
    except ValidationError as error:
        raise _refusal("query", [*details, *_details(error, known)]) from None
    if details:
        raise _refusal("query", details)
    return made


def body(model: type[M], raw: bytes) -> M:
    """A body as its model. Raises Refusal: 400 for what is no JSON, else 422 naming every place."""
    try:
        found = model.model_validate_json(raw)
        refuse_repeats(raw)
        return found
    except ValidationError as error:
        if any(one["type"] == "json_invalid" for one in error.errors()):
            detail = "the body is not valid JSON, or it is nested too deeply; send one JSON object"
            raise Refusal(400, detail) from None
        raise _refusal("body", _details(error, fields(model))) from None


def fields(model: type[BaseModel]) -> tuple[str, ...]:
    """The names a body may hold."""
    forms = (Decided, Snoozed) if model is NewAction else (model,)
    return tuple(dict.fromkeys(name for form in forms for name in form.model_fields))


def _details(error: ValidationError, known: Sequence[str]) -> Iterable[Detail]:
    return dict.fromkeys(_detail(one, known) for one in error.errors(include_input=False, include_url=False))


def _detail(error: Mapping[str, Any], known: Sequence[str]) -> Detail:
    """Only names of ours appear in it; a key of the caller's does not."""
    path = next((str(key) for key in error["loc"] if key in known), "")
    if error["type"] == "extra_forbidden":
        return Detail("", f"an unknown key, or one that does not go with this kind; known keys: {', '.join(known)}")
    if error["type"].startswith("union_tag"):
        return Detail("kind", "planned, done, dismissed or snoozed")
    if error["type"] == "string_pattern_mismatch":
        return Detail(path, "a text without control characters; a cursor exactly as it was given")
    return Detail(path, str(error["msg"]))


def _refusal(what: str, details: Iterable[Detail]) -> Refusal:
    return Refusal(422, f"the {what} does not fit; errors[] names every place", list(details))
