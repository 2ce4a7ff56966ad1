"""What one worker of the service holds: what is served, who may come in, what is counted and written down."""

import logging
import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import orjson

from features import config as configs
from features.errors import InputError
from serving import environment, problem
from serving.config import ServingConfig
from serving.guards import logs
from serving.guards.audit import Audit
from serving.guards.guard import Guard
from serving.guards.metrics import Metrics, Shown
from serving.http import api
from serving.http.api import OPERATIONS
from serving.http.operations import Entered, Operation
from serving.life.live import Live
from serving.scores import online
from serving.scores.schema import ScoreRequest
from serving.scores.turns import Turns, Work
from serving.stores import opened

QUIET = ("metrics", "openapi", "limits", "models", "card")


def now() -> datetime:
    """The present, UTC without zone."""
    return datetime.now(UTC).replace(tzinfo=None)


def configured() -> ServingConfig:
    """The config that TSUNAGI_CONFIG names; makes its home.

    Ends the process with one line when there is none, it is wrong, or its home cannot be written.
    """
    try:
        path = environment.read().config
    except InputError as error:
        raise SystemExit(f"error: {error}") from None
    if path is None or path == Path():
        raise SystemExit("TSUNAGI_CONFIG is not set; set it to a serving.yaml, such as configs/saas/serving.yaml")
    try:
        config = configs.load(path, ServingConfig)
    except InputError as error:
        raise SystemExit(f"error: TSUNAGI_CONFIG: {error}") from None
    with suppress(OSError):
        config.home.mkdir(parents=True, exist_ok=True)
    if not os.access(config.home, os.W_OK):
        raise SystemExit(
            f"error: {config.home}: cannot be made or written; let TSUNAGI_WORKSPACE name a folder that can"
        )
    return config


def owned(config: ServingConfig) -> None:
    """End the process with one line where the store is another data set's; a request will see to it again."""
    try:
        opened.check(config)
    except InputError as error:
        raise SystemExit(f"error: {error}") from None


# Scoring shares the interpreter with threads that read the store; to get it back it would wait the usual 5 ms.
SWITCH_SECONDS = 0.0005


class Worker:
    """Made once per process, after it was forked: it starts threads and opens files of its own."""

    def __init__(self, config: ServingConfig):
        logs.set_up()
        sys.setswitchinterval(SWITCH_SECONDS)
        self.config, self.limits = config, config.limits
        self.turns = Turns(self.limits.wait_seconds)
        self.live, self._audit = Live(config, now), Audit(config.home)
        self._guard = Guard(self.live.engine, config.home, now)
        self._metrics = Metrics(config.home, (one.name for one in OPERATIONS), config.models)
        self._requests = logs.Requests()
        self.read = api.app(self.live, now, self._rendered)
        self.live.start()
        self._guard.start()

    def close(self) -> None:
        """Stop the threads and bring what was written down to the disk."""
        self.live.stop()
        self._guard.stop()
        self._audit.close()

    def enter(self, key: str, operation: Operation | None) -> str:
        """The owner of a key that may do this. Raises Refusal: 401, 403, 429, 503."""
        return self._guard.enter(key, operation.scope if operation else None)

    async def score(self, body: bytes, owner: str) -> bytes:
        """The answer to POST /score, once it is written down. Raises Refusal."""
        return await self.turns.through(self._scored(body, owner))

    def _scored(self, body: bytes, owner: str) -> Work:
        request = problem.read(ScoreRequest, body)
        told: dict[str, None] = {}

        def noted(model: str, version: str, statuses: Iterable[str], scores: Iterable[float]) -> None:
            told[model] = None
            self._metrics.scored(model, statuses, scores)

        answer = yield from online.work(self.live, request, noted)
        customers = [one.customer_id for one in request.customers]
        for model in told:
            self._audit.write(now(), owner, "score", model, customers)
        return answer

    def note(self, entered: Entered, body: bytes, refused: int | None = None) -> None:
        """Write down who reads or changes what, or with which status that was refused. Raises Refusal."""
        name = entered.operation.name
        if name in QUIET:
            return
        asked = dict(parse_qsl(entered.query.decode("latin-1")))
        customers = _named(entered, asked, body)
        if name == "erasure" and refused in (409, 503) and self._left_out(customers):  # the rest of it waits
            name, refused = "erasure.unfinished", None
        model = entered.parameters.get("model") or asked.get("model")
        known = model if model in self.config.models else None
        self._audit.write(now(), entered.owner, name, known, customers, refused=refused)

    def _left_out(self, customers: Iterable[str]) -> bool:
        """Whether a tombstone stands; not known counts as no."""
        try:
            erased = self.live.erased()
        except problem.Refusal:
            return False
        return any(customer in erased for customer in customers)

    def ended(self, operation: str, method: str, status: int, seconds: float, owner: str | None) -> None:
        """Count an answer; a line in the log when it is an error."""
        self._metrics.observe(operation, method, status, seconds)
        if status >= 400 and operation != "ready":
            self._requests.line(operation, method, status, seconds, owner, logs.request_id())

    def failed(self, operation: str, error: BaseException) -> None:
        """Where it went wrong, never on what."""
        logs.event("failed", logging.ERROR, operation=operation, error=type(error).__name__, place=logs.place(error))

    def _rendered(self) -> bytes:
        served = {model: self.live.get(model) for model in self.config.models}
        age = self.live.age_days
        shown = [Shown(m, s.bundle.version, age(s), bool(s.stale)) for m, s in served.items() if s]
        return self._metrics.render(shown, stale=bool(self._guard.stale))


def _named(entered: Entered, asked: dict[str, str], body: bytes) -> list[str]:
    """The customer that the address, the query or the body is about."""
    found: Any = entered.parameters.get("customer_id") or asked.get("customer_id")
    if found is None and body:
        try:
            content = orjson.loads(body)
            found = content.get("customer_id") if isinstance(content, dict) else None
        except ValueError:
            found = None
    return [found] if isinstance(found, str) else []
