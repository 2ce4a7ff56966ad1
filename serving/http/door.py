"""One ASGI middleware before everything: address, key, size, time, load, one shape of error, what is written down."""

import asyncio
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Protocol

from starlette.datastructures import Headers

from serving.config import Limits
from serving.guards import safety
from serving.guards.auth import key_of
from serving.http import questions
from serving.http.operations import Entered, Found, Operation, Operations, path_of
from serving.problem import MEDIA_TYPE, Problem, Refusal
from serving.scores.turns import Turns

Request = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Request, Receive, Send], Awaitable[None]]
OURS = "an error of ours; the service's log says where"
STORED_NOWHERE = [*safety.HEADERS, safety.NO_STORE]


class Inside(Protocol):
    """What works behind the door: see ``serving.worker``."""

    limits: Limits
    turns: Turns

    def enter(self, key: str, operation: Operation | None) -> str:
        """The owner of a key that may do this. Raises Refusal."""

    async def score(self, body: bytes, owner: str) -> bytes:
        """The answer to POST /score. Raises Refusal."""

    async def read(self, scope: Request, receive: Receive, send: Send) -> None:
        """Answer any other operation."""

    def note(self, entered: Entered, body: bytes, refused: int | None = None) -> None:
        """Write down, before it is answered, who asks for what; after it, that a change was refused. Raises Refusal."""

    def ended(self, operation: str, method: str, status: int, seconds: float, owner: str | None) -> None:
        """An answer was given."""

    def failed(self, operation: str, error: BaseException) -> None:
        """An answer could not be given, and it is our fault."""


class Reply:
    """Passes an answer on with the headers that every answer has, and remembers how it began."""

    def __init__(self, send: Send):
        self._send = send
        self.status = 0
        self.muted = False

    async def __call__(self, message: Message) -> None:
        if self.muted:
            return
        if message["type"] == "http.response.start":
            self.status = message["status"]
            cached = any(name == b"cache-control" for name, _ in message["headers"])
            more = safety.HEADERS if cached else STORED_NOWHERE
            message = {**message, "headers": [*message["headers"], *more]}
        await self._send(message)

    async def whole(self, status: int, media_type: str, body: bytes, headers: dict[str, str] | None = None) -> None:
        """Send an answer of one piece, unless one has begun."""
        if self.status:
            return
        named = {"content-type": media_type, "content-length": str(len(body)), **(headers or {})}
        raw = [(name.encode(), value.encode()) for name, value in named.items()]
        await self({"type": "http.response.start", "status": status, "headers": raw})
        await self({"type": "http.response.body", "body": body})

    async def problem(self, problem: Problem) -> None:
        """Send a problem, unless an answer has begun."""
        await self.whole(problem.status, MEDIA_TYPE, problem.text().encode(), dict(problem.headers))


class Door:
    """Everything is answered here; the app of BentoML gets its start and its end only, and what stood before this goes.

    inside: makes what works behind the door, once, when the worker starts.
    """

    def __init__(self, app: App, operations: Operations, inside: Callable[[], Inside]):
        self._app, self._operations = app, operations
        self._inside, self._running = inside(), 0
        self._limits = self._inside.limits

    async def __call__(self, scope: Request, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            if "app" in scope:
                # What BentoML puts before this keeps a timer and five objects per request until its timeout, answered
                # or not: soon so many that looking through them for garbage stops every answer for 0.1 seconds.
                scope["app"].middleware_stack = self
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1008})
            return
        began, reply, owner = time.perf_counter(), Reply(send), None
        found = self._operations.find(scope["method"], path_of(scope))
        name = found.operation.name if found.operation else "unknown"
        try:
            owner = await self._admitted(found, scope, receive, reply)
        except Refusal as refusal:
            await reply.problem(refusal.problem)
        except Exception as error:
            self._inside.failed(name, error)
            await reply.problem(Problem(500, OURS))
        finally:
            self._inside.ended(name, scope["method"], reply.status, time.perf_counter() - began, owner)

    async def _admitted(self, found: Found, scope: Request, receive: Receive, reply: Reply) -> str | None:
        """Answer, unless there is too much to do."""
        operation = found.operation
        if operation is not None and operation.scope is None:
            scope["tsunagi"] = Entered(operation, found.parameters, "")
            await self._inside.read(scope, receive, reply)
            return None
        late = operation is not None and operation.name == "score" and self._inside.turns.full
        if late or self._running >= self._limits.concurrency:
            raise Refusal(429, "too many requests at once; try again soon", retry_after="1")
        self._running += 1
        try:
            return await self._entered(found, scope, receive, reply)
        finally:
            self._running -= 1

    async def _entered(self, found: Found, scope: Request, receive: Receive, reply: Reply) -> str:
        operation = found.operation
        owner = self._inside.enter(key_of(scope["headers"]), operation)
        if operation is None:
            raise found.nothing()
        body = await self._body(Headers(scope=scope), receive) if operation.body is not None else b""
        if operation.name == "score":
            if operation.query is not None and scope.get("query_string"):
                questions.query(operation.query, scope["query_string"])
            await reply.whole(200, "application/json", await self._inside.score(body, owner))
            return owner
        entered = scope["tsunagi"] = Entered(operation, found.parameters, owner, scope.get("query_string", b""))
        self._inside.note(entered, body)
        await self._read(scope, replay(body, receive) if operation.body is not None else receive, reply)
        if operation.method != "GET" and reply.status >= 400:
            self._inside.note(entered, body, reply.status)
        return owner

    async def _read(self, scope: Request, receive: Receive, reply: Reply) -> None:
        """The answer of the app; that of a reader only if it begins in time, for a change is made all the same."""
        if scope["method"] not in ("GET", "HEAD"):
            await self._inside.read(scope, receive, reply)
            return
        task = asyncio.ensure_future(self._inside.read(scope, receive, reply))
        await asyncio.wait({task}, timeout=self._limits.handler_seconds)
        if task.done() or reply.status:
            await task
            return
        seconds = f"{self._limits.handler_seconds:g} seconds"
        await reply.problem(Problem(503, f"no answer within {seconds}; ask for less", headers={"retry-after": "5"}))
        reply.muted = True
        self._running += 1
        task.add_done_callback(self._late)

    def _late(self, task: asyncio.Task[None]) -> None:
        self._running -= 1
        _ = task.cancelled() or task.exception()

    async def _body(self, headers: Headers, receive: Receive) -> bytes:
        kind, _, parameters = headers.get("content-type", "").partition(";")
        charset = parameters.replace('"', "").replace(" ", "").lower()
        if kind.strip().lower() != "application/json" or charset not in ("", "charset=utf-8"):
            raise Refusal(415, "the body must be JSON in UTF-8: Content-Type: application/json")
        if headers.get("content-encoding", "identity").lower() != "identity":
            raise Refusal(415, "a compressed body is not taken; send it plain")
        try:
            async with asyncio.timeout(self._limits.body_seconds):
                body = await self._whole(headers, receive)
        except TimeoutError:
            raise Refusal(408, f"the body did not arrive within {self._limits.body_seconds:g} seconds") from None
        if not safety.depth(body):
            raise Refusal(400, safety.TOO_DEEP)
        return body

    async def _whole(self, headers: Headers, receive: Receive) -> bytes:
        body, more, limit = b"", True, self._limits.body_bytes
        announced = headers.get("content-length", "0")
        while more and len(body) <= limit and not (announced.isdigit() and int(announced) > limit):
            message = await receive()
            if message["type"] == "http.disconnect":
                raise Refusal(400, "the connection ended before the body did")
            body += message.get("body", b"")
            more = message.get("more_body", False)
        if more or len(body) > limit:
            raise Refusal(413, f"the body is over {limit:,} bytes; send fewer customers at a time")
        return body


def replay(body: bytes, receive: Receive) -> Receive:
    """A receive that gives the body already read, then whatever comes after it."""
    waiting = [body]

    async def again() -> Message:
        return {"type": "http.request", "body": waiting.pop(), "more_body": False} if waiting else await receive()

    return again
