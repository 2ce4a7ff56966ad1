"""The single values of queries and bodies: each text has one meaning, and a misfit says what is allowed."""

import re
from datetime import UTC, date, datetime
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

PRINTABLE = r"^[^\x00-\x1f\x7f]+$"
LARGEST = 1e12
DIGITS, DAY = re.compile(r"0|[1-9][0-9]{0,8}"), re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
MOMENT = re.compile(
    r"[1-8][0-9]{3}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)

MOMENT_ALLOWED = "a time with its offset, such as 2026-01-30T10:00:00+09:00, in the years 1000 to 8999"


def _whole(text: Any) -> int:
    if not DIGITS.fullmatch(str(text)):
        raise PydanticCustomError("whole", "a whole number such as 20")
    return int(text)


def _number(text: Any) -> float:
    if not NUMBER.fullmatch(str(text)) or abs(float(text)) > LARGEST:
        raise PydanticCustomError("number", "a number such as 1500 or 0.25, from −1e12 to 1e12")
    return float(text)


def _day(text: Any) -> date:
    """pydantic would take a number or a time for a date too."""
    try:
        if isinstance(text, str) and DAY.fullmatch(text):
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise PydanticCustomError("day", "a date such as 2026-01-31")


def _moment(text: Any) -> datetime:
    """A time with its offset, as UTC without zone. At either end of the calendar some offsets would leave it."""
    try:
        if isinstance(text, str) and MOMENT.fullmatch(text):
            return datetime.fromisoformat(text.upper()).astimezone(UTC).replace(tzinfo=None)
    except ValueError:
        pass
    raise PydanticCustomError("moment", MOMENT_ALLOWED)


WHOLE = BeforeValidator(_whole)
Number = Annotated[
    float, BeforeValidator(_number), WithJsonSchema({"type": "number", "minimum": -LARGEST, "maximum": LARGEST})
]
Day = Annotated[date, BeforeValidator(_day), WithJsonSchema({"type": "string", "format": "date"})]
Moment = Annotated[
    datetime,
    BeforeValidator(_moment),
    WithJsonSchema({"type": "string", "format": "date-time", "pattern": "^[1-8]", "description": MOMENT_ALLOWED}),
]
Id = Annotated[str, Field(min_length=1, max_length=255, pattern=PRINTABLE)]
Note = Annotated[str, Field(max_length=1_000, pattern=r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]*$")]
Model = Annotated[str, Field(min_length=1, max_length=64, pattern=PRINTABLE)]
