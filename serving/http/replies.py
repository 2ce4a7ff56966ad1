"""Requests taken apart and answers put together: what is accepted, what is unchanged, one shape of error."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from pydantic import BaseModel
from starlette.datastructures import Headers
from starlette.responses import Response

from serving.environment import release
from serving.http.operations import Operation
from serving.problem import MEDIA_TYPE, Problem, Refusal

JSON = "application/json"
VARY = {"vary": "Accept, Authorization, X-API-Key", "cache-control": "private, no-cache"}


class Unchanged(Exception):
    """The caller holds this answer already. The argument is its tag."""


@dataclass(frozen=True)
class Ask:
    """A request whose key, address, query and body were found good. owner: the key's name; raw: the body as sent."""

    operation: Operation
    parameters: dict[str, str]
    query: Any
    body: Any
    raw: bytes
    owner: str
    path: str
    headers: Headers
    media: str = JSON

    def tag(self, *of: Any) -> dict[str, str]:
        """The headers of an answer that is wholly made of ``of`` and the request. Raises Unchanged."""
        asked = self.query.model_dump(mode="json") if isinstance(self.query, BaseModel) else None
        whole = [release(), self.operation.name, self.parameters, asked, self.media, *of]
        tag = f'"{hashlib.sha256(orjson.dumps(whole)).hexdigest()[:32]}"'
        if known(self.headers.get("if-none-match"), tag):
            raise Unchanged(tag)
        return {"etag": tag, **VARY}


def known(given: str | None, tag: str) -> bool:
    """Whether If-None-Match names this tag (RFC 9110 §13.1.2, weak comparison)."""
    tags = {one.strip().removeprefix("W/") for one in (given or "").split(",")}
    return bool(tags & {"*", tag})


def chosen(accept: str | None, offered: Sequence[str]) -> str:
    """The offered media type that suits the header Accept best (RFC 9110 §12.5.1). Raises Refusal: 406."""
    ranges = [_range(one) for one in (accept or "*/*").split(",") if one.strip()] or [("*/*", 1.0)]
    best, quality = max(((media, _quality(media, ranges)) for media in offered), key=lambda one: one[1])
    if quality <= 0:
        raise Refusal(406, f"this address answers with {', '.join(offered)}; accept one of them")
    return best


def _range(text: str) -> tuple[str, float]:
    media, *parameters = (part.strip().lower() for part in text.split(";"))
    weight = next((part[2:] for part in parameters if part.startswith("q=")), "1")
    try:
        return media, min(max(float(weight), 0.0), 1.0)
    except ValueError:
        return media, 0.0


def _quality(media: str, ranges: Sequence[tuple[str, float]]) -> float:
    """That of the most specific range that covers the media type."""
    for name in (media, media.partition("/")[0] + "/*", "*/*"):
        weights = [weight for given, weight in ranges if given == name]
        if weights:
            return max(weights)
    return 0.0


def plain(content: Any, headers: dict[str, str] | None = None, status: int = 200) -> Response:
    """An answer in JSON."""
    return Response(orjson.dumps(content), status, headers, JSON)


def refused(problem: Problem) -> Response:
    """An answer that is a problem."""
    return Response(problem.text(), problem.status, dict(problem.headers), MEDIA_TYPE)


def unchanged(tag: str) -> Response:
    """304: what the caller holds is still the answer."""
    return Response(status_code=304, headers={"etag": tag, **VARY})


def bodiless(response: Response) -> Response:
    """The answer to HEAD: the same head, nothing else."""
    empty = Response(status_code=response.status_code)
    empty.raw_headers = list(response.raw_headers)
    return empty
