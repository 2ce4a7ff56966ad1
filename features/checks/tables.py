"""What the tables themselves show of their rows: repeats, and clocks that are off. Counted by the engine."""

from collections.abc import Iterator, Sequence
from functools import reduce
from operator import or_

import numpy as np
import pyarrow as pa

from features import calendar, columns, events
from features.calendar import DAY
from features.checks.findings import Finding, level
from features.checks.health import GRAVE, SUSPECT
from features.data_config import Data
from features.sources import Column, Source, Table, fetch

QUARTER = 900 * calendar.SECOND
SKEW_SECONDS, DAYS_SECONDS = 3_600, 172_800
SHIFTED, ENOUGH, ENOUGH_DAYS = 0.05, 500, 28


def findings(data: Data) -> Iterator[Finding]:
    """Repeated rows, times known before they happen, clocks: one finding per table and trouble."""
    source = Source(data)
    for names in events.groups(data):
        about = ", ".join(names)
        table = _rows(source, names)
        roles = [events.roles_of(table, data, name) for name in names]
        yield from _repeats(about, table, roles)
        at = columns.time(table[roles[0]["at"]], about)
        known = columns.time(table[roles[0]["known"]], about) if "known" in roles[0] else None
        found = _clock(about, table, at, known)
        yield from _known_too_early(about, found)
        if not at.type().is_date():
            yield from _zones(about, data, found, at.type().timezone is not None)


def _rows(source: Source, names: Sequence[str]) -> Table:
    """The rows of the streams that have a customer and a time, with every column of their table."""
    table = events.table_of(source, names[0])
    roles = events.roles_of(table, source.data, names[0])
    belongs = [events.condition(table, source.data.streams[name], name) for name in names]
    there = table[roles["id"]].notnull() & table[roles["at"]].notnull()
    return table.filter(there & reduce(or_, belongs))


def _repeats(about: str, table: Table, roles: list[dict[str, str]]) -> Iterator[Finding]:
    used = {own[role] for own in roles for role in ("id", "at", "value", "entity") if role in own}
    rows, groups = _distinct(table, used, about)
    if rows == groups:
        return
    loaded = {own["known"] for own in roles if "known" in own}
    every = {name for name in table.columns if _groupable(table[name])} - loaded
    every -= _numbering(table, every - used, rows, about)
    same = rows - _distinct(table, every | used, about)[1]
    code, number = ("same", same) if same > SUSPECT * rows else ("differing", rows - groups)
    if number > SUSPECT * rows:
        values = {"rows": number, "share": number / rows}
        yield Finding("repeated rows", level(False, code == "same"), about, code, values)


def _distinct(table: Table, keys: set[str], about: str) -> tuple[int, int]:
    """How many rows there are, and how many that differ in these columns."""
    groups = table.group_by(sorted(keys)).aggregate(**{"number of rows": table.count()})
    row = fetch(groups.aggregate(rows=groups["number of rows"].sum(), groups=groups.count()), about).to_pylist()[0]
    return int(row["rows"] or 0), int(row["groups"])


def _groupable(column: Column) -> bool:
    kind = column.type()
    return not (kind.is_nested() or kind.is_json() or kind.is_binary())


def _numbering(table: Table, names: set[str], rows: int, about: str) -> set[str]:
    """The columns that number the rows: whole numbers, text or UUIDs of which no two are equal."""
    ids = sorted(
        n for n in names if table[n].type().is_integer() or table[n].type().is_string() or table[n].type().is_uuid()
    )
    if not ids:
        return set()
    counts = {f"c{i}": table[name].nunique() for i, name in enumerate(ids)}
    found = fetch(table.aggregate(**counts), about).to_pylist()[0]
    return {name for i, name in enumerate(ids) if found[f"c{i}"] == rows}


def _clock(about: str, table: Table, at: Column, known: Column | None) -> dict[str, np.ndarray]:
    """Rows by quarter of an hour on the clock of the column: how many, at exactly midnight, known long before."""
    second = _seconds(at)
    whole = table.select(
        quarter=second // 900,
        midnight=(second % 86_400 == 0).ifelse(1, 0),
        early=((second - _seconds(known)) > _slack(at, known)).ifelse(1, 0) if known is not None else second * 0,
    )
    sums = {name: whole[name].sum() for name in ("midnight", "early")}
    found: pa.Table = fetch(whole.group_by("quarter").aggregate(rows=whole.count(), **sums), about)
    return {name: found[name].cast(pa.int64()).fill_null(0).to_numpy() for name in found.column_names}


def _seconds(time: Column) -> Column:
    time = time.cast("timestamp") if time.type().is_date() else time.truncate("s")
    return time.epoch_seconds().cast("int64")


def _slack(at: Column, known: Column) -> int:
    """Seconds by which clocks of two systems may differ; two days between a date and a time, or two zones."""
    kinds = [(column.type().is_date(), getattr(column.type(), "timezone", None) is not None) for column in (at, known)]
    return SKEW_SECONDS if kinds[0] == kinds[1] else DAYS_SECONDS


def _known_too_early(about: str, clock: dict[str, np.ndarray]) -> Iterator[Finding]:
    early, rows = int(clock["early"].sum()), int(clock["rows"].sum())
    if rows and early / rows > SUSPECT:
        values = {"rows": early, "share": early / rows, "limit": SUSPECT}
        yield Finding("time order", level(values["share"] > GRAVE), about, "known_too_early", values)


def _zones(about: str, data: Data, clock: dict[str, np.ndarray], zoned: bool) -> Iterator[Finding]:
    """Dates that the zone moves to the day before, and streams that are quiet in the daytime."""
    wall = clock["quarter"] * QUARTER
    instant = wall if zoned else calendar.instants(wall, data.naive_times)
    day = calendar.local_days(instant, data.timezone)
    moved = int(clock["midnight"][day < wall // DAY].sum())
    rows = int(clock["rows"].sum())
    if rows and moved / rows > SHIFTED:
        values = {"rows": moved, "share": moved / rows, "clock": "UTC" if zoned else data.naive_times}
        yield Finding("time zone", "warning", about, "shifted_dates", values | {"zone": data.timezone})
    hour = (instant - calendar.midnights(day, data.timezone)) // (3_600 * calendar.SECOND) % 24
    timed = clock["rows"] - clock["midnight"]
    quiet = _quiet(np.bincount(hour, timed, minlength=24))
    if timed.sum() >= ENOUGH and len(np.unique(day[timed > 0])) >= ENOUGH_DAYS and quiet:
        values = {"begin": quiet[0], "end": quiet[1], "zone": data.timezone}
        yield Finding("time zone", "warning", about, "quiet_days", values)


def _quiet(hours: np.ndarray) -> tuple[int, int] | None:
    """The longest stretch of hours with under a quarter of the mean, when its middle lies from 9 to 19 o'clock.

    None otherwise, and where the stretch is too short to be people's rest (under 3 hours) or so long (over 18) that a
    machine writes once a day. hours: rows by local hour, (24,).
    """
    quiet = hours < hours.mean() / 4
    runs = [next((n for n in range(24) if not quiet[(begin + n) % 24]), 24) for begin in range(24)]
    begin, length = int(np.argmax(runs)), max(runs)
    daytime = 9 <= (begin + length / 2) % 24 < 19
    return (begin, (begin + length) % 24) if 3 <= length <= 18 and daytime else None
