"""One ASGI middleware before both doors: keys, content type, size, time, concurrency, one shape of error."""

import asyncio
import json
import logging
import traceback
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from starlette.datastructures import Headers

from serving.config import Limits
from serving.problem import MEDIA_TYPE, Problem, Refusal, of_validation, parsed

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
OPEN_PATHS = ("/livez", "/readyz")
WITH_BODY = ("POST", "PUT", "PATCH", "DELETE")
log = logging.getLogger("bentoml.tsunagi")


class Reply:
    """Passes an answer on; one that is an error in another shape is held back and sent as a problem."""

    def __init__(self, send: Send):
        self._send = send
        self._held: list[bytes] | None = None
        self._status = 0
        self.begun = False
        self.muted = False

    async def __call__(self, message: Message) -> None:
        if self.muted:
            return
        if message["type"] == "http.response.start":
            foreign = not Headers(raw=message["headers"]).get("content-type", "").startswith(MEDIA_TYPE)
            if message["status"] >= 400 and foreign:
                self._held, self._status = [], message["status"]
                return
        if self._held is None:
            self.begun = True
            await self._send(message)
            return
        self._held.append(message.get("body", b""))
        if not message.get("more_body"):
            await self.problem(translated(self._status, b"".join(self._held)))

    async def problem(self, problem: Problem) -> None:
        """Send a problem, once."""
        if self.begun or self.muted:
            return
        self.begun, body = True, problem.text().encode()
        headers = {"content-type": MEDIA_TYPE, "content-length": str(len(body)), **problem.headers}
        raw = [(name.encode(), value.encode()) for name, value in headers.items()]
        await self._send({"type": "http.response.start", "status": problem.status, "headers": raw})
        await self._send({"type": "http.response.body", "body": body})


class Door:
    """``guard`` gives the owner of a key or None, in a thread; ``open_app`` answers what needs no key."""

    def __init__(self, app: App, open_app: App, guard: Callable[[str], str | None], limits: Limits):
        self._app, self._open_app, self._guard, self._limits = app, open_app, guard, limits
        self._running: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        reply = Reply(send)
        try:
            if scope["path"] in OPEN_PATHS:
                await self._open_app(scope, receive, reply)
            else:
                await self._enter(scope, receive, reply)
        except Refusal as refusal:
            await reply.problem(refusal.problem)
        except Exception as error:
            log.error("%s in a request\n%s", type(error).__name__, "".join(traceback.format_tb(error.__traceback__)))
            await reply.problem(Problem(500, "an error of ours; the service's log says where"))

    async def _enter(self, scope: Scope, receive: Receive, reply: Reply) -> None:
        headers = Headers(scope=scope)
        await self._check_key(headers)
        if len(self._running) >= self._limits.concurrency:
            raise Refusal(429, "too many requests at once; try again soon", retry_after="1")
        if scope["method"] in WITH_BODY:
            receive = replay(await self._body(headers, receive), receive)
        task = asyncio.ensure_future(self._app(scope, receive, reply))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        await asyncio.wait({task}, timeout=self._limits.handler_seconds)
        if not task.done() and not reply.begun:
            slow = f"no answer within {self._limits.handler_seconds:g} seconds; ask for fewer rows or try again"
            await reply.problem(Problem(503, slow, headers={"retry-after": "5"}))
            reply.muted = True
            task.add_done_callback(_quietly)
        else:
            await task

    async def _check_key(self, headers: Headers) -> None:
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        key = headers.get("x-api-key") or (bearer.strip() if scheme.lower() == "bearer" else "")
        owner = await asyncio.to_thread(self._guard, key) if key else None
        if owner is None:
            detail = "a valid API key is needed, in the header X-API-Key or Authorization: Bearer"
            raise Refusal(401, detail, www_authenticate="Bearer")

    async def _body(self, headers: Headers, receive: Receive) -> bytes:
        kind, _, parameters = headers.get("content-type", "").partition(";")
        charset = parameters.replace('"', "").replace(" ", "").lower()
        if kind.strip().lower() != "application/json" or charset not in ("", "charset=utf-8"):
            raise Refusal(415, "the body must be JSON in UTF-8: Content-Type: application/json")
        if headers.get("content-encoding", "identity").lower() != "identity":
            raise Refusal(415, "a compressed body is not taken; send it plain")
        try:
            async with asyncio.timeout(self._limits.body_seconds):
                return await self._read(headers, receive)
        except TimeoutError:
            raise Refusal(408, f"the body did not arrive within {self._limits.body_seconds:g} seconds") from None

    async def _read(self, headers: Headers, receive: Receive) -> bytes:
        body, more, limit = bytearray(), True, self._limits.body_bytes
        announced = headers.get("content-length", "0")
        while more and len(body) <= limit and not (announced.isdigit() and int(announced) > limit):
            message = await receive()
            if message["type"] == "http.disconnect":
                raise Refusal(400, "the connection ended before the body did")
            body += message.get("body", b"")
            more = message.get("more_body", False)
        if more or len(body) > limit:
            raise Refusal(413, f"the body is over {limit:,} bytes; send fewer customers at a time")
        return bytes(body)


def replay(body: bytes, receive: Receive) -> Receive:
    """A receive that gives the body already read, then whatever comes after it."""
    waiting = [body]

    async def again() -> Message:
        return {"type": "http.request", "body": waiting.pop(), "more_body": False} if waiting else await receive()

    return again


def translated(status: int, body: bytes) -> Problem:
    """An error of BentoML or Starlette as a problem, with the places its validation or our refusal named."""
    try:
        content = json.loads(body)
    except ValueError:
        content = None
    if isinstance(content, list) and content and isinstance(content[0], dict):
        content = content[0]
    if isinstance(content, dict) and isinstance(content.get("detail"), list):
        return of_validation(content["detail"])
    if isinstance(content, dict) and isinstance(content.get("error"), str):
        return parsed(content["error"]) or Problem(status, PLAIN.get(status, UNNAMED))
    return Problem(status, PLAIN.get(status, UNNAMED))


UNNAMED = "the request cannot be answered"
PLAIN = {
    404: "there is nothing at this address",
    405: "this address does not take this method",
    500: "an error of ours; the service's log says where",
    503: "not ready; GET /readyz says why",
}


def _quietly(task: asyncio.Task[None]) -> None:
    """Take the error of a request nobody waits for any more."""
    if not task.cancelled() and task.exception() is not None:
        log.error("%s in a request that had run out of time", type(task.exception()).__name__)
