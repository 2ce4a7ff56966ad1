"""The OpenAPI 3.1 description of every operation: what it takes, gives and refuses, with examples."""

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, Literal

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from serving.environment import release
from serving.http import answers, examples, scalars
from serving.http.operations import PARAMETER, Operation
from serving.http.replies import JSON
from serving.problem import MEDIA_TYPE, phrase

Json = dict[str, Any]
Named = dict[Any, Json]
Mode = Literal["validation", "serialization"]
REF = "#/components/schemas/{model}"
ABOUT = (
    "Which customers are likely to leave or to buy more, and why. Every error is application/problem+json and names "
    "every place without repeating what was sent. An id in a path is percent-encoded, a slash in it as %2F. Every GET "
    "takes HEAD too. Times are UTC."
)
WITH_KEY, WITH_BODY = (401, 403, 429, 503), (400, 408, 413, 415, 422)
WAIT = (429, 503)
TAG = {"ETag": {"description": "what If-None-Match takes", "schema": {"type": "string"}}}
RETRY = {"Retry-After": {"description": "seconds", "schema": {"type": "string"}}}
REPLAY = {"Idempotent-Replay": {"description": "true: made before, not again", "schema": {"const": "true"}}}
LINK = {"Link": {"description": 'the next page, rel="next"', "schema": {"type": "string"}}}
SECURITY = {
    "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    "bearer": {"type": "http", "scheme": "bearer"},
}
UNTAGGED = ("live", "ready", "metrics")
OF_THE_MODEL = (
    "422 also answers what is allowed here and refused by the model: a feature or a stream it does not have, a value "
    "that is none of the feature's, a feature that follows from events given, an event without a role of its stream, a "
    "time that there is not. GET /v1/models/{model}/card names the features; the data's configuration the streams."
)
OF_A_CURSOR = "422 also answers a cursor that another query gave, or nobody."


@cache
def document(operations: tuple[Operation, ...], models: tuple[str, ...]) -> Json:
    """The description. models: those of the config, the only ones that are taken."""
    named, schemas = _schemas(operations, models)
    paths: dict[str, Json] = {}
    for one in operations:
        paths.setdefault(one.path, {})[one.method.lower()] = _operation(one, models, named)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Tsunagi", "version": release(), "description": ABOUT},
        "servers": [{"url": "/"}],
        "security": [{name: []} for name in SECURITY],
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": SECURITY},
    }


def _schemas(operations: Iterable[Operation], models: tuple[str, ...]) -> tuple[Named, Json]:
    """Every model of bodies and answers, and how each is referred to. A body's model is one of the config's."""
    taken = {one.body for one in operations if one.body}
    given = {one.answer for one in operations if one.answer} | {answers.Problem}
    modes: list[tuple[type[BaseModel], Mode]] = [(one, "validation") for one in taken]
    modes += [(one, "serialization") for one in given]
    named, made = models_json_schema(sorted(modes, key=str), ref_template=REF)
    for schema in made["$defs"].values():
        schema.pop("examples", None)
        schema.pop("discriminator", None)  # each word is of one form only; tools trip over two words of one form
        properties = schema.get("properties", {})
        for place in (properties.get("model"), properties.get("models", {}).get("items")):
            if place and place.get("type") == "string":
                place["enum"] = list(models)
    return {model: ref for (model, _), ref in named.items()}, dict(sorted(made["$defs"].items()))


def _operation(one: Operation, models: tuple[str, ...], named: Named) -> Json:
    made: Json = {"operationId": one.name, "summary": one.summary, "responses": _responses(one, named)}
    if one.scope is None:
        made["security"] = []
    else:
        made["description"] = f"The key needs the scope {one.scope}.{_beyond(one)}"
    parameters = [*_path(one, models), *_query(one, models), *_headers(one)]
    if parameters:
        made["parameters"] = parameters
    if one.body:
        content = {"schema": named[one.body], "examples": examples.BODIES[one.name]}
        made["requestBody"] = {"required": True, "content": {JSON: content}}
    return made


def _beyond(one: Operation) -> str:
    """What is refused although no schema can say so."""
    if one.name == "score":
        return f" {OF_THE_MODEL}"
    return f" {OF_A_CURSOR}" if one.query and "cursor" in one.query.model_fields else ""


def _path(one: Operation, models: tuple[str, ...]) -> list[Json]:
    schemas: Mapping[str, Json] = {
        "customer_id": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": scalars.PRINTABLE},
        "model": {"type": "string", "enum": list(models)},
        "as_of": {"anyOf": [{"const": "latest"}, {"type": "string", "format": "date"}]},
    }
    names = PARAMETER.findall(one.path)
    return [
        {"name": name, "in": "path", "required": True, "schema": schemas[name], "example": examples.PATHS[name]}
        for name in names
    ]


def _query(one: Operation, models: tuple[str, ...]) -> list[Json]:
    if one.query is None:
        return []
    whole = one.query.model_json_schema(ref_template=REF)
    found = []
    for name, schema in whole.get("properties", {}).items():
        own = _plain(schema, models if name == "model" else None)
        made: Json = {"name": name, "in": "query", "required": name in whole.get("required", ()), "schema": own}
        more = {"description": schema.get("description"), "example": examples.QUERIES.get(name)}
        found.append(made | {key: value for key, value in more.items() if value is not None})
    return found


def _plain(schema: Json, models: tuple[str, ...] | None) -> Json:
    """A parameter is left out rather than null."""
    own = {name: value for name, value in schema.items() if name not in ("title", "description", "anyOf")}
    for form in schema.get("anyOf", ()):
        own |= form if form != {"type": "null"} else {}
    if own.get("default", 0) is None:
        del own["default"]
    return own | ({"enum": list(models)} if models else {})


def _headers(one: Operation) -> list[Json]:
    found = []
    if one.writes_once:
        about = "sent again with the same request it gives the same answer and writes nothing"
        form = {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"}
        found.append(_header("Idempotency-Key", about, form, "4f8a2c60-crm-0001"))
    if _tagged(one):
        about, text = "the ETag of an answer held; 304 while it holds", {"type": "string"}
        found.append(_header("If-None-Match", about, text, '"0123abcd"'))
    return found


def _header(name: str, about: str, schema: Json, example: str) -> Json:
    return {"name": name, "in": "header", "required": False, "description": about, "schema": schema, "example": example}


def _tagged(one: Operation) -> bool:
    return one.method == "GET" and one.name not in UNTAGGED


def _responses(one: Operation, named: Named) -> Json:
    headers = (TAG if _tagged(one) else {}) | (REPLAY if one.writes_once else {}) | (LINK if one.name == "list" else {})
    success: Json = {"description": phrase(one.success), "content": _content(one, named)}
    found = {str(one.success): {**success, **({"headers": headers} if headers else {})}}
    if _tagged(one):
        found["304"] = {"description": "what the caller holds is still the answer", "headers": TAG}
    statuses = {*one.statuses, *(WITH_KEY if one.scope else ()), *(WITH_BODY if one.body else ()), 406}
    return found | {str(status): _problem(status, named) for status in sorted(statuses)}


def _content(one: Operation, named: Named) -> Json:
    content: Json = {}
    for media in one.media:
        if media == JSON and one.answer:
            content[media] = {"schema": named[one.answer], "example": examples.ANSWERS[one.name]}
        else:
            content[media] = {"schema": {"type": "string"}, "example": examples.TEXTS.get((one.name, media), "")}
    return content


def _problem(status: int, named: Named) -> Json:
    name = phrase(status)
    example = {"type": "about:blank", "title": name, "status": status, "detail": examples.DETAILS[status]}
    content = {"schema": named[answers.Problem], "example": {**example, "errors": examples.ERRORS.get(status, [])}}
    made: Json = {"description": name, "content": {MEDIA_TYPE: content}}
    return {**made, "headers": RETRY} if status in WAIT else made
