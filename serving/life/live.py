"""What is served right now: the champion's bundle on the published list, followed without a restart."""

import logging
import os
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Engine

from features.erased import Erased
from features.errors import InputError
from serving.config import ServingConfig
from serving.guards import logs
from serving.life.takeover import Served
from serving.life.watched import Watched
from serving.problem import Refusal
from serving.stores import good, store
from serving.words import sentences

__all__ = ["Live", "Served"]

LOOK_SECONDS, LATE_SECONDS = 1.0, 15.0
UNKNOWN = "who was erased cannot be read; the service's operator must put erased.json back"
STATES = ("not_ready", "degraded", "ready")


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)


class Live:
    """Looks once a second for a new champion or list, in a thread of its own; requests only read one reference.

    clock: the present as UTC without zone, for what readiness tells; what waits, waits by a clock that never jumps.
    """

    def __init__(self, config: ServingConfig, clock: Callable[[], datetime] = _now):
        self.config = config
        self.engine: Engine = store.connect(config.store_url, config.data.name)
        self._clock = clock
        self._models = {model: Watched(config, self.engine, model, clock) for model in config.models}
        self._erased: Erased | None = None
        self._known = True
        self._file: tuple[int, int] | None = None
        self._looked: float | None = None
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()

    def start(self) -> None:
        """Look, then go on looking until ``stop``."""
        if self._thread is None:
            self.look()
            self._thread = threading.Thread(target=self._follow, name="follow", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def get(self, model: str) -> Served | None:
        """What is served for a model; None when nothing is. Once started it touches no file, table or lock."""
        found = self._watched().get(model)
        return found.served if found else None

    def erased(self) -> Erased:
        """Who was erased, as of now: one look at a file. Raises Refusal while it was never known."""
        try:
            self._erased = (Erased.of(self.config.home) if self._erased is None else self._erased).fresh()
        except InputError:
            raise Refusal(503, UNKNOWN, retry_after="5") from None
        return self._erased

    def age_days(self, served: Served) -> int:
        """From the list's as-of date to today in the zone of the data."""
        today = self._clock().replace(tzinfo=UTC).astimezone(self.config.data.zone).date()
        return (today - served.run.as_of).days

    def why_not(self) -> dict[str, str]:
        """Model -> why it cannot be served, in words; empty when every model is served."""
        return {model: own.why_not for model, own in self._watched().items() if own.served is None}

    def ready(self) -> tuple[bool, dict[str, Any]]:
        """Whether every model is served, and the state of each: ready, not_ready, or degraded where ``stale`` says why.

        reason: what concerns all of them; None when nothing does.
        """
        models = {model: self._state(own) for model, own in self._watched().items()}
        late = time.monotonic() - (self._looked or 0.0)
        common, reason = self._common(late)
        status = next(one for one in STATES if one in {common, *(own["status"] for own in models.values())})
        said = {"status": status, "reason": reason, "looked_seconds_ago": round(late), "models": models}
        return status != "not_ready", said

    def look(self) -> None:
        """Look at everything once. What goes wrong is told and tried again; it never ends the thread."""
        registry = good.followed(self.config.home)
        self._let_go()
        for model, own in self._models.items():
            try:
                own.look(registry.get(model, {}).get("problem"))
            except Exception as error:
                own.failed(error)
        state, _ = self._common(0.0)
        if state != "ready" and self._known:
            logs.event("erased.unreadable", logging.ERROR)
        self._known, self._looked = state == "ready", time.monotonic()

    def _common(self, late: float) -> tuple[str, str | None]:
        """The state of what all models need, and why."""
        try:
            if not self.erased().current:
                return "degraded", f"{UNKNOWN}; those known before count"
        except Refusal:
            return "not_ready", UNKNOWN
        return ("degraded", "nothing was looked at for too long") if late > LATE_SECONDS else ("ready", None)

    def _let_go(self) -> None:
        """Close the connections to a SQLite file that was moved or replaced: they would go on reading the old one."""
        if self.engine.url.get_backend_name() != "sqlite":
            return
        try:
            found = os.stat(self.engine.url.database or "")
            file = found.st_dev, found.st_ino
        except OSError:
            file = None
        if file is None or file != self._file:
            self._file = file
            self.engine.dispose()

    def _watched(self) -> dict[str, Watched]:
        if self._looked is None:
            self.look()
        return self._models

    def _follow(self) -> None:
        while not self._stop.wait(LOOK_SECONDS):
            try:
                self.look()
            except Exception as error:  # readiness tells how long ago the last look was; the next one is in a second
                logs.event("look.failed", logging.ERROR, error=type(error).__name__, place=logs.place(error))

    def _state(self, own: Watched) -> dict[str, Any]:
        served, since = own.served, own.since
        if served is None:
            return {"status": "not_ready", "reason": own.why_not}
        state = {
            "status": "degraded" if served.stale else "ready",
            "as_of": served.run.as_of.isoformat(),
            "age_days": self.age_days(served),
            "model_version": served.bundle.version,
            "stale": served.stale,
        }
        if served.stale and since:
            reason = sentences.words("en")["stale"][served.stale]
            state |= {"reason": reason, "since": f"{since.isoformat(timespec='seconds')}Z"}
        return state
