"""Where the next page begins: opaque to the caller, and good only for the list, filters and order it was made for."""

import base64
import hashlib
import json
from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import Field, TypeAdapter

from serving.problem import Detail, Refusal

CHECK = 16
Id = Annotated[int, Field(ge=0, lt=2**31)]


def cursor(of: Sequence[Any], place: Sequence[Any]) -> str:
    """A cursor. of: what the pages are pages of; place: the last row shown; both of plain JSON values."""
    text = json.dumps(list(place), ensure_ascii=False, separators=(",", ":"))
    return base64.urlsafe_b64encode((_check(of, text) + text).encode()).decode().rstrip("=")


def place(of: Sequence[Any], text: str | None, form: Any = list[Any]) -> Any:
    """The place a cursor was made with, as ``form``, a type; None without one.

    The check tells pages apart and has no key: whoever wants to can make one up, so ``form`` must hold nothing that the
    store does not take. Raises Refusal: 422 for one of other pages, or no cursor.
    """
    if text is None:
        return None
    try:
        whole = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True).decode()
    except ValueError:
        raise _foreign() from None
    if whole[:CHECK] != _check(of, whole[CHECK:]):
        raise _foreign()
    try:
        return TypeAdapter(form).validate_python(json.loads(whole[CHECK:]))
    except (ValueError, RecursionError):
        raise _foreign() from None


def _check(of: Sequence[Any], text: str) -> str:
    return hashlib.sha256(json.dumps([list(of), text], ensure_ascii=False).encode()).hexdigest()[:CHECK]


def _foreign() -> Refusal:
    detail = Detail("cursor", "exactly as it was given, with the address, filters and sort of the page that gave it")
    return Refusal(422, "the cursor does not belong to this query; begin again without one", [detail])
