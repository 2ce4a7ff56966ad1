"""One model of the service: what is looked at, what is taken over, and what is gone on with when that fails."""

import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from itertools import chain
from typing import Any

import orjson
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from features.errors import DataError, InputError
from serving.config import ServingConfig
from serving.guards import logs
from serving.life.prepared import prepared
from serving.life.takeover import Misfit, Served, opened, tried, verified
from serving.lists.rows import Rows
from serving.stores import good, store
from serving.stores.good import Good
from serving.stores.records import Run

TRY_AGAIN_SECONDS = 10.0
NO_LIST = "no list is published; type `python -m serving daily CONFIG`"
NO_STORE = "the store cannot be read; is it there, and has `python -m serving daily` run?"
NO_FILES = (
    "its bundle or its list's file cannot be loaded; the service's log names it: for a bundle train or promote again, "
    "for a list run the daily job"
)
FAILED = "looking for what to serve failed; the service's log says how"


class Watched:
    """``served`` is replaced as a whole, by the one thread that looks; ``why_not`` says why it is None.

    since: when ``served`` became stale, UTC without zone.
    """

    def __init__(self, config: ServingConfig, engine: Engine, model: str, clock: Callable[[], datetime]):
        self._config, self._home, self._model = config, config.home, model
        self._engine, self._clock = engine, clock
        self.served: Served | None = None
        self.why_not = NO_LIST
        self.since: datetime | None = None
        self._good: Good | None = None
        self._begun = self._kept = False
        self._seen: Any = None
        self._problem: str | None = None
        self._again = 0.0
        self._rows: tuple[Any, Rows] | None = None
        self._said: dict[str, str] = {}

    def look(self, registry: str | None) -> None:
        """Take over a new champion or list when it works; go on with the last good one when it does not.

        registry: what the process that follows the registry finds wrong there.
        """
        if not self._begun:
            self._begun, self._good = True, self._remembered()
        run, unreachable = self._published()
        if run is None:
            self.why_not = NO_STORE if unreachable else NO_LIST
            if not unreachable:
                self.served = self._seen = None
            return
        champion, sequence, damaged = self._champion()
        found = self._taken(run, champion, sequence)
        if unreachable and self.served and found and found is not self.served:
            found = replace(found, refused=self.served.refused)  # who refused since cannot be asked now
        self._tell(found, unreachable or self._problem or damaged or registry)

    def failed(self, error: Exception) -> None:
        """What nobody foresaw is told like any other reason."""
        self._say("look", f"looking failed ({type(error).__name__})")
        self.why_not = FAILED
        self._tell(self.served, "look_failed")

    def _remembered(self) -> Good | None:
        try:
            return good.last(self._home, self._model)
        except (ValueError, OSError) as error:
            self._say("good", f"the last good state is left aside ({error})")
            return None

    def _published(self) -> tuple[Run | None, str | None]:
        """The newest list; where the store cannot say which it is, the last good one and why."""
        try:
            with Session(self._engine, expire_on_commit=False) as session:
                return store.published(session, self._model), None
        except (SQLAlchemyError, OSError):
            return self._good.run if self._good else None, "store_unreachable"

    def _champion(self) -> tuple[str | None, int, str | None]:
        """SHA-256 and number of the placed champion; where its file is of no use, the last good one and why."""
        own = self._good
        last = (own.bundle, own.sequence) if own else (None, 0)
        try:
            placed = orjson.loads((self._home / f"champion-{self._model}.json").read_bytes())
            sha256, sequence = str(placed["sha256"]), int(placed["sequence"])
        except FileNotFoundError:
            return None, 0, None
        except (OSError, ValueError, KeyError, TypeError):
            return *last, "champion_damaged"
        return (*last, "champion_older") if sequence < last[1] else (sha256, sequence, None)

    def _taken(self, run: Run, champion: str | None, sequence: int) -> Served | None:
        """What is to be served: tried anew when anything changed, and now and then while something is wrong."""
        seen, found = (run.id, run.content, run.snapshot, self._mark(run), champion, sequence), self.served
        if seen != self._seen or (self._problem is not None and time.monotonic() >= self._again):
            self._seen, self._kept = seen, False
            try:
                found = self._attempt(run, champion, sequence) or self.served
            except Exception:
                self._problem = "look_failed"  # until it is tried again; ``failed`` tells it
                raise
            finally:
                self._again = time.monotonic() + TRY_AGAIN_SECONDS
        if self._good is not None and found is not None and not self._kept:
            self._kept = self._keep(self._good)
        return found

    def _attempt(self, run: Run, champion: str | None, sequence: int) -> Served | None:
        """The first of ``_choices`` that works; ``_problem`` says why it is not the newest."""
        self._problem, last = None, self._good
        for its, sha256 in self._choices(run, champion):
            try:
                served = self._loaded(its, sha256)
            except Misfit as error:
                self._say(sha256, f"{sha256[:12]} waits for the next list ({error})")
            except (InputError, OSError, ValueError) as error:
                told = error.strerror if isinstance(error, OSError) else error
                self._say(sha256, f"{sha256[:12]} on the list as of {its.as_of} cannot be loaded ({told})")
                self._problem = "champion_refused" if sha256 == champion else self._problem
            else:
                older = last if champion not in (None, sha256) else None
                placed = older.sequence if older else max(sequence, last.sequence if last else 0)
                self._good = Good(sha256, placed, its)
                self._problem = self._problem if its is run else "list_damaged"
                return served if its is run else replace(served, refused=self._refused(run))
        self.why_not, self._problem = NO_FILES, "list_damaged"
        return None

    def _choices(self, run: Run, champion: str | None) -> Iterator[tuple[Run, str]]:
        """The list with the champion, with the last good bundle, with its own; then the lists it can go on with."""
        last = self._good
        for its in chain([run], self._older(run)):
            for sha256 in dict.fromkeys((champion, last.bundle if last else None, its.bundle)):
                if sha256 is not None:
                    yield its, sha256

    def _older(self, run: Run) -> Iterator[Run]:
        """What there is when the newest list's file is damaged: the last good list; after a restart the one before."""
        last = self._good
        if last and last.run.snapshot != run.snapshot:
            yield last.run
        if self.served is not None:
            return
        before = None
        with suppress(SQLAlchemyError, OSError), Session(self._engine, expire_on_commit=False) as session:
            before = store.previous(session, run)
        if before is not None and before.state == "published":
            yield before

    def _refused(self, run: Run) -> frozenset[str]:
        """Who had refused by a list that cannot be served, so that an older one does not score them."""
        with Session(self._engine) as session:
            return store.refused(session, run.id)

    def _loaded(self, run: Run, sha256: str) -> Served:
        """Loaded, verified and tried; what is served already is not loaded again."""
        key = (run.snapshot, self._mark(run))
        if self._rows is None or self._rows[0] != key:
            self._rows = key, opened(self._home / "snapshots" / run.snapshot)
        if self.served and self.served.bundle.sha256 == sha256:
            bundle = self.served.bundle
        else:
            bundle = verified(self._home / "bundles" / sha256, self._model, self._config.data.name)
            if bundle.sha256 != sha256:
                raise DataError(f"it holds the bundle {bundle.version}; promote again")
        served = tried(Served(bundle, run, self._rows[1]))
        prepared(served, self._config.data)  # here, so that no request has to
        return served

    def _mark(self, run: Run) -> tuple[int, int, int] | None:
        """Changes when the list's features are written anew, as when somebody is erased."""
        try:
            found = os.stat(self._home / "snapshots" / run.snapshot)
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size

    def _keep(self, own: Good) -> bool:
        try:
            good.keep(self._home, own)
        except OSError as error:
            self._say("good", f"the last good state cannot be written ({error.strerror}); a restart may need it")
            return False
        self._said.pop("good", None)
        return True

    def _tell(self, found: Served | None, stale: str | None) -> None:
        """Serve this from now on, marked as stale or as the newest."""
        before = self.served
        if found is None or (found is before and before.stale == stale):
            return
        fresh = replace(found, stale=stale)
        if before is None or before.stale != stale:
            self.since = self._clock() if stale else None
        self.served = fresh
        if before is None or _known(before) != _known(fresh):
            told = {"version": fresh.bundle.version, "as_of": fresh.run.as_of.isoformat(), "stale": stale}
            logs.event("served", logging.INFO, model=self._model, **told)

    def _say(self, about: str, text: str) -> None:
        """Log it, once until it changes."""
        if self._said.get(about) != text:
            self._said[about] = text
            logs.event("served.problem", model=self._model, detail=text)


def _known(served: Served) -> tuple[str, int, str | None]:
    return served.bundle.sha256, served.run.id, served.stale
