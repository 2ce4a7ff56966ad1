"""The BentoML service: hosts the doors. The only file that imports bentoml.

Start it with ``TSUNAGI_CONFIG=configs/saas/serving.yaml bentoml serve serving.service:Tsunagi``.

Every request is answered by ``Door``, before BentoML's own endpoints: those cost more than an answer of ours. What the
service declares here is what BentoML's tools and clients read, and calls the same function.
"""

from functools import cache

import bentoml

from features.errors import InputError
from serving import environment, online
from serving.api import OPERATIONS
from serving.door import Door
from serving.operations import Operations
from serving.schema import ScoreAnswer, ScoreRequest
from serving.worker import Worker, configured

# BentoML keeps a timer per request for as long as this, answered or not; with tracing it would keep a span as long.
PATIENCE_SECONDS = 90


@cache
def worker() -> Worker:
    """The one of this process."""
    return Worker(configured())


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

    @bentoml.api(route="/score")
    async def score(self, request: ScoreRequest, /) -> ScoreAnswer:
        """Score customers as they are, with some features changed, or by their events; order kept."""
        return ScoreAnswer(online.answer(worker().live, request))


Tsunagi = bentoml.service(
    name="tsunagi",
    workers=workers(),
    traffic={"timeout": PATIENCE_SECONDS},
    tracing={"excluded_urls": ".*"},
    http={"host": "127.0.0.1"},
    metrics={"enabled": False},
    logging={"access": {"enabled": False}},
)(Doors)
Tsunagi.add_asgi_middleware(Door, operations=Operations(OPERATIONS), inside=worker)
