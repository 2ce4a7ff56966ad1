"""The log: one JSON object a line on stderr, with words of ours only; no inputs, ids or personal data."""

import itertools
import logging
import os
import re
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import orjson

log = logging.getLogger("tsunagi")
OURS = ("tsunagi", "bentoml.tsunagi")
PUT_IN = re.compile(r"%(\(\w+\))?[-+ #0-9.]*[sdrfxi]")
FOREIGN = ("bentoml", "uvicorn", "uvicorn.error", "uvicorn.access", "circus")


def event(event: str, level: int = logging.WARNING, **fields: str | float | bool | None) -> None:
    """A line about something that happened. ``fields``: fixed words, numbers, names of models or keys."""
    log.log(level, event, extra={"fields": fields})


def set_up() -> None:
    """Send every logger's lines to stderr as JSON; what libraries say goes through ``Discreet``."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Lines())
    handler.addFilter(Discreet())
    for name in FOREIGN:
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [], True
    logging.getLogger().handlers = [handler]
    log.setLevel(logging.INFO)
    log.handlers, log.propagate = [], True


class Lines(logging.Formatter):
    """A record as one line of JSON. A traceback is kept as places only."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        told = {"time": at, "level": record.levelname.lower(), "logger": record.name, "event": record.getMessage()}
        fields = {name: value for name, value in getattr(record, "fields", {}).items() if value is not None}
        return orjson.dumps(told | fields, default=str).decode()


class Discreet(logging.Filter):
    """Libraries log a traceback for every refused request, input and all. Keep which error and where, never what.

    Of a line that is not ours the words stay and what was to be put into them goes: it may be a path.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            if refused(error):
                return False
            record.msg, record.args, record.exc_info = "%s at %s", (type(error).__name__, place(error)), None
        elif record.name not in OURS:
            record.msg, record.args = PUT_IN.sub("…", str(record.msg)), None
        record.exc_text = record.stack_info = None
        return True


def refused(error: BaseException) -> bool:
    """Whether an error is a request's fault, which is answered and counted elsewhere."""
    names = {one.__name__ for one in type(error).__mro__}
    return not names.isdisjoint({"ValidationError", "BentoMLException", "Refusal"})


def place(error: BaseException) -> str:
    """``file.py:12`` of where an error was raised."""
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    return f"{Path(frame.tb_frame.f_code.co_filename).name}:{frame.tb_lineno}" if frame else "unknown"


class Requests:
    """One line for each request that was refused or failed, at most ``per_second``; says how many it left out."""

    def __init__(self, per_second: int = 20, ticks: Callable[[], float] = time.monotonic):
        self._most, self._ticks = per_second, ticks
        self._second, self._told, self._left_out = 0, 0, 0
        self._lock = threading.Lock()

    def line(
        self, operation: str, method: str, status: int, seconds: float, owner: str | None, request_id: str
    ) -> None:
        """owner: the name of the key, if one was known by then."""
        with self._lock:
            second = int(self._ticks())
            if second != self._second:
                self._second, self._told = second, 0
            if self._told >= self._most:
                self._left_out += 1
                return
            self._told += 1
            left_out, self._left_out = self._left_out or None, 0
        event(
            "request",
            logging.ERROR if status >= 500 else logging.INFO,
            operation=operation,
            method=method,
            status=status,
            ms=round(seconds * 1000, 1),
            owner=owner,
            request=request_id,
            left_out=left_out,
        )


_prefix, _numbers = os.urandom(4).hex(), itertools.count(1)


def request_id() -> str:
    """A short name for a request, never the caller's own."""
    return f"{_prefix}-{next(_numbers):x}"
