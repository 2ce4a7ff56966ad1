"""The store of daily activity in front of every engine: the facts of its tables, and of what arrives later."""

from datetime import date, datetime, timedelta

import pyarrow as pa
import pytest

from features import config, facts, snapshot
from features.calendar import number
from features.snapshot_config import SnapshotConfig
from features.sources import Source
from features.store import Store
from tests import company
from tests.engines.world import ENGINES, write

FIRST = datetime(2025, 3, 1)
DATES = [date(2025, 3, 20), date(2025, 4, 1), date(2025, 4, 8)]
SCHEMA = pa.schema(
    [("id", pa.string()), ("at", pa.timestamp("us")), ("known", pa.timestamp("us")), ("value", pa.float64()), ("user", pa.string())]
)  # fmt: skip


def visit(customer: str, day: int, known: int | None = None) -> tuple:
    at = FIRST + timedelta(days=day, hours=9)
    since = None if known is None else FIRST + timedelta(days=known, hours=10)
    return customer, at, since, 0.1 * day - 2, None if day % 5 == 0 else f"u{day % 3}"


def deliver(engine: str, folder, rows: list[tuple]) -> str:
    columns = [pa.array(list(values), field.type) for values, field in zip(zip(*rows), SCHEMA)]
    return write(engine, folder, "kept_visits", pa.table(columns, schema=SCHEMA))


def both(folder, engine: str, table: str) -> list[SnapshotConfig]:
    """The same question with and without a store."""
    people = write(engine, folder, "kept_people", pa.table({"id": ["a", "b", "c", "d"]}))
    stream = {"table": table, "at": "at", "known": "known", "value": "value", "entity": "user"}
    own = {"name": f"kept-{engine}", "root": str(folder), "engine": ENGINES[engine], "timezone": "Asia/Tokyo"}
    own |= {"customers": {"table": people}, "streams": {"login": stream}}
    kept = {"store": {"horizon_days": 3}}
    return [
        config.load(company.configs(folder / name, own | more), SnapshotConfig)
        for name, more in (("kept", kept), ("plain", {}))
    ]


def told(own: SnapshotConfig) -> tuple:
    known = facts.read(own.data)
    calendar = known.calendar["login"]
    found = snapshot.build(own, DATES, labels=True, known=known).fingerprint
    return found, known.lost, calendar.days.tolist(), calendar.counts.tolist(), calendar.known_until


@pytest.mark.parametrize("engine", ["duckdb", "postgres", pytest.param("spark", marks=pytest.mark.soak)], indirect=True)
def test_a_store_changes_nothing_and_takes_up_what_arrives_later(engine, tmp_path):
    rows = [visit(customer, day, day + i % 2) for i, customer in enumerate("abcd") for day in range(i, 40, 1 + i)]
    rows += [visit("stranger", 7, 7), (None, FIRST, FIRST, 1.0, None)]
    kept, plain = both(tmp_path, engine, deliver(engine, tmp_path, rows))
    assert told(kept) == told(plain)
    later = [visit("a", 40, 40), visit("b", 12, 40), visit("c", 38, 38)]
    deliver(engine, tmp_path, rows + later)
    changed = Store(Source(kept.data), ["login"]).update()
    assert changed == [number(FIRST.date()) + day for day in (38, 40)]
    assert told(kept) == told(plain)
    assert facts.read(kept.data).late == []


def test_a_row_too_late_for_the_store_is_told(engine, tmp_path):
    rows = [visit("a", day, day) for day in range(20)]
    kept, _ = both(tmp_path, engine, deliver(engine, tmp_path, rows))
    facts.read(kept.data)
    deliver(engine, tmp_path, [*rows, visit("b", 2, 2)])
    (late,) = facts.read(kept.data).late
    assert (late.rows, late.oldest) == (1, "2025-03-03")
