"""What the HTTP doors offer, one row an operation: routing, scopes, checks, metrics, the OpenAPI page come from it."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal
from urllib.parse import unquote

from pydantic import BaseModel

from serving.guards.auth import Scope
from serving.problem import Refusal

PARAMETER = re.compile(r"{(\w+)}")


@dataclass(frozen=True)
class Operation:
    """One method of one path. ``path``: a template such as ``/v1/customers/{customer_id}``.

    scope: what a key must be allowed to do; None needs no key. query, body, answer: the models of what is taken and
    given. media: the content types of a success. statuses: the errors it may answer with beside those that every
    operation may. writes_once: takes the header Idempotency-Key.
    """

    name: str
    method: Literal["GET", "POST", "DELETE"]
    path: str
    scope: Scope | None
    summary: str
    query: type[BaseModel] | None = None
    body: type[BaseModel] | None = None
    answer: type[BaseModel] | None = None
    success: int = 200
    media: tuple[str, ...] = ("application/json",)
    statuses: tuple[int, ...] = ()
    writes_once: bool = False

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """Matches a path as it was sent: an id that holds a slash sends it as %2F."""
        pieces = PARAMETER.split(self.path)
        return re.compile("".join(f"(?P<{p}>[^/]+)" if i % 2 else re.escape(p) for i, p in enumerate(pieces)))


@dataclass(frozen=True)
class Found:
    """A request's operation and the parameters of its path; ``methods``: those its path takes, none: no such path."""

    operation: Operation | None
    parameters: dict[str, str]
    methods: tuple[str, ...]

    def nothing(self) -> Refusal:
        """What is said where there is no operation: 404, or 405 with the methods that there are."""
        if self.methods:
            methods = self.methods + (("HEAD",) if "GET" in self.methods else ())
            return Refusal(405, "this address does not take this method", allow=", ".join(methods))
        return Refusal(404, "there is nothing at this address; GET /openapi.json says what there is")


class Operations:
    """Finds the operation of a request."""

    def __init__(self, operations: Iterable[Operation]):
        self.all = tuple(operations)
        self._exact = {(str(one.method), one.path): one for one in self.all if "{" not in one.path}
        self._found = {key: Found(one, {}, (key[0],)) for key, one in self._exact.items()}

    def find(self, method: str, raw_path: str) -> Found:
        """raw_path: still percent-encoded, without the query. HEAD is GET."""
        method = "GET" if method == "HEAD" else method
        exact = self._found.get((method, raw_path))
        if exact:
            return exact
        there = [(one, match) for one in self.all if (match := one.pattern.fullmatch(raw_path))]
        methods = tuple(sorted({str(one.method) for one, _ in there}))
        for one, match in there:
            if one.method == method:
                try:
                    own = {name: unquote(value, errors="strict") for name, value in match.groupdict().items()}
                except UnicodeDecodeError:
                    return Found(None, {}, ())
                return Found(one, own, methods)
        return Found(None, {}, methods)


@dataclass(frozen=True)
class Entered:
    """What the door found out about a request, for the app behind it: ``scope["tsunagi"]``. owner: the key's name.

    query: as it was sent.
    """

    operation: Operation
    parameters: dict[str, str]
    owner: str
    query: bytes = b""


def path_of(scope: Mapping[str, Any]) -> str:
    """The path of an ASGI request as it was sent, still percent-encoded."""
    raw: bytes = scope.get("raw_path") or scope["path"].encode()
    return raw.partition(b"?")[0].decode("latin-1")
