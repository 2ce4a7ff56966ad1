"""One stream while and after it is read: rows coded and counted, then rolled up by range of customers."""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from features.calendar import NEVER
from features.columns import filled
from features.data_config import Stream
from features.errors import DataError
from features.events import Rows
from features.rollup import Activity, Events, daily, tally
from features.scratch import Scratch, Space

SPARSE = 16
Counted = tuple[dict[str, dict[str, int]], dict[str, dict[int, int]], dict[str, int], dict[str, int], dict[str, int]]
K = TypeVar("K")
_NOTHING = {"code": np.zeros(0, np.int32), "day": np.zeros(0, np.int32)}
REASONS = ("without_time", "without_id", "of_unknown_customers", "after_today", "ending_before_they_begin")


@dataclass(frozen=True)
class Calendar:
    """When a stream has events: ``days`` (int32, ascending) with their ``counts``, and the newest day known."""

    days: np.ndarray
    counts: np.ndarray
    known_until: int


class Codes:
    """Customer ids to codes, -1 for an unknown one: text by hashing, whole numbers by position where they are dense."""

    def __init__(self, index: pd.Index):
        self._text = pa.array(index, pa.string())
        plain = pc.match_substring_regex(self._text, "^(0|-?[1-9][0-9]{0,17})$").to_numpy(zero_copy_only=False)
        self._code = np.flatnonzero(plain).astype(np.int32)
        self._whole = self._text.filter(pa.array(plain)).cast(pa.int64()).to_numpy()
        self._low = int(self._whole.min()) if len(self._whole) else 0
        span = int(self._whole.max()) - self._low + 1 if len(self._whole) else 1
        self._place = np.full(span + 1, -1, np.int32) if span <= SPARSE * len(index) + 1_000 else None
        if self._place is not None:
            self._place[self._whole - self._low] = self._code

    def of(self, ids: pa.ChunkedArray) -> np.ndarray:
        """The code of each id, int32 (n,)."""
        if not pa.types.is_integer(ids.type) or self._place is None:
            return pc.fill_null(pc.index_in(ids.cast(pa.string()), self._text), -1).to_numpy()
        number = filled(ids.cast(pa.int64()), self._low - 1) - self._low
        nowhere = len(self._place) - 1
        return self._place[np.where((number < 0) | (number > nowhere), nowhere, number)]


class Gathered:
    """The rows of streams that are read together, kept for the kernel, and what was lost on the way."""

    def __init__(self, streams: dict[str, Stream], codes: Codes, space: Space, today: int):
        self._streams, self._codes, self._today = streams, codes, today
        self._scratch = Scratch(space, next(iter(streams)))
        self._counts: dict[str, dict[int, int]] = {name: {} for name in streams}
        self._dropped, self._valued = dict.fromkeys(streams, 0), dict.fromkeys(streams, 0)
        self._known_until = dict.fromkeys(streams, -(2**31))
        self.lost = {name: dict.fromkeys(REASONS, 0) for name in streams}

    @property
    def rows(self) -> int:
        """How many rows are kept."""
        return self._scratch.rows

    def add(self, rows: Rows) -> None:
        """Take the rows that belong to a known customer and are known today; count the others."""
        code = self._codes.of(rows.id)
        timed = rows.day != NEVER
        kept = timed & (code >= 0) & (rows.known <= self._today)
        if rows.until is not None:
            self._lose("ending_before_they_begin", rows, timed & (code >= 0) & (rows.until < rows.day))
        if kept.all():
            return self._keep(rows, code, None)
        named = rows.id.is_valid().to_numpy() if rows.id.null_count else np.ones(len(code), bool)
        self._lose("without_time", rows, ~timed)
        self._lose("without_id", rows, ~named)
        self._lose("of_unknown_customers", rows, named & (code < 0))
        self._lose("after_today", rows, timed & (code >= 0) & ~kept)
        for name, number in self._number(rows, np.flatnonzero(~kept)).items():
            self._dropped[name] += number
        return self._keep(rows, code, np.flatnonzero(kept))

    def _lose(self, reason: str, rows: Rows, which: np.ndarray) -> None:
        for name, number in self._number(rows, np.flatnonzero(which)).items():
            self.lost[name][reason] += number

    def _number(self, rows: Rows, which: np.ndarray) -> dict[str, int]:
        """How many events each stream has among the rows at these positions."""
        count = np.ones(len(which), np.int64) if rows.count is None else rows.count[which]
        mask = np.ones(len(which), np.int64) if rows.mask is None else rows.mask[which]
        return {name: int(count[mask & 2**i > 0].sum()) for i, name in enumerate(self._streams)}

    def _keep(self, rows: Rows, code: np.ndarray, which: np.ndarray | None) -> None:
        table = pa.table(_columns(rows, code))
        table = table if which is None else table.take(pa.array(which))
        if table.num_rows:
            (batch,) = table.combine_chunks().to_batches()
            self._note(batch)
            self._scratch.add(batch)

    def _note(self, batch: pa.RecordBatch) -> None:
        """What the parts must know of the whole: events a day, the newest day known, how many values."""
        own = {name: np.array(batch[name]) for name in ("day", "known", "mask", "count") if name in batch.schema.names}
        day, none = own["day"], np.zeros(0, np.int64)
        known, low = own.get("known", day), int(day.min())
        counts, newest = tally(day - low, known, own.get("mask", none), own.get("count", none), len(self._streams))
        for i, (name, spec) in enumerate(self._streams.items()):
            for place in np.flatnonzero(counts[i]).tolist():
                self._counts[name][low + place] = self._counts[name].get(low + place, 0) + int(counts[i, place])
            self._known_until[name] = max(self._known_until[name], int(newest[i]))
            if spec.value and not self._valued[name]:
                valued = batch[f"valued {spec.value}"].to_numpy() > 0
                self._valued[name] = int((valued & (own["mask"] & 2**i > 0) if "mask" in own else valued).sum())

    @property
    def counted(self) -> "Counted":
        """What was counted so far."""
        return self.lost, self._counts, self._dropped, self._valued, self._known_until

    def merge(self, counted: "Counted") -> None:
        """Add what was counted elsewhere, of other customers."""
        lost, counts, dropped, valued, known_until = counted
        for name in self._streams:
            _sum(self.lost[name], lost[name])
            _sum(self._counts[name], counts[name])
            self._known_until[name] = max(self._known_until[name], known_until[name])
        _sum(self._dropped, dropped)
        _sum(self._valued, valued)

    def close(self, whole: bool) -> None:
        """No more rows come. ``whole``: these were all rows of the streams, so none, or nulls alone, are an error."""
        self._scratch.close()
        for name, spec in self._streams.items() if whole else ():
            label, found = f"{spec.table} ({name})", self._dropped[name] + sum(self._counts[name].values())
            if not found:
                raise DataError(f"{label}: no row; give a table with events, or change data.yaml: streams.{name}.where")
            if self.lost[name]["without_time"] == found:
                raise DataError(f"{label}: all {found:,} time stamps are null; name the column that holds the time")
            if spec.value and self._counts[name] and not self._valued[name]:
                raise DataError(f"{label}: every value is null; name another column or leave `value` out")

    @property
    def calendar(self) -> dict[str, Calendar]:
        """When each stream has events."""
        found = {}
        for name, counts in self._counts.items():
            days = sorted(counts)
            numbers = np.array([counts[day] for day in days], np.int64)
            found[name] = Calendar(np.array(days, np.int32), numbers, self._known_until[name])
        return found

    def activity(self, first: int, end: int) -> dict[str, Activity]:
        """Daily activity of the customers with a code in [first, end), which become 0 and up, by stream."""
        rows = self._scratch.read(first, end)
        arrays = dict(_NOTHING) if rows is None else _arrays(rows)
        arrays["code"] -= np.int32(first)
        mask = arrays.pop("mask", None)
        arrays.setdefault("known", arrays["day"])
        arrays.setdefault("count", np.ones(len(arrays["day"]), np.int64))
        return {
            name: daily(_events(arrays, spec), None if mask is None else np.flatnonzero(mask & 2**i))
            for i, (name, spec) in enumerate(self._streams.items())
        }


def _sum(into: dict[K, int], other: dict[K, int]) -> None:
    for key, number in other.items():
        into[key] = into.get(key, 0) + number


def _columns(rows: Rows, code: np.ndarray) -> dict[str, np.ndarray | pa.ChunkedArray]:
    """Only the columns that say something: a missing known day is the day, a missing count is 1."""
    columns: dict[str, np.ndarray | pa.ChunkedArray] = {"code": code, "day": rows.day}
    if rows.known is not rows.day:
        columns["known"] = rows.known
    own = {name: getattr(rows, name) for name in ("mask", "count", "until", "time")}
    columns |= {name: column for name, column in own.items() if column is not None}
    for column, (total, valued) in rows.totals.items():
        columns |= {f"total {column}": total, f"valued {column}": valued}
    return columns | {f"entity {column}": values for column, values in rows.entities.items()}


def _arrays(rows: pa.Table) -> dict[str, np.ndarray]:
    """Writable arrays; numbers of values as int64, entities as codes, -1 for none."""
    columns = {name: rows[name].combine_chunks() for name in rows.column_names}
    for name in [name for name in columns if name.startswith("entity ")]:
        columns[name] = entities(columns[name])
    return {name: np.array(own, np.int64 if name.startswith("valued ") else None) for name, own in columns.items()}


def entities(column: pa.Array) -> pa.Array:
    """Entities as codes from 0 up, -1 for none: int32."""
    codes = column.dictionary_encode().indices
    return pc.fill_null(codes, -1) if codes.null_count else codes


def _events(columns: dict[str, np.ndarray], spec: Stream) -> Events:
    none = np.zeros(len(columns["day"]) if spec.value is None else 0, np.int64)
    measured = [columns.get(f"{what} {spec.value}", none) for what in ("valued", "total")]
    optional = {"time": columns["time"]} if spec.kind == "rating" and "time" in columns else {}
    optional |= {"until": columns["until"]} if "until" in columns else {}
    optional |= {"entity": columns[f"entity {spec.entity}"]} if f"entity {spec.entity}" in columns else {}
    return Events(columns["code"], columns["day"], columns["known"], columns["count"], *measured, **optional)
