"""The guard at the door: which key may do what, how often, and what is known of the keys while the store is down."""

import hmac
import math
import os
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

import orjson
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from serving.guards import auth, logs
from serving.guards.auth import Known, Scope
from serving.problem import Refusal

LOOK_AGAIN_SECONDS, LATE_SECONDS = 1.0, 5.0
WRONG = "a valid API key is needed, in the header X-API-Key or Authorization: Bearer"
OLD = "the store cannot be read; API keys made or revoked since then do not count yet"


class Bucket:
    """Lets ``per_minute`` requests through at once and refills evenly, by a clock that never jumps."""

    def __init__(self, per_minute: int, ticks: Callable[[], float]):
        self.per_minute, self._ticks = per_minute, ticks
        self._left, self._at, self._lock = float(per_minute), ticks(), threading.Lock()

    def wait(self) -> float:
        """Take one; 0 when there was one, else the seconds until there is."""
        rate = self.per_minute / 60
        with self._lock:
            now = self._ticks()
            self._left = min(float(self.per_minute), self._left + (now - self._at) * rate)
            self._at = now
            if self._left < 1:
                return (1 - self._left) / rate
            self._left -= 1
            return 0.0


class Guard:
    """Knows the keys without asking the store: a thread reads them about once a second.

    While the store is down the last known keys count, from ``home/keys.json`` (hashes only) after a restart.
    """

    def __init__(
        self,
        engine: Engine,
        home: Path,
        clock: Callable[[], datetime],
        ticks: Callable[[], float] = time.monotonic,
    ):
        """clock: UTC without zone, for the end of a key; ticks: seconds that never jump, for rates."""
        self._engine, self._path, self._clock, self._ticks = engine, home / "keys.json", clock, ticks
        self._known: dict[str, tuple[Known, Bucket | None]] | None = None
        self._kept = b""
        self._read_at = -math.inf
        self._down = True
        self._stop = threading.Event()

    def start(self) -> None:
        """Read the keys once, then again and again until ``stop``."""
        if not self.read():
            self._known = self._stored()
        threading.Thread(target=self._follow, name="keys", daemon=True).start()

    def stop(self) -> None:
        """End the thread."""
        self._stop.set()

    @property
    def stale(self) -> str | None:
        """Why the keys may be old; None when they are not."""
        return OLD if self._down or self._ticks() - self._read_at > LATE_SECONDS else None

    def enter(self, key: str, scope: Scope | None) -> str:
        """The name of the key's owner; scope: what it must hold, None where any key will do.

        Raises Refusal 401, 403 or 429; 503 while no keys are known at all.
        """
        if self._known is None:
            raise Refusal(503, "the store cannot be read now; try again soon", retry_after="5")
        found = auth.hashed(key)
        known, bucket = self._known.get(found) or _refuse()
        if not hmac.compare_digest(known.hash, found) or (known.expires_at and known.ended(self._clock())):
            _refuse()
        if bucket is not None and (seconds := bucket.wait()):
            detail = f"this key may make {known.per_minute:,} requests a minute; slow down"
            raise Refusal(429, detail, retry_after=str(math.ceil(seconds)))
        if scope is not None and scope not in known.scopes:
            raise Refusal(403, f"this key may not do that: it lacks the scope {scope}")
        return known.name

    def read(self) -> bool:
        """Read the keys from the store; False when it cannot be read."""
        try:
            with Session(self._engine) as session:
                keys = auth.listed(session)
        except (SQLAlchemyError, OSError) as error:
            if not self._down:
                logs.event("keys.store_down", error=type(error).__name__)
            self._down = True
            return False
        self._take(keys)
        self._down, self._read_at = False, self._ticks()
        self._keep(keys)
        return True

    def _follow(self) -> None:
        while not self._stop.wait(LOOK_AGAIN_SECONDS):
            self.read()

    def _take(self, keys: Iterable[Known]) -> None:
        before, taken = self._known or {}, {}
        for key in keys:
            bucket = before[key.hash][1] if key.hash in before else None
            if bucket is None or bucket.per_minute != key.per_minute:
                bucket = Bucket(key.per_minute, self._ticks) if key.per_minute else None
            taken[key.hash] = key, bucket
        self._known = taken

    def _keep(self, keys: list[Known]) -> None:
        text = orjson.dumps([asdict(key) for key in keys])
        if text == self._kept:
            return
        half = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        try:
            half.unlink(missing_ok=True)
            with open(os.open(half, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(text)
            os.replace(half, self._path)
            self._kept = text
        except OSError as error:
            logs.event("keys.not_kept", error=type(error).__name__)

    def _stored(self) -> dict[str, tuple[Known, Bucket | None]] | None:
        try:
            self._take(_known(one) for one in orjson.loads(self._path.read_bytes()))
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            logs.event("keys.none_kept", error=type(error).__name__)
        return self._known


def _known(kept: dict[str, Any]) -> Known:
    times = {name: kept[name] and datetime.fromisoformat(kept[name]) for name in ("created_at", "expires_at")}
    return Known(**{**kept, **times, "scopes": tuple(kept["scopes"])})


def _refuse() -> NoReturn:
    raise Refusal(401, WRONG, www_authenticate="Bearer")
