"""The roll-up as SQL, for engines that hold the tables: the same days, the same micro-units, bit for bit."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import ibis
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from features import calendar
from features.calendar import DAY, NEVER, SECOND
from features.data_config import Data
from features.errors import DataError
from features.sources import Column, Table, fetch

LIMIT = 2**63 / 1e6
_NAIVE = datetime(1970, 1, 1)
_ZONED = datetime(1970, 1, 1, tzinfo=UTC)
_SUMS = ("count", "valued", "total")


def rolled(rows: Table, data: Data, label: str, rating: bool = False) -> Table:
    """The activity rows of a stream: ids, local days, counts and sums, in the normal form, and two more columns.

    rows: ``id`` and ``at``, and where the stream has them ``known``, ``until``, ``value``, ``entity``, as
    features.columns types them. A rating is not aggregated and keeps its ``time``. The two more, for ``checked``:
    ``wrong``, the values that are no micro-units, and ``size``, the sum of their sizes (float64). One short query asks
    for the first and the last of the times, so that the SQL holds only the clock changes between them.
    """
    clocks = {name: _Clock(data, *span) for name, span in _spans(rows, label).items()}
    day = clocks["at"].day(rows["at"])
    heard = clocks["known"].day(rows["known"]) if "known" in clocks else day
    known = (heard > day).ifelse(heard, day)
    keys = {"id": rows["id"], "day": day, "known": known}
    if "entity" in rows.columns:
        keys["entity"] = rows["entity"]
    if "until" in rows.columns:
        keys["until"] = ibis.coalesce(clocks["until"].day(rows["until"]), ibis.literal(NEVER, "int32"))
    total, wrong = _micro(rows["value"]) if "value" in rows.columns else (_null(), ibis.literal(False))
    counts = {
        "count": ibis.literal(1, "int64"),
        "valued": total.notnull().ifelse(1, 0).cast("int64"),
        "total": ibis.coalesce(total, 0).cast("int64"),
        "wrong": wrong.ifelse(1, 0).cast("int64"),
        "size": ibis.coalesce(total, 0).abs().cast("float64"),
    }
    if rating:
        return rows.select(**keys, **counts, time=clocks["at"].instant(rows["at"]))
    events = rows.select(**keys, **counts)
    sums = {name: _sum(events[name]) for name in (*_SUMS, "wrong")}
    wide = events["total"].cast("decimal(19, 0)").sum().cast("decimal(38, 0)")  # Spark's sum of int64 overflows
    sums["total"] = (events["size"].sum() < 2.0**62).ifelse(wide, 0).cast("int64")
    return events.group_by(list(keys)).aggregate(**sums, size=events["size"].sum())


def checked(rows: pa.Table, label: str) -> pa.Table:
    """A piece of ``rolled`` in the normal form. Raises DataError on values that no int64 of micro-units can hold."""
    wrong = pc.sum(rows["wrong"]).as_py() or 0
    if wrong:
        raise DataError(f"{label}: {wrong:,} values are NaN, infinite or over 9.2e12; use null or rescale")
    if (pc.max(rows["size"]).as_py() or 0.0) >= 2.0**62:
        raise DataError(f"{label}: their sum is over 4.6e12; sums are exact in int64 micro-units: rescale the column")
    return rows.drop_columns(["wrong", "size"])


def _null() -> Column:
    return ibis.null("int64")


def _sum(column: Column) -> Column:
    return column.sum().cast("decimal(38, 0)").cast("int64")  # on its own it is wider than int64 on two engines


def _micro(value: Column) -> tuple[Column, Column]:
    """Whole micro-units, the half to the even one, and which values are none (NaN is the greatest number in SQL)."""
    wrong = (value.abs() >= LIMIT).fill_null(False)
    scaled = wrong.ifelse(ibis.null("float64"), value) * ibis.literal(1e6, "float64").cast("float64")
    below = scaled.floor().cast("int64")
    rest = scaled - below.cast("float64")
    up = (rest > 0.5) | ((rest == 0.5) & (below % 2 != 0))
    return below + up.ifelse(1, 0).cast("int64"), wrong


@dataclass(frozen=True)
class _Clock:
    """The clocks of the data, between two moments (µs) of a column: ``low`` and ``high``."""

    data: Data
    low: int
    high: int

    def day(self, at: Column) -> Column:
        """The local day of a date, an instant or a time without a zone: int32, null where ``at`` is."""
        if at.type().is_date():
            return whole(at).cast("int32")
        turns = (
            _offsets(self.data.timezone) if at.type().timezone else _shifts(self.data.timezone, self.data.naive_times)
        )
        seconds = at.truncate("s").delta(_moment(0, at), unit="second").cast("int64")
        return ((seconds + self._steps(at, *turns, SECOND)) // 86_400).cast("int32")

    def instant(self, at: Column) -> Column:
        """µs since 1970 UTC, int64."""
        if at.type().is_date():
            wall, turns = whole(at) * DAY, _walls(self.data.timezone)
            return wall - self._steps(wall, *turns)
        wall = whole(at)
        return wall if at.type().timezone else wall - self._steps(at, *_walls(self.data.naive_times))

    def _steps(self, at: Column, since: np.ndarray, values: np.ndarray, unit: int = 1) -> Column:
        first = int(np.searchsorted(since, self.low, side="right"))
        last = int(np.searchsorted(since, self.high, side="right"))
        return _tree(at, since[first:last], values[first : last + 1] // unit)


def _spans(rows: Table, label: str) -> dict[str, tuple[int, int]]:
    """The first and the last time of each column of times, µs on its own clock, and two years for rows to come."""
    names = [name for name in ("at", "known", "until") if name in rows.columns]
    ends = {f"{name} {end}": getattr(rows[name], end)() for name in names for end in ("min", "max")}
    found = fetch(rows.aggregate(**ends), label)
    spans = {}
    for name in names:
        low, high = (_micros(found[f"{name} {end}"]) for end in ("min", "max"))
        spans[name] = (low, high + 730 * DAY)
    return spans


def _micros(moment: pa.ChunkedArray) -> int:
    if pa.types.is_date(moment.type):
        return (moment.cast(pa.int32())[0].as_py() or 0) * DAY
    return moment.cast(pa.timestamp("us", moment.type.tz)).cast(pa.int64())[0].as_py() or 0


def whole(at: Column) -> Column:
    """The days of a date, the µs of a time stamp on its own clock, since 1970: int64."""
    if at.type().is_date():
        return at.delta(ibis.date(1970, 1, 1), unit="day").cast("int64")
    return at.delta(_moment(0, at), unit="microsecond").cast("int64")


def _moment(micro: int, like: Column) -> Column:
    """A literal to compare with ``like``: µs as a number, or as a time stamp with or without a zone."""
    if like.type().is_integer():
        return ibis.literal(micro, "int64")
    return ibis.literal((_ZONED if like.type().timezone else _NAIVE) + timedelta(microseconds=micro))


def _tree(at: Column, since: np.ndarray, values: np.ndarray) -> Column:
    """values[0] before since[0], values[i + 1] from since[i] on: a balanced tree of comparisons."""
    if len(since) == 0:
        return ibis.literal(int(values[0]), "int64")
    middle = len(since) // 2
    before = _tree(at, since[:middle], values[: middle + 1])
    after = _tree(at, since[middle + 1 :], values[middle + 1 :])
    return (at < _moment(int(since[middle]), at)).ifelse(before, after)


def _offsets(zone: str) -> tuple[np.ndarray, np.ndarray]:
    """From which instant on which offset from UTC holds, and the one before all."""
    since, offsets = calendar.offsets(zone)
    return since[1:], offsets


def _walls(zone: str) -> tuple[np.ndarray, np.ndarray]:
    """The same from which moment on the clock of the zone itself (fold=0)."""
    since, offsets = _offsets(zone)
    return since + np.maximum(offsets[:-1], offsets[1:]), offsets


def _shifts(zone: str, naive: str) -> tuple[np.ndarray, np.ndarray]:
    """From which moment on the clock of ``naive`` which shift leads to the clock of ``zone``."""
    turns, offsets = _walls(naive)
    since, local = _offsets(zone)
    walls = np.unique(np.concatenate([turns, np.add.outer(since, np.unique(offsets)).ravel()]))
    walls = np.concatenate([walls[:1] - 1 if len(walls) else [0], walls]).astype(np.int64)
    instants = calendar.instants(walls, naive)
    shift = instants + local[np.searchsorted(since, instants, side="right")] - walls
    new = np.flatnonzero(shift[1:] != shift[:-1]) + 1
    return walls[new], np.concatenate([shift[:1], shift[new]])
