"""The middleware alone, before a small app of its own."""

import asyncio
import json

import pytest

from serving.config import Limits
from serving.door import Door, translated
from serving.problem import Refusal, of_validation, parsed

JSON = [(b"x-api-key", b"good"), (b"content-type", b"application/json")]
LIMITS = {"body_bytes": 1_000, "body_seconds": 0.2, "handler_seconds": 0.2, "concurrency": 2}


async def plain(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"open"})


def guard(key):
    if key == "locked":
        raise Refusal(503, "the store cannot be read now", retry_after="5")
    return "crm" if key == "good" else None


def call(app, headers=JSON, method="POST", messages=None, path="/x", limits=None, times=1):
    """Status, headers, body of what the door sends; ``times`` calls at once."""
    door = Door(app, open_app=plain, guard=guard, limits=Limits(**(LIMITS | (limits or {}))))

    async def one():
        waiting = list(messages or [{"type": "http.request", "body": b"{}", "more_body": False}])
        sent = []

        async def receive():
            if waiting:
                return waiting.pop(0)
            await asyncio.sleep(60)

        async def send(message):
            sent.append(message)

        await door({"type": "http", "path": path, "method": method, "headers": headers}, receive, send)
        body = b"".join(message.get("body", b"") for message in sent[1:])
        return sent[0]["status"], dict(sent[0]["headers"]), body

    async def all_of_them():
        return await asyncio.gather(*(one() for _ in range(times)))

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


def answering(status, body, content_type=b"application/json"):
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", content_type)]})
        await send({"type": "http.response.body", "body": body[:5], "more_body": True})
        await send({"type": "http.response.body", "body": body[5:]})

    return app


def test_a_body_in_parts_reaches_the_app_whole():
    parts = [
        {"type": "http.request", "body": b'{"a"', "more_body": True},
        {"type": "http.request", "body": b":1}"},
    ]
    assert call(echo, messages=parts)[2] == b'{"a":1}'


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
    status, headers, body = call(app)
    assert status == 503 and headers[b"retry-after"] == b"5" and "0.2 seconds" in json.loads(body)["detail"]


def test_too_many_at_once_are_told_to_come_back():
    answers = call(slow, limits={"handler_seconds": 5}, times=4)
    assert sorted(status for status, _, _ in answers) == [200, 200, 429, 429]
    assert {headers.get(b"retry-after") for status, headers, _ in answers if status == 429} == {b"1"}


def test_an_error_of_ours_says_nothing_of_the_input(caplog):
    status, _, body = call(failing)
    assert status == 500 and b"Nakamura" not in body and "Nakamura" not in caplog.text and "failing" in caplog.text


def test_foreign_errors_become_problems_and_answers_pass():
    status, headers, body = call(answering(418, b"I am a teapot", b"text/plain"))
    assert status == 418 and headers[b"content-type"] == b"application/problem+json"
    assert json.loads(body)["detail"] == "the request cannot be answered"
    assert call(answering(201, b"I am a teapot", b"text/plain"))[2] == b"I am a teapot"


def test_a_problem_in_an_exceptions_text_is_unpacked():
    problem = Refusal(422, "no", []).problem
    assert translated(422, json.dumps([{"error": problem.text()}]).encode()) == problem
    assert translated(400, b'{"error": "secret"}').detail == "the request cannot be answered"
    assert translated(400, b"[3]").status == 400 and parsed("3") is None


def test_a_websocket_is_closed_and_the_life_of_the_app_passes():
    sent = []

    async def send(message):
        sent.append(message["type"])

    async def app(scope, receive, send):
        await send({"type": scope["type"]})

    door = Door(app, plain, guard, Limits())
    asyncio.run(door({"type": "websocket"}, None, send))
    asyncio.run(door({"type": "lifespan"}, None, send))
    assert sent == ["websocket.close", "lifespan"]


def test_places_of_unknown_keys_are_cut_before_they_repeat_the_input():
    found = [{"type": "extra_forbidden", "loc": ("customers", 3, "Nakamura"), "msg": "Extra inputs"}]
    (error,) = of_validation(found).errors
    assert error.path == "customers[3]" and "customer_id, changes" in error.message
