"""One shape for every error (RFC 9457), in which nothing of the input is repeated."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from http import HTTPStatus
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

MEDIA_TYPE = "application/problem+json"
TITLES = {413: "Content Too Large", 422: "Unprocessable Content"}  # as RFC 9110 has them, on every Python
NOT_JSON = "json_invalid"
MOST_NAMED = 100
M = TypeVar("M", bound=BaseModel)


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
        title = phrase(self.status)
        body = {"type": "about:blank", "title": title, "status": self.status, "detail": self.detail}
        return json.dumps({**body, "errors": [asdict(error) for error in self.errors]}, ensure_ascii=False)


def phrase(status: int) -> str:
    """The name of a status."""
    return TITLES.get(status) or HTTPStatus(status).phrase


class Refusal(Exception):
    """A request that ends here, with this answer."""

    def __init__(self, status: int, detail: str, errors: Sequence[Detail] = (), **headers: str):
        super().__init__(detail)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.problem = Problem(status, detail, tuple(errors[:MOST_NAMED]), named)


def read(model: type[M], body: bytes) -> M:
    """A body as this model. Raises Refusal: 400 for what is no JSON, 422 naming every place that does not fit."""
    try:
        found = model.model_validate_json(body)
        refuse_repeats(body)
        return found
    except ValidationError as error:
        wrong = error.errors(include_url=False, include_context=False, include_input=False)
        problem = of_validation(wrong, model)
        raise Refusal(problem.status, problem.detail, problem.errors) from None


def refuse_repeats(body: bytes) -> None:
    """Readers of JSON take the last of two equal keys, silently. Raises Refusal where a key stands twice."""
    json.loads(body, object_pairs_hook=_once)


def _once(pairs: list[tuple[str, Any]]) -> None:
    if len({key for key, _ in pairs}) < len(pairs):
        raise Refusal(422, "a key stands twice in one JSON object; give each once")


def of_validation(found: Sequence[Mapping[str, Any]], model: type[BaseModel]) -> Problem:
    """pydantic's errors about a model as a problem: 400 for what is no JSON, else 422 with up to 100 places."""
    if any(error["type"] == NOT_JSON for error in found):
        return Problem(400, "the body is not valid JSON, or it is nested too deeply; send one JSON object")
    details = dict.fromkeys(_detail(error, model) for error in found[: 10 * MOST_NAMED])
    return Problem(422, "the request does not fit; errors[] names every place", tuple(details)[:MOST_NAMED])


def _detail(error: Mapping[str, Any], model: type[BaseModel]) -> Detail:
    path, node, inside = _walked(list(error["loc"]), _schema(model))
    if error["type"] == "extra_forbidden":
        return Detail(path, f"an unknown key; known keys: {', '.join(node.get('properties', ()))}")
    if error["type"] == "string_pattern_mismatch" and "description" in node:
        return Detail(path, node["description"])
    if inside and path.endswith("changes"):
        allowed = "each value a number from −1e12 to 1e12, a text or null"
        return Detail(path, f"feature names of up to 1,000 characters; {allowed}")
    return Detail(path, str(error["msg"]))


def _walked(keys: list[Any], schema: dict[str, Any]) -> tuple[str, dict[str, Any], bool]:
    """The path as far as its keys are ours, the schema of the place, whether a key of the caller's was passed.

    A key of the caller's own is written as ``*``.
    """
    path, node, inside = "", schema, False
    for key in keys:
        node = _plain(node, schema)
        if isinstance(key, int) and "items" in node:
            path, node = f"{path}[{key}]", node["items"]
        elif key in node.get("properties", ()):
            path, node = f"{path}.{key}" if path else key, node["properties"][key]
        elif isinstance(node.get("additionalProperties"), dict):
            path, node, inside = f"{path}.*", node["additionalProperties"], True
        else:
            break
    return path.removesuffix(".*"), _plain(node, schema), inside


def _plain(node: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """A node without reference, and without the null that it may be."""
    choices = [choice for choice in node.get("anyOf", ()) if choice.get("type") != "null"]
    if len(choices) == 1:
        node = choices[0]
    return schema["$defs"][node["$ref"].rpartition("/")[2]] if "$ref" in node else node


@cache
def _schema(model: type[BaseModel]) -> dict[str, Any]:
    return model.model_json_schema()
