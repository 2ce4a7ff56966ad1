"""One shape for every error (RFC 9457), in which nothing of the input is repeated."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from http import HTTPStatus
from typing import Any

from serving.schema import Customer, ScoreRequest

MEDIA_TYPE = "application/problem+json"
KNOWN_KEYS = {*ScoreRequest.model_fields, *Customer.model_fields}
NOT_JSON = "json_invalid"


@dataclass(frozen=True)
class Detail:
    """Where in the request, and what is allowed there."""

    path: str
    message: str


@dataclass(frozen=True)
class Problem:
    """An answer that is not 2xx."""

    status: int
    detail: str
    errors: tuple[Detail, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)

    def text(self) -> str:
        """The body."""
        title = HTTPStatus(self.status).phrase
        body = {"type": "about:blank", "title": title, "status": self.status, "detail": self.detail}
        return json.dumps({**body, "errors": [asdict(error) for error in self.errors]}, ensure_ascii=False)


class Refusal(Exception):
    """A request that ends here, with this answer."""

    def __init__(self, status: int, detail: str, errors: Sequence[Detail] = (), **headers: str):
        super().__init__(detail)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.problem = Problem(status, detail, tuple(errors), named)


def parsed(text: str) -> Problem | None:
    """The problem in a text; None when it holds none."""
    try:
        body = json.loads(text)
        return Problem(body["status"], body["detail"], tuple(Detail(**error) for error in body["errors"]))
    except (ValueError, KeyError, TypeError):
        return None


def of_validation(found: Sequence[Mapping[str, Any]]) -> Problem:
    """pydantic's errors as a problem: 400 for what is no JSON, else 422 with every place."""
    if any(error["type"] == NOT_JSON for error in found):
        return Problem(400, "the body is not valid JSON, or it is nested too deeply; send one JSON object")
    details = dict.fromkeys(_detail(error) for error in found)
    return Problem(422, "the request does not fit; errors[] names every place", tuple(details))


def _detail(error: Mapping[str, Any]) -> Detail:
    path, keys = "", list(error["loc"])
    while keys and (isinstance(keys[0], int) or keys[0] in KNOWN_KEYS):
        key = keys.pop(0)
        path += f"[{key}]" if isinstance(key, int) else f".{key}" if path else key
    if error["type"] == "extra_forbidden":
        allowed = Customer.model_fields if path.startswith("customers") else ScoreRequest.model_fields
        return Detail(path, f"an unknown key; known keys: {', '.join(allowed)}")
    if path.endswith("changes") and keys:
        return Detail(path, "feature names of up to 1,000 characters; each value a finite number, a text or null")
    return Detail(path, str(error["msg"]))
