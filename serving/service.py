"""The BentoML service: hosts the doors. The only file that imports bentoml.

Start it with ``TSUNAGI_CONFIG=configs/saas/serving.yaml bentoml serve serving.service:Tsunagi``.

Every request is answered by ``Door``, before BentoML's own endpoints: those cost more than an answer of ours. What the
service declares here is what BentoML's tools and clients read, and calls the same function.
"""

import gc
import logging
import os
import time
from functools import cache
from pathlib import Path
from typing import Any

import bentoml
import orjson

from features.errors import InputError
from serving import environment, problem
from serving.guards import logs
from serving.http.api import OPERATIONS
from serving.http.door import Door
from serving.http.operations import Operations
from serving.scores import online
from serving.scores.schema import ScoreRequest
from serving.worker import Worker, configured, owned

START_AGAIN_SECONDS = 5.0


@cache
def worker() -> Worker:
    """The one of this process."""
    config = configured()
    try:
        made = Worker(config)
    except Exception as error:
        logs.event("not_started", logging.ERROR, error=type(error).__name__, place=logs.place(error))
        time.sleep(START_AGAIN_SECONDS)  # else BentoML starts the next one at once, again and again
        raise
    gc.collect()
    gc.freeze()  # to look through all that imports made takes a fifth of a second, in which nobody is answered
    return made


def workers() -> int:
    """How many processes answer."""
    try:
        return environment.read().workers
    except InputError as error:
        raise SystemExit(f"error: {error}") from None


class Doors:
    """Which customers are likely to leave or to buy more, and why."""

    def __init__(self) -> None:
        worker()

    @bentoml.on_shutdown
    def close(self) -> None:
        """BentoML stops this worker, having answered what was begun."""
        worker().close()

    @bentoml.on_deployment
    @staticmethod
    def check() -> None:
        """Once, before any worker: without a config each of them would end, and be started again, for ever.

        The workers of a Bento move to its source: for them the paths count from here all the same.
        """
        owned(configured())
        for variable, usual in (("TSUNAGI_CONFIG", ""), ("TSUNAGI_WORKSPACE", "workspace")):
            os.environ[variable] = str(Path(os.environ.get(variable) or usual).absolute())

    @bentoml.api(route="/score")
    async def score(self, request: dict[str, Any], /) -> dict[str, Any]:
        """Score customers as they are, with some features changed, or by their events; order kept.

        Plain objects: BentoML cannot write down our shapes in a Bento; GET /openapi.json has them.
        """
        asked = problem.read(ScoreRequest, orjson.dumps(request))
        answer: dict[str, Any] = orjson.loads(online.answer_bytes(worker().live, asked))
        return answer


Tsunagi = bentoml.service(
    name="tsunagi",
    workers=workers(),
    http={"host": "127.0.0.1"},
    metrics={"enabled": False},
    logging={"access": {"enabled": False}},
)(Doors)
Tsunagi.add_asgi_middleware(Door, operations=Operations(OPERATIONS), inside=worker)
