"""Daily activity kept between runs: one file per day on which rows became known; old days are never read again.

A day is old when it lies ``horizon_days`` before the newest one stored. Younger days are read anew with every update.
"""

import fcntl
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from features import events, ledger, manifest, partition
from features.calendar import NEVER
from features.command import progress
from features.data_config import Data, workspace
from features.erased import Erased
from features.events import Rows
from features.ledger import Late, Ledger, Stamp
from features.manifest import Manifest
from features.partition import Partition, Waiting
from features.sources import Source

BATCH, FOLDER = 1 << 17, "activity"


def stored(data: Data, names: Sequence[str]) -> bool:
    """Whether these streams are kept: rows that change in place (``until``, ``lookup``) are read whole each time."""
    return data.store is not None and not any(data.streams[name].until or data.streams[name].lookup for name in names)


def opened(source: Source, names: Sequence[str], today: int = NEVER) -> "Store | None":
    """The store of these streams, brought up to date; None where they are read from their table each time."""
    own = Store(source, names) if stored(source.data, names) else None
    if own:
        own.update(today)
    return own


class Store:
    """The kept activity of streams that are read together."""

    def __init__(self, source: Source, names: Sequence[str]):
        """source: made for this update; DuckDB caches files it has read and may miss a change within one second."""
        data = source.data
        assert data.store is not None
        self._source, self._names, self._horizon = source, tuple(names), data.store.horizon_days
        self._table = data.streams[names[0]].table
        self._meaning = _meaning(data, names)
        self._home = workspace(data)
        self.folder = self._home / FOLDER / names[0]
        self.state, self._erased = Manifest(self._meaning), Erased(self._home)

    def update(self, today: int = NEVER, rebuild: bool = False) -> list[int]:
        """Take in what is new; returns the known days whose files are not as they were.

        today: a day number; rows known after it do not move the end of the data. Raises DataError on tables that cannot
        be read; then, or when it is killed, the store stays as it was.
        """
        with locked(self.folder, fcntl.LOCK_EX):
            self._erased = Erased.of(self._home)  # by now: whoever erases waits for this lock before removing rows
            before = Manifest(self._meaning) if rebuild else self._usable()
            stamps = ledger.stamps(self._source, self._table)
            changed = before.files.changed(stamps)
            now = before
            if changed or before.files.gone(stamps):
                now = self._read_anew(before, stamps, changed, today)
            self.state = now if today == NEVER else replace(now, today=today)
            self.state.save(self.folder)
            sweep(self.folder, self.state)
        return sorted(day for day in before.days.keys() | now.days.keys() if before.days.get(day) != now.days.get(day))

    def read(self, only: Sequence[str] | None = None) -> Iterator[Rows]:
        """All rows, of all ids or only of these, as ``events.read`` gives them. Raises DataError on a damaged file."""
        with locked(self.folder, fcntl.LOCK_SH):
            late = self._source.data.streams[self._names[0]].known is not None
            waiting: list[pa.Table] = []
            for table in self._tables(only):
                waiting.append(table)
                if sum(own.num_rows for own in waiting) >= BATCH:
                    yield partition.rows_of(pa.concat_tables(waiting), late)
                    waiting = []
            if waiting:
                yield partition.rows_of(pa.concat_tables(waiting), late)

    @property
    def events(self) -> int:
        """How many events are stored."""
        return sum(_events(self.state.days).values())

    @property
    def late(self) -> list[Late]:
        """What the store and the table disagree on."""
        return self.state.files.late(self._names)

    def _tables(self, only: Sequence[str] | None) -> Iterator[pa.Table]:
        state = manifest.load(self.folder) or self.state
        for own in state.days.values():
            for table in partition.read(self.folder / own.file):
                if only is None:
                    yield table
                else:
                    yield table.filter(pc.is_in(table["id"].cast(pa.string()), pa.array(list(only), pa.string())))

    def _usable(self) -> Manifest:
        """The state on disk, or an empty one and a line that says why."""
        state, what = manifest.load(self.folder), f"activity of {', '.join(self._names)}"
        if state is None:
            there = (self.folder / manifest.NAME).exists()
            why = "its manifest is damaged or of another version" if there else "nothing is stored yet"
        elif state.meaning != self._meaning:
            why = "data.yaml says something else of it than before"
        else:
            harmed = [own.file for own in state.days.values() if partition.size(self.folder / own.file) != own.size]
            if not harmed:
                return state
            why = f"{harmed[0]} is missing or damaged"
        progress(f"{what}: {why}; reading everything …")
        return Manifest(self._meaning)

    def _read_anew(self, before: Manifest, stamps: dict[str, Stamp], changed: list[str], today: int) -> Manifest:
        """The state after reading the days since the horizon from the files that have rows of them."""
        cut = before.cut(today, self._horizon)
        alone = cut == manifest.ALL and len(stamps) == 1 and not self._erased  # else the table has rows we do not keep
        counts = {} if alone else ledger.counted(self._source, self._names, changed)
        files = before.files.updated(stamps, counts, cut)
        holding = list(stamps) if cut == manifest.ALL else files.holding(cut)
        narrow = ledger.some(self._source, self._table, holding)
        kinds = self._kinds(narrow) if holding else before.kinds
        if before.days and kinds != before.kinds:
            progress(f"activity of {', '.join(self._names)}: a column changed its type; reading everything …")
            return self._read_anew(Manifest(self._meaning), stamps, list(stamps), today)
        days = self._scan(narrow, cut) if holding else {}
        if alone:
            files = Ledger({path: ledger.Entry(stamp, _events(days)) for path, stamp in stamps.items()})
        days = {day: own for day, own in before.days.items() if day < cut} | days
        return Manifest(self._meaning, kinds, before.today, dict(sorted(days.items())), files)

    def _kinds(self, source: Source) -> dict[str, str]:
        """The types by which the columns are read: those of text depend on what it holds."""
        table, kinds = source.table(self._table), {}
        for name in self._names:
            for role, column in events.roles_of(table, source.data, name).items():
                if role != "value":
                    label = f"{self._table} ({name}): {column}"
                    kinds[f"{role} {column}"] = str(events.typed(table[column], role, label).type())
        return kinds

    def _scan(self, source: Source, cut: int) -> dict[int, Partition]:
        """Read the rows known since ``cut`` and write the file of each day, on as many threads as there are cores."""
        ratings = sum(2**i for i, name in enumerate(self._names) if source.data.streams[name].kind == "rating")
        waiting = partition.Waiting(self._names[0], ratings)
        for rows in events.read(source, self._names, since=None if cut == manifest.ALL else cut):
            waiting.add(rows, cut, self._erased)
        waiting.close()
        pool = ThreadPoolExecutor(int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1))
        try:
            return dict(zip(waiting.days, pool.map(partial(self._write, waiting), waiting.days)))
        finally:
            pool.shutdown(cancel_futures=True)

    def _write(self, waiting: Waiting, day: int) -> Partition:
        return partition.write(self.folder, partition.named(day), waiting.day(day))


def sweep(folder: Path, state: Manifest) -> None:
    """Remove what no state names any more: old files of a day, and what a killed update left."""
    known = {own.file for own in state.days.values()} | {manifest.NAME, "lock"}
    for path in folder.iterdir():
        if path.name not in known:
            path.unlink()


@contextmanager
def locked(folder: Path, kind: int) -> Iterator[None]:
    """Hold the lock of a store's folder, shared or alone."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("a") as file:
        try:
            fcntl.flock(file, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            progress(f"{folder}: another process is at work there; waiting until it has finished …")
            fcntl.flock(file, kind)
        yield


def _meaning(data: Data, names: Sequence[str]) -> dict[str, Any]:
    """What decides which rows are stored. The place of the tables counts: other files are other rows."""
    place = str(data.root.folder().resolve()) if data.root and data.engine.name == "duckdb" else str(data.root)
    own = {"timezone": data.timezone, "naive_times": data.naive_times, "id": data.customers.id, "root": place}
    streams = {name: data.streams[name].model_dump_json(exclude={"label", "role", "users"}) for name in names}
    return own | {"engine": data.engine.model_dump_json(), "streams": streams}


def _events(days: dict[int, Partition]) -> dict[int, int]:
    return {day: own.events for day, own in days.items()}
