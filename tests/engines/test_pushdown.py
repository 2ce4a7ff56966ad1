"""The roll-up in SQL equals the compiled one, row for row, on every engine."""

from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta

import ibis
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from features import calendar, columns, pushdown
from features.sources import Source, fetch
from tests.engines.world import data, write

ZONES = ["Europe/Berlin", "Asia/Tokyo", "America/Sao_Paulo"]
START = datetime(1970, 1, 1)
SCHEMA = pa.schema(
    {
        "whole": pa.int64(), "word": pa.string(), "broken": pa.float64(), "value": pa.float64(),
        "zoned": pa.timestamp("us", "UTC"), "naive": pa.timestamp("us"), "day": pa.date32(),
        "zoned_known": pa.timestamp("us", "UTC"), "naive_known": pa.timestamp("us"), "day_known": pa.date32(),
    }
)  # fmt: skip
ERAS = [(-40, -20), (15, 25), (45, 60)]  # years from 1970: war time and its clocks, summer times, today's rules


def moments(era):
    """Instants (µs) of an era: where days and clocks turn, a moment before and after, and any others."""
    low, high = (year * 365 for year in era)
    turns = {int(turn) for zone in ZONES for turn in calendar.offsets(zone)[0]}
    turns = sorted(turn for turn in turns if low <= turn // calendar.DAY < high)
    half_hours = st.integers(low * 48, high * 48).map(lambda half: half * 1_800 * calendar.SECOND)
    nudge = st.sampled_from([0, 0, 1, -1, 999_999, -500_000, 1_800_000_000, -1_800_000_000, 3_599_999_999])
    near = st.builds(int.__add__, st.sampled_from(turns) | half_hours, nudge)
    return near | st.integers(low * calendar.DAY, high * calendar.DAY)


def rows(era):
    """A row: few ids and days, so that many rows fall into one group; nulls everywhere."""
    moment = st.none() | moments(era)
    halves = st.integers(-200, 200).map(lambda n: n / 128)  # n/128 · 1e6 ends in .5 for odd n
    value = st.none() | halves | st.floats(-1e10, 1e10) | st.sampled_from([0.0, -0.0, 1e-7, 5e-7, 2.5e-6, 1.0000005])
    return st.tuples(
        st.sampled_from([None, 7, 8, -(2**62)]),
        st.sampled_from([None, "顧客１", " b ", "", "o'k\\", '"q",\n', "fov"]),
        st.sampled_from([None, 7.0, -8.0]),
        value,
        moment,
        moment,
    )


def table(cases) -> pa.Table:
    def stamp(micro, zone):
        return None if micro is None else (START + timedelta(microseconds=micro)).replace(tzinfo=zone)

    lines = []
    for whole, word, broken, value, at, known in cases:
        own = {"whole": whole, "word": word, "broken": broken, "value": value}
        for name, micro in (("", at), ("_known", known)):
            own |= {f"zoned{name}": stamp(micro, UTC), f"naive{name}": stamp(micro, None)}
            own[f"day{name}"] = None if micro is None else calendar.day_of(micro // calendar.DAY)
        lines.append(own)
    return pa.Table.from_pylist(lines, SCHEMA)


def meaning(engine, folder, zone):
    return data(folder, engine, timezone=zone, naive_times="America/Sao_Paulo" if zone == "Europe/Berlin" else "UTC" if zone == "Asia/Tokyo" else zone)  # fmt: skip


def cases_of(made: pa.Table):
    """Every zone with every kind of time, and an id and an entity of every type."""
    ids = ["whole", "word", "broken"]
    return [(zone, kind, ids[(i + j) % 3], ids[(i + 2 * j + 1) % 3]) for i, zone in enumerate(ZONES) for j, kind in enumerate(("zoned", "naive", "day"))]  # fmt: skip


def plain(name, column):
    """An id as the contract has it, from a raw value."""
    return [None if value is None or value == "" else value.strip() if name == "word" else int(value) for value in column.to_pylist()]  # fmt: skip


def expected(made: pa.Table, own, kind, identity, entity):
    """The compiled path over the raw rows, grouped by a plain loop."""
    day, time = columns.days(made[kind], own)
    known = np.maximum(day, columns.days(made[f"{kind}_known"], own, fill=-(2**31))[0])
    until = columns.days(made[f"{kind}_known"], own)[0]
    empty = made[kind].is_null().to_pylist()
    ids, entities = plain(identity, made[identity]), plain(entity, made[entity])
    groups, ratings = defaultdict(lambda: np.zeros(3, object)), []
    for i, value in enumerate(made["value"].to_pylist()):
        micro = 0 if value is None else int(np.rint(value * 1e6))
        rating = (ids[i], None if empty[i] else int(day[i]), None if empty[i] else int(known[i]))
        groups[(*rating, entities[i], int(until[i]))] += (1, int(value is not None), micro)
        ratings.append((*rating, None if empty[i] else int(time[i]), int(value is not None), micro))
    return {key: tuple(sums) for key, sums in groups.items()}, ratings


def typed(source_table, kind, identity, entity):
    roles = {"id": columns.key(source_table[identity]), "entity": columns.key(source_table[entity])}
    roles["at"] = columns.time(source_table[kind], kind)
    roles |= {role: columns.time(source_table[f"{kind}_known"], kind) for role in ("known", "until")}
    return source_table.select(**roles, value=columns.number(source_table["value"], "value"))


def union(tables):
    """One query for all cases; ids become text only to stand in one column."""
    return ibis.union(*[
        one.mutate(case=ibis.literal(i), **{name: one[name].cast("string") for name in ("id", "entity") if name in one.columns})
        for i, one in enumerate(tables)
    ])  # fmt: skip


def roles_text(kind, own):
    return f"{kind} in {own.timezone}, without a zone {own.naive_times}"


ANY = st.tuples(*(st.lists(rows(era), min_size=85, max_size=100) for era in ERAS))
PHASES = [Phase.explicit, Phase.reuse, Phase.generate]


@pytest.mark.parametrize("engine", ["duckdb", "postgres"], indirect=True)
@settings(max_examples=3, phases=PHASES)
@given(eras=ANY)
def test_the_sql_roll_up_equals_the_compiled_one(engine, tmp_path_factory, eras):
    compare(engine, tmp_path_factory, eras)


@pytest.mark.parametrize("engine", ["spark"], indirect=True)
@settings(max_examples=2, phases=PHASES)  # one job takes as long as twenty queries of the others
@given(eras=ANY)
def test_the_sql_roll_up_on_spark_equals_the_compiled_one(engine, tmp_path_factory, eras):
    compare(engine, tmp_path_factory, eras)


def compare(engine, tmp_path_factory, eras):
    cases = [case for era in eras for case in era]
    if len({*cases}) <= len(ERAS):  # the simplest example is always tried first: one row, again and again
        return
    folder, made = tmp_path_factory.mktemp("rows"), table(cases)
    name = write(engine, folder, "rows", made)
    there = Source(data(folder, engine)).table(name)
    meanings = [
        (meaning(engine, folder, zone), kind, identity, entity) for zone, kind, identity, entity in cases_of(made)
    ]
    events = union([pushdown.rolled(typed(there, *roles), own, name) for own, *roles in meanings])
    found = pushdown.checked(fetch(events, "rows"), "rows").to_pylist()
    stars = union(
        [
            pushdown.rolled(typed(there, *roles).drop("entity", "until"), own, name, rating=True)
            for own, *roles in meanings[:: len(ZONES) + 1]
        ]
    )
    stars = pushdown.checked(fetch(stars, "rows"), "rows").to_pylist()
    for i, (own, kind, identity, entity) in enumerate(meanings):
        groups, ratings = expected(made, own, kind, identity, entity)
        say = {
            key if key is None else str(key): key for key in {*(key[0] for key in groups), *(key[3] for key in groups)}
        }
        got = {
            (say[row["id"]], row["day"], row["known"], say[row["entity"]], row["until"]): (row["count"], row["valued"], row["total"])
            for row in found if row["case"] == i
        }  # fmt: skip
        wrong = {key: (got.get(key), groups.get(key)) for key in got.keys() | groups if got.get(key) != groups.get(key)}
        assert wrong == {}, roles_text(kind, own)
        if i % (len(ZONES) + 1):  # ratings: each zone once, each kind of time once
            continue
        seen = [
            (say[row["id"]], *(row[key] for key in ("day", "known", "time", "valued", "total")))
            for row in stars if row["case"] == i // (len(ZONES) + 1)
        ]  # fmt: skip
        assert Counter(seen) - Counter(ratings) == Counter(ratings) - Counter(seen), roles_text(kind, own)
