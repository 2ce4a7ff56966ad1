"""Which files the store has read, and how many rows of each known day they hold: what is new, what came too late."""

import glob
import os
from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from dataclasses import asdict, dataclass, field
from functools import reduce
from operator import or_
from typing import Any

from features import columns, engines, events, pushdown
from features.calendar import NEVER
from features.partition import named
from features.sources import Source, Table, fetch

FILE = "__file"
Days = dict[int, int]
Stamp = tuple[int, int] | None


@dataclass(frozen=True)
class Entry:
    """One file, or a whole table that is no file.

    stamp: size and mtime (ns), None where nothing tells a change. days: known day -> rows found when it was last
    counted. late: known day -> rows that are in it and not in the store; below 0, in the store and no longer in it.
    """

    stamp: Stamp
    days: Days = field(default_factory=dict)
    late: Days = field(default_factory=dict)


@dataclass(frozen=True)
class Late:
    """Rows of old days that came after the horizon (``rows`` > 0) or are gone from the table (``rows`` < 0)."""

    streams: tuple[str, ...]
    rows: int
    oldest: str
    files: tuple[str, ...]

    def __str__(self) -> str:
        more = f" and {len(self.files) - 3} more" if len(self.files) > 3 else ""
        what = f"{self.rows:,} rows came later than the horizon and are left out"
        if self.rows < 0:
            what = f"{-self.rows:,} rows are gone from the table and still counted"
        return (
            f"{', '.join(self.streams)}: {what}; oldest known on {self.oldest}, in {', '.join(self.files[:3])}{more}; "
            "to read everything again: python -m features update CONFIG --rebuild"
        )


class Ledger:
    """The files of one table by their paths."""

    def __init__(self, files: Mapping[str, Entry] | None = None):
        self.files = dict(files or {})

    def changed(self, stamps: Mapping[str, Stamp]) -> list[str]:
        """The files that are new, or not as they were, or of which nobody can tell."""
        known = {path: entry.stamp for path, entry in self.files.items()}
        return [path for path, stamp in stamps.items() if stamp is None or known.get(path) != stamp]

    def gone(self, stamps: Mapping[str, Stamp]) -> list[str]:
        """The files that were read and are not there any more."""
        return [path for path, entry in self.files.items() if entry.days and path not in stamps]

    def updated(self, stamps: Mapping[str, Stamp], counts: Mapping[str, Days], cut: int) -> "Ledger":
        """The ledger after an update that reads the days from ``cut`` on again.

        counts: of the files that changed. Rows of days before ``cut`` that came or went since are late.
        """
        changed, files = set(self.changed(stamps)), {}
        for path in {*self.files, *stamps}:
            old = self.files.get(path, Entry(None))
            found = counts.get(path, {}) if path in changed else old.days if path in stamps else {}
            late = {
                day: old.late.get(day, 0) + found.get(day, 0) - old.days.get(day, 0)
                for day in old.late.keys() | found.keys() | old.days.keys()
                if day < cut
            }
            files[path] = Entry(stamps.get(path), found, {day: rows for day, rows in late.items() if rows})
        kept = {path: entry for path, entry in files.items() if path in stamps or entry.late}
        return Ledger(dict(sorted(kept.items())))

    def holding(self, cut: int) -> list[str]:
        """The files with a row of ``cut`` or a later day."""
        return [path for path, entry in self.files.items() if any(day >= cut for day in entry.days)]

    def late(self, streams: tuple[str, ...]) -> list[Late]:
        """What the store lacks, then what it has too much.

        Rows that only moved from one file to another are neither.
        """
        net: Days = {}
        for entry in self.files.values():
            for day, rows in entry.late.items():
                net[day] = net.get(day, 0) + rows
        found = []
        for sign in (1, -1):
            days = {day for day, rows in net.items() if rows * sign > 0}
            paths = [path for path, own in self.files.items() if any(own.late.get(day, 0) * sign > 0 for day in days)]
            if days:
                found.append(Late(streams, sum(net[day] for day in days), named(min(days)), tuple(paths)))
        return found

    def record(self) -> dict[str, Any]:
        return {path: asdict(entry) for path, entry in self.files.items()}

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> "Ledger":
        """The ledger that ``record`` wrote down. Raises KeyError, TypeError or ValueError when it is none."""

        def numbers(days: Mapping[str, int]) -> Days:
            return {int(day): int(rows) for day, rows in days.items()}

        return cls(
            {
                path: Entry(
                    own["stamp"] and (own["stamp"][0], own["stamp"][1]), numbers(own["days"]), numbers(own["late"])
                )
                for path, own in record.items()
            }
        )


def stamps(source: Source, name: str) -> dict[str, Stamp]:
    """The files of a table as they are now. Raises DataError when the table is not there."""
    if source.name != "duckdb":
        return {name: None}
    source.table(name)
    file = name.rpartition(":")[0] if ".duckdb:" in name else name
    return {path: _stamp(path) for path in sorted(glob.glob(os.path.abspath(source.engine.folder / file)))}


def _stamp(path: str) -> tuple[int, int]:
    about = os.stat(path)
    return about.st_size, about.st_mtime_ns


def some(source: Source, name: str, paths: Sequence[str]) -> Source:
    """The same tables, but only these files of one; its rows say in the column FILE where they stand.

    A table that is no file of its own (of a database, say) stays whole.
    """
    narrow = copy(source)
    narrow.engine = _Some(source.engine, name, paths)
    return narrow


class _Some:
    def __init__(self, engine: Any, name: str, paths: Sequence[str]):
        self._engine, self._name, self._paths = engine, name, list(paths)

    def table(self, name: str) -> Table:
        if name == self._name and name.endswith(engines.FILES) and isinstance(self._engine, engines.Duckdb):
            return self._engine.files(name, self._paths, filename=FILE)
        return self._engine.table(name)


def counted(source: Source, names: Sequence[str], paths: Iterable[str]) -> dict[str, Days]:
    """How many rows of the streams each of these files holds per known day (NEVER: without a time): one query."""
    paths = list(paths)
    if not paths:
        return {}
    spec = source.data.streams[names[0]]
    label = f"{spec.table} ({', '.join(names)})"
    table = some(source, spec.table, paths).table(spec.table)
    roles = events.roles_of(table, source.data, names[0])
    file = FILE if FILE in table.columns else None
    table = table.filter(reduce(or_, [events.condition(table, source.data.streams[name], name) for name in names]))
    times = {
        role: events.typed(table[roles[role]], role, f"{label}: {roles[role]}")
        for role in ("at", "known")
        if role in roles
    }
    rolled = pushdown.rolled(table.select(id=table[file] if file else columns.always(), **times), source.data, label)
    found = fetch(rolled.group_by(["id", "known"]).aggregate(rows=rolled["count"].sum()), label)
    counts: dict[str, Days] = {path: {} for path in paths}
    for path, day, rows in zip(*(found[name].to_pylist() for name in ("id", "known", "rows"))):
        counts[path if file else paths[0]][NEVER if day is None else day] = int(rows)
    return counts
