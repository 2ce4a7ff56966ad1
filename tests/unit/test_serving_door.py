"""The middleware alone, before a small worker of its own."""

import asyncio
import json
from types import SimpleNamespace

import pytest
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.middleware import Middleware

from serving.config import Limits
from serving.http.door import Door
from serving.http.operations import Operation, Operations
from serving.http.questions import Query
from serving.problem import Refusal, of_validation
from serving.scores.schema import ScoreRequest
from serving.scores.turns import Turns

JSON = [(b"x-api-key", b"good"), (b"content-type", b"application/json")]
LIMITS = {"body_bytes": 1_000, "body_seconds": 0.2, "handler_seconds": 0.2, "concurrency": 2}
OPERATIONS = Operations([
    Operation("live", "GET", "/livez", None, "open"),
    Operation("score", "POST", "/score", "score", "scores", query=Query, body=BaseModel),
    Operation("write", "POST", "/x", "write", "writes", body=BaseModel),
    Operation("read", "GET", "/v1/{one}/{other}", "read", "reads"),
])  # fmt: skip


class Inside:
    """A worker that keeps what it is told. read: the app of all operations but score."""

    def __init__(self, read, limits=None):
        self._app, self.limits = read, Limits(**(LIMITS | (limits or {})))
        self.turns = Turns(self.limits.wait_seconds)
        self.noted, self.told, self.failures = [], [], []

    def enter(self, key, operation):
        if key == "locked":
            raise Refusal(503, "the store cannot be read now", retry_after="5")
        if key != "good":
            raise Refusal(401, "a valid API key is needed", www_authenticate="Bearer")
        return "crm"

    async def score(self, body, owner):
        return body + owner.encode()

    async def read(self, scope, receive, send):
        await (plain if scope["path"] == "/livez" else self._app)(scope, receive, send)

    def note(self, entered, body, refused=None):
        self.noted.append((entered.operation.name, entered.parameters, entered.owner, body, refused))

    def ended(self, operation, method, status, seconds, owner):
        self.told.append((operation, method, status, owner))

    def failed(self, operation, error):
        self.failures.append((operation, type(error).__name__))


async def plain(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"open"})


def call(
    app, headers=JSON, method="POST", messages=None, path="/x", limits=None, times=1, inside=None, apart=0.0, query=b""
):
    """Status, headers, body of what the door sends; ``times`` calls at once, or some seconds apart."""
    inside = inside or Inside(app, limits)
    door = Door(None, OPERATIONS, lambda: inside)

    async def one(number):
        await asyncio.sleep(number * apart)
        waiting = list(messages or [{"type": "http.request", "body": b"{}", "more_body": False}])
        sent = []

        async def receive():
            if waiting:
                return waiting.pop(0)
            await asyncio.sleep(60)

        async def send(message):
            sent.append(message)

        scope = {"type": "http", "path": path, "raw_path": path.encode(), "method": method, "headers": headers}
        await door({**scope, "query_string": query}, receive, send)
        body = b"".join(message.get("body", b"") for message in sent[1:])
        return sent[0]["status"], dict(sent[0]["headers"]), body

    async def all_of_them():
        return await asyncio.gather(*(one(number) for number in range(times)))

    answers = asyncio.run(all_of_them())
    return answers[0] if times == 1 else answers


async def echo(scope, receive, send):
    message = await receive()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": message["body"]})


async def slow(scope, receive, send):
    await asyncio.sleep(0.5)
    await echo(scope, receive, send)


async def failing(scope, receive, send):
    raise RuntimeError("Naka" + "mura")


async def slow_and_failing(scope, receive, send):
    await asyncio.sleep(0.3)
    raise RuntimeError("Naka" + "mura")


def test_a_body_in_parts_reaches_the_app_whole():
    parts = [
        {"type": "http.request", "body": b'{"a"', "more_body": True},
        {"type": "http.request", "body": b":1}"},
    ]
    assert call(echo, messages=parts)[2] == b'{"a":1}'


def test_an_empty_body_reaches_the_app_too():
    assert call(echo, messages=[{"type": "http.request", "body": b"", "more_body": False}])[0] == 200


def test_a_score_is_answered_at_once_and_counted():
    inside = Inside(echo)
    status, headers, body = call(echo, path="/score", inside=inside)
    assert (status, body, headers[b"content-length"]) == (200, b"{}crm", b"5")
    assert headers[b"cache-control"] == b"no-store" and headers[b"x-content-type-options"] == b"nosniff"
    assert inside.told == [("score", "POST", 200, "crm")] and inside.noted == []


@pytest.mark.parametrize("query", [b"foo=bar", b"foo=", b"%FF=1"])
def test_a_score_takes_no_parameters(query):
    inside = Inside(echo)
    status, _, body = call(echo, path="/score", inside=inside, query=query)
    assert status == 422 and json.loads(body)["errors"][0]["path"] == "query" and b"foo" not in body
    assert inside.told == [("score", "POST", 422, None)]


def test_what_is_read_or_written_is_noted_before_it_is_answered():
    inside = Inside(failing)
    assert call(failing, inside=inside)[0] == 500
    assert call(failing, method="GET", path="/v1/a%2Fb/%E9%A1%A7", inside=inside)[0] == 500
    assert inside.noted == [
        ("write", {}, "crm", b"{}", None),
        ("read", {"one": "a/b", "other": "顧"}, "crm", b"", None),
    ]
    assert inside.failures == [("write", "RuntimeError"), ("read", "RuntimeError")]


def test_a_change_that_was_refused_is_noted_as_refused():
    async def conflict(scope, receive, send):
        await send({"type": "http.response.start", "status": 409, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    inside = Inside(conflict)
    assert call(conflict, inside=inside)[0] == 409
    assert inside.noted == [("write", {}, "crm", b"{}", None), ("write", {}, "crm", b"{}", 409)]


def test_what_cannot_be_noted_is_not_done():
    inside = Inside(failing)
    inside.note = refusing
    assert call(failing, inside=inside)[0] == 503 and inside.failures == []


def refusing(entered, body):
    raise Refusal(503, "it cannot be written down now", retry_after="30")


@pytest.mark.parametrize(
    ("method", "path", "status", "allowed"),
    [
        ("GET", "/nothing", 404, None),
        ("GET", "/score/", 404, None),
        ("GET", "/v1/a/b/c", 404, None),
        ("GET", "/score", 405, b"POST"),
        ("PUT", "/v1/a/b", 405, b"GET, HEAD"),
    ],
)
def test_an_address_that_is_none(method, path, status, allowed):
    inside = Inside(echo)
    found, headers, _ = call(echo, method=method, path=path, inside=inside)
    assert (found, headers.get(b"allow")) == (status, allowed)
    assert inside.told == [("unknown", method, status, None)]
    assert call(echo, headers=[], method=method, path=path)[0] == 401


def test_open_paths_need_nothing():
    assert call(failing, headers=[], method="GET", path="/livez")[2] == b"open"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([], 401),
        ([(b"x-api-key", b"bad")], 401),
        ([(b"authorization", b"Bearer good")], 415),
        ([(b"x-api-key", b"locked")], 503),
        ([*JSON, (b"content-length", b"99999")], 413),
        ([*JSON, (b"content-length", b"many")], 200),
        ([JSON[0], (b"content-type", b'Application/JSON; charset="UTF-8"')], 200),
    ],
)
def test_headers(headers, status):
    assert call(echo, headers=headers)[0] == status


def test_a_body_that_never_comes_or_ends_early():
    begun = [{"type": "http.request", "body": b"{", "more_body": True}]
    assert call(echo, messages=begun)[0] == 408
    assert call(echo, messages=[*begun, {"type": "http.disconnect"}])[0] == 400
    assert call(echo, messages=[{"type": "http.request", "body": b"x" * 1_001, "more_body": False}])[0] == 413


@pytest.mark.parametrize("app", [slow, slow_and_failing])
def test_a_slow_answer_is_given_up(app):
    status, headers, body = call(app, method="GET", path="/v1/a/b")
    assert status == 503 and headers[b"retry-after"] == b"5" and "0.2 seconds" in json.loads(body)["detail"]


def test_a_slow_answer_that_was_given_up_counts_as_running_until_it_ends():
    answers = call(slow, method="GET", path="/v1/a/b", limits={"concurrency": 1}, times=2, apart=0.25)
    assert [status for status, _, _ in answers] == [503, 429]


def test_a_slow_change_is_answered_when_it_is_made_and_entered_once():
    inside = Inside(slow)
    assert call(slow, inside=inside)[0] == 200
    assert [one[-1] for one in inside.noted] == [None]


def test_scores_that_would_wait_long_are_refused_and_reading_is_not():
    inside = Inside(echo)
    inside.turns = SimpleNamespace(full=True)
    status, headers, _ = call(echo, path="/score", inside=inside)
    assert (status, headers[b"retry-after"], inside.told) == (429, b"1", [("score", "POST", 429, None)])
    assert call(echo, path="/x", inside=inside)[0] == 200


def test_too_many_at_once_are_told_to_come_back():
    answers = call(slow, limits={"handler_seconds": 5}, times=4)
    assert sorted(status for status, _, _ in answers) == [200, 200, 429, 429]
    assert {headers.get(b"retry-after") for status, headers, _ in answers if status == 429} == {b"1"}


def test_an_error_of_ours_says_nothing_of_the_input(caplog):
    status, headers, body = call(failing)
    assert status == 500 and b"Nakamura" not in body and "Nakamura" not in caplog.text
    assert headers[b"content-type"] == b"application/problem+json"


def test_a_websocket_is_closed_and_the_life_of_the_app_passes():
    sent = []

    async def send(message):
        sent.append(message["type"])

    async def app(scope, receive, send):
        await send({"type": scope["type"]})

    door = Door(app, OPERATIONS, lambda: Inside(plain))
    asyncio.run(door({"type": "websocket"}, None, send))
    asyncio.run(door({"type": "lifespan"}, None, send))
    assert sent == ["websocket.close", "lifespan"]


def test_from_its_start_on_nothing_stands_before_it():
    """As BentoML hosts it: a Starlette app with layers of its own before ours."""
    seen = []

    class Before:
        def __init__(self, app):
            self._app = app

        async def __call__(self, scope, receive, send):
            seen.append(scope["type"])
            await self._app(scope, receive, send)

    inside, said = Inside(plain), []
    hosting = Starlette(middleware=[Middleware(Before), Middleware(Door, operations=OPERATIONS, inside=lambda: inside)])

    async def walk():
        ends = asyncio.Queue()
        for kind in ("startup", "shutdown"):
            ends.put_nowait({"type": f"lifespan.{kind}"})

        async def send(message):
            said.append(message["type"])

        await hosting({"type": "lifespan"}, ends.get, send)
        await hosting({"type": "http", "path": "/livez", "method": "GET", "headers": []}, None, send)

    asyncio.run(walk())
    assert seen == ["lifespan"]
    assert said == [
        "lifespan.startup.complete",
        "lifespan.shutdown.complete",
        "http.response.start",
        "http.response.body",
    ]


def test_places_of_unknown_keys_are_cut_before_they_repeat_the_input():
    found = [{"type": "extra_forbidden", "loc": ("customers", 3, "Nakamura"), "msg": "Extra inputs"}]
    (error,) = of_validation(found, ScoreRequest).errors
    assert error.path == "customers[3]" and "customer_id, changes" in error.message
