"""The BentoML service: hosts both doors. The only file that imports bentoml.

Start it with ``TSUNAGI_CONFIG=configs/saas/serving.yaml bentoml serve serving.service:Tsunagi``.
"""

import logging
import os
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path

import bentoml
from bentoml.exceptions import BentoMLException
from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from features import config as configs
from features.errors import InputError
from serving import api, auth, online
from serving.config import ServingConfig
from serving.door import Door
from serving.live import Live
from serving.problem import Refusal
from serving.schema import ScoreRequest, ScoreResponse

UNLIMITED_SECONDS = 3600


class Refused(BentoMLException):
    """BentoML passes on an exception's text only, so the text is the whole problem; the door unpacks it."""

    def __init__(self, refusal: Refusal):
        super().__init__(refusal.problem.text())
        self.error_code = HTTPStatus(refusal.problem.status)


class Discreet(logging.Filter):
    """BentoML logs a traceback for every 4xx, input and all. Drop those; of others keep where, never what."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, ValidationError | BentoMLException):
            return False
        if error is not None and error.__traceback__ is not None:
            frame = error.__traceback__
            while frame.tb_next is not None:
                frame = frame.tb_next
            place = f"{Path(frame.tb_frame.f_code.co_filename).name}:{frame.tb_lineno}"
            record.msg, record.args, record.exc_info = "%s at %s", (type(error).__name__, place), None
        return True


def _configured() -> ServingConfig:
    path = os.environ.get("TSUNAGI_CONFIG")
    if not path:
        raise SystemExit("TSUNAGI_CONFIG is not set; set it to a serving.yaml, such as configs/saas/serving.yaml")
    try:
        return configs.load(Path(path), ServingConfig)
    except InputError as error:
        raise SystemExit(f"error: {error}") from None


settings = _configured()
live = Live(settings)
reader = api.app(live)
logging.getLogger("bentoml._internal.server.http_app").addFilter(Discreet())


def guard(key: str) -> str | None:
    """The owner of a valid key. Raises Refusal while the store cannot be read."""
    try:
        with Session(live.engine) as session:
            return auth.owner(session, key, datetime.now(UTC).replace(tzinfo=None))
    except SQLAlchemyError:
        raise Refusal(503, "the store cannot be read now; try again soon", retry_after="5") from None


class Doors:
    """Which customers are likely to leave or to buy more, and why."""

    def __init__(self) -> None:
        live.why_not()

    @bentoml.api(route="/score")
    def score(self, request: ScoreRequest, /) -> ScoreResponse:
        """Score customers by id, as they are or with some features changed; up to 1,000 rows, order kept."""
        try:
            return online.answer(live, request)
        except Refusal as refusal:
            raise Refused(refusal) from None


Tsunagi = bentoml.service(
    name="tsunagi",
    workers=1,
    traffic={"timeout": UNLIMITED_SECONDS},
    http={"host": "127.0.0.1"},
    metrics={"enabled": False},
    logging={"access": {"enabled": False}},
)(Doors)
Tsunagi.add_asgi_middleware(Door, open_app=reader, guard=guard, limits=settings.limits)
Tsunagi.mount_asgi_app(reader, path="/")
