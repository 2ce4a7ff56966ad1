"""The reading and the writing door: all operations of the service, and the small ASGI app that answers."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from datetime import UTC, datetime
from functools import partial
from typing import Any

from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from serving.http import answers, cards, changed, listing, overviews, questions, reading, writing
from serving.http.operations import Entered, Operation, Operations, path_of
from serving.http.replies import JSON, Ask, Unchanged, bodiless, chosen, plain, refused, unchanged
from serving.life.live import Live
from serving.problem import Detail, Refusal
from serving.scores import schema

AT_ONCE = ("live", "ready")  # without a thread: all of them may be waiting for the store
LISTS = 2  # how many pieces of lists are made at a time: they are long, and every one more takes its share from scoring
WRITES = 4  # threads of changes: each may wait long for its turn in the store, where reading waits for nobody
CUSTOMER, LIST = "/v1/customers/{customer_id}", "/v1/risk-lists/{model}/{as_of}"
LISTED, CARD = "/v1/risk-lists", "/v1/models/{model}/card"
PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"
log = logging.getLogger("bentoml.tsunagi")

OPERATIONS = (
    Operation("live", "GET", "/livez", None, "The process answers", media=("text/plain",)),
    Operation("ready", "GET", "/readyz", None, "Every model can be served", answer=overviews.Ready, statuses=(503,)),
    Operation("metrics", "GET", "/metrics", "read", "Figures for Prometheus", media=("text/plain",)),
    Operation("openapi", "GET", "/openapi.json", "read", "This description", answer=overviews.Description),
    Operation(
        "score", "POST", "/score", "score", "Score customers, with reasons",
        query=questions.Query, body=schema.ScoreRequest, answer=schema.ScoreAnswer, statuses=(422, 503),
    ),
    Operation(
        "customer", "GET", CUSTOMER, "read", "A customer: the newest word of every model, contacts, scores before",
        query=questions.OfCustomer, answer=answers.Customer, statuses=(404, 422, 503),
    ),
    Operation(
        "history", "GET", f"{CUSTOMER}/history", "read", "All published scores of a customer, newest first",
        query=questions.OfHistory, answer=answers.History, statuses=(404, 422, 503),
    ),
    Operation(
        "changes", "GET", f"{CUSTOMER}/changes", "read", "Why the score is another one than on the list before",
        query=questions.OfChanges, answer=answers.Changes, statuses=(404, 422, 503),
    ),
    Operation(
        "erasure", "DELETE", CUSTOMER, "admin", "Forget a customer everywhere", query=questions.Query,
        answer=overviews.Receipt, statuses=(404, 409, 422, 503),
    ),
    Operation(
        "lists", "GET", LISTED, "read", "Which lists are published, newest first",
        query=questions.OfLists, answer=overviews.Lists, statuses=(422, 503),
    ),
    Operation(
        "list", "GET", LIST, "read", "A list, whole or page by page", query=questions.OfList, answer=answers.List,
        media=(JSON, listing.CSV, listing.XLSX), statuses=(404, 410, 422, 503),
    ),
    Operation(
        "models", "GET", "/v1/models", "read", "What is served for every model", query=questions.Spoken,
        answer=overviews.Models, statuses=(422,),
    ),
    Operation(
        "card", "GET", CARD, "read", "The card of a model", query=questions.Spoken, answer=overviews.Card,
        statuses=(404, 422, 503),
    ),
    Operation(
        "limits", "GET", "/v1/limits", "read", "The numbers this service keeps", query=questions.Query,
        answer=overviews.Limits, statuses=(422, 503),
    ),
    Operation(
        "contact", "POST", "/v1/contacts", "write", "Say that a customer was contacted", query=questions.Query,
        body=questions.NewContact, answer=answers.Contacted, success=201, statuses=(404, 409, 422, 503),
        writes_once=True,
    ),
    Operation(
        "action", "POST", "/v1/actions", "write", "Say what was decided about a row", query=questions.Query,
        body=questions.NewAction, answer=answers.Acted, success=201, statuses=(404, 409, 422, 503), writes_once=True,
    ),
    Operation(
        "actions", "GET", "/v1/actions", "read", "What was decided, newest first", query=questions.OfActions,
        answer=overviews.Actions, statuses=(422, 503),
    ),
)  # fmt: skip


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)


class Api:
    """Answers every operation but ``score``, the worker's own. clock: the present as UTC without zone."""

    def __init__(self, live: Live, clock: Callable[[], datetime], figures: Callable[[], bytes] | None):
        self._live, self._clock, self._figures = live, clock, figures
        self._operations = Operations(OPERATIONS)
        self._lists = asyncio.Semaphore(LISTS)
        self._writers = ThreadPoolExecutor(WRITES, "writes")
        self._answers: dict[str, Callable[[Ask], Response]] = {
            "live": lambda ask: PlainTextResponse("ok\n"),
            "ready": self._ready,
            "metrics": self._metrics,
            "openapi": self._openapi,
            "customer": partial(reading.customer, live),
            "history": partial(reading.history, live),
            "changes": partial(changed.changes, live),
            "lists": partial(listing.lists, live),
            "list": partial(listing.one, live),
            "models": partial(cards.models, live),
            "card": partial(cards.card, live),
            "limits": partial(cards.limits, live),
            "actions": partial(writing.actions, live),
            "contact": lambda ask: writing.contact(live, ask, self._clock()),
            "action": lambda ask: writing.action(live, ask, self._clock()),
            "erasure": lambda ask: writing.erasure(live, ask, self._clock()),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        try:
            response = await self._answer(request)
        except Refusal as refusal:
            response = refused(refusal.problem)
        except Unchanged as same:
            response = unchanged(str(same))
        await (bodiless(response) if request.method == "HEAD" else response)(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        entered = self._entered(request)
        operation = entered.operation
        answer = self._answers[operation.name]
        raw = await request.body() if operation.body else b""
        ask = _ask(request, entered, raw)
        if operation.name in AT_ONCE:
            return answer(ask)
        try:
            if operation.method != "GET":
                return await self._changed(answer, ask)
            if operation.name != "list":
                return await asyncio.to_thread(answer, ask)
            async with self._lists:
                response = await asyncio.to_thread(answer, ask)
            if isinstance(response, StreamingResponse):
                response.body_iterator = self._piecewise(aiter(response.body_iterator))
            return response
        except SQLAlchemyError as error:
            log.error("%s while answering %s", type(error).__name__, operation.name)
            raise Refusal(503, "the store cannot be read now; try again soon", retry_after="5") from None

    async def _changed(self, answer: Callable[[Ask], Response], ask: Ask) -> Response:
        """A change, made in a thread of its own kind, so that no reader waits behind those who wait to write."""
        inside = copy_context()  # as asyncio.to_thread does: what is logged there names the request
        return await asyncio.get_running_loop().run_in_executor(self._writers, inside.run, answer, ask)

    async def _piecewise(self, pieces: AsyncIterator[Any]) -> AsyncIterator[Any]:
        """The same pieces, with others let in between."""
        while True:
            async with self._lists:
                try:
                    piece = await anext(pieces)
                except StopAsyncIteration:
                    return
            yield piece

    def _entered(self, request: Request) -> Entered:
        """What the door found; without a door it is found here. Raises Refusal: 404, 405."""
        entered = request.scope.get("tsunagi")
        if isinstance(entered, Entered):
            return entered
        found = self._operations.find(request.method, path_of(request.scope))
        if found.operation is None:
            raise found.nothing()
        return Entered(found.operation, found.parameters, "")

    def _ready(self, ask: Ask) -> Response:
        able, state = self._live.ready()
        if able:
            return plain(state)
        details = [Detail("", state["reason"])] if state["reason"] else []
        details += [Detail(model, reason) for model, reason in self._live.why_not().items()]
        raise Refusal(503, "not every model can be served; errors[] says why", details, retry_after="5")

    def _metrics(self, ask: Ask) -> Response:
        if self._figures is None:
            raise Refusal(503, "this process keeps no figures", retry_after="60")
        return Response(self._figures(), media_type=PROMETHEUS)

    def _openapi(self, ask: Ask) -> Response:
        from serving.http import openapi

        document = openapi.document(OPERATIONS, self._live.config.models)
        return plain(document, ask.tag(document))


def _ask(request: Request, entered: Entered, raw: bytes) -> Ask:
    """The request with its query, body and headers checked. Raises Refusal: 400, 406, 422."""
    operation = entered.operation
    query = questions.query(operation.query, request.scope.get("query_string", b"")) if operation.query else None
    form = getattr(query, "format", None)
    accept = listing.MEDIA[form] if form else request.headers.get("accept")
    media = chosen(accept, operation.media)
    body: Any = questions.body(operation.body, raw) if operation.body else None
    headers, path = request.headers, path_of(request.scope)
    return Ask(operation, entered.parameters, query, body, raw, entered.owner, path, headers, media)


def app(live: Live, clock: Callable[[], datetime] = _now, figures: Callable[[], bytes] | None = None) -> Api:
    """The ASGI app of the reading and the writing door. figures: what /metrics answers."""
    return Api(live, clock, figures)
