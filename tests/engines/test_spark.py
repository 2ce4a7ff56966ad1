"""The kernel on Spark's executors: the rows of DuckDB whatever the companies, a killed executor, a full disk."""

import os
import re
import signal
import threading
from datetime import date, timedelta
from functools import partial
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from features import __main__ as door
from features import config, facts, layout, snapshot
from features.errors import DataError
from features.snapshot_config import SnapshotConfig
from features.sources import Source, fetch
from tests import company
from tests.engines.world import SPARK

FIRST = date(2025, 1, 1)
DATES = [date(2025, 2, 1), date(2025, 3, 1), date(2025, 3, 2)]
MANY = {"spark": SPARK["spark"] | {"config": {"spark.sql.shuffle.partitions": 16}}}
SOME = {"spark": SPARK["spark"] | {"config": {"spark.sql.shuffle.partitions": 4}}}
MEANING = {
    "timezone": "Europe/Berlin",
    "naive_times": "Asia/Tokyo",
    "observed_until": "2025-04-20",
    "customers": {
        "table": "people.parquet", "id": "id", "known_from": "since", "name": "name", "opted_out": "refused",
        "attributes": {
            "plan": {"type": "category", "changes": {"table": "plans.parquet", "at": "at", "known": "known"}},
            "size": {"type": "number", "static": True},
        },
    },
    "subscriptions": {"table": "terms.parquet", "start": "start", "end": "end", "known": "known", "notice": "notice", "renewal": "renewal", "value": "value"},
    "streams": {
        "login": {"table": "visits.parquet", "at": "at", "known": "known", "value": "value", "entity": "user", "until": "until"},
        "stars": {"table": "visits.parquet", "at": "at", "value": "value", "kind": "rating"},
    },
}  # fmt: skip
MODELS = [
    {},
    {"population": {"subscription": "active", "seen": None}, "outcome": {"kind": "subscription_end", "horizon_days": 30, "streams": None}},
]  # fmt: skip


def settings_of(folder: Path, engine: str | dict, model: dict, **data) -> SnapshotConfig:
    return config.load(company.configs(folder / f"{len(list(folder.iterdir()))}", {"root": str(folder), "engine": engine} | data, model), SnapshotConfig)  # fmt: skip


def moment(low: int = 0, high: int = 100):
    """Wall-clock times around the dates, many at midnight."""
    minutes = st.sampled_from([0, 0, 1, 1_439, 540, 1_380])
    return st.builds(lambda day, minute: pd.Timestamp(FIRST) + pd.Timedelta(days=day, minutes=minute), st.integers(low, high), minutes)  # fmt: skip


LATER = st.one_of(st.none(), st.timedeltas(timedelta(0), timedelta(days=40)))
VALUE = st.sampled_from([None, 0.0, 1.5, -2.25, 0.1, 1e6])
VISIT = st.tuples(moment(), LATER, VALUE, st.sampled_from([None, "u1", "利用者"]), LATER)
TERM = st.tuples(moment(0, 60), LATER, st.timedeltas(timedelta(days=1), timedelta(days=60)), LATER, VALUE)
PLAN = st.tuples(moment(), LATER, st.sampled_from([None, "基本", "pro"]))
PERSON = st.tuples(
    st.lists(VISIT, max_size=4), st.lists(TERM, max_size=2), st.lists(PLAN, max_size=3),
    st.one_of(st.none(), moment(0, 40)), st.sampled_from([None, 3.0, 12.5]), st.booleans(),
)  # fmt: skip
COMPANY = st.lists(PERSON, min_size=1, max_size=4)


def after(at, lag):
    return None if lag is None else at + lag


def pooled(folder: Path, companies) -> None:
    """The tables of all companies; the customers of the i-th are called i社-…; also rows without an owner."""
    people, visits, terms, plans = [], [], [], []
    for i, own in enumerate(companies):
        for j, (visited, subscribed, changed, since, size, refused) in enumerate(own):
            name = f"{i}社-{j}"
            people.append((name, since, f"顧客 {name}", size, refused))
            visits += [(name, at, after(at, lag), value, user, after(at, open_)) for at, lag, value, user, open_ in visited]  # fmt: skip
            terms += [(name, at, at + length if length.days % 2 else None, after(at, lag), after(at, notice), at + length, value) for at, lag, length, notice, value in subscribed]  # fmt: skip
            plans += [(name, at, after(at, lag), plan) for at, lag, plan in changed]
    start = pd.Timestamp(FIRST)
    visits += [(None, start, None, 1.0, None, None), ("nobody", start, start, 1.0, "u1", start)]
    visits += [("0社-0", None, start, None, None, None), ("0社-0", start, None, 1.0, None, None)]
    terms.append(("nobody", start, None, None, None, start, 1.0))
    write(folder, "people", people, id="s", since="t", name="s", size="f", refused="b")
    write(folder, "visits", visits, id="s", at="t", known="t", value="f", user="s", until="t")
    write(folder, "terms", terms, id="s", start="t", end="t", known="t", notice="t", renewal="t", value="f")
    write(folder, "plans", plans, id="s", at="t", known="t", plan="s")


def write(folder: Path, table: str, rows: list, /, **kinds: str) -> None:
    types = {"s": pa.string(), "t": pa.timestamp("us"), "f": pa.float64(), "b": pa.bool_()}
    columns = list(zip(*rows)) or [()] * len(kinds)
    made = {column: pa.array(list(values), types[kind]) for (column, kind), values in zip(kinds.items(), columns)}
    parquet.write_table(pa.table(made), folder / f"{table}.parquet")


@settings(max_examples=2, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(companies=st.lists(COMPANY, min_size=10, max_size=14))
def test_any_company_has_the_rows_of_duckdb(spark, tmp_path_factory, companies):
    if not any(visits for own in companies for visits, *_ in own):  # the simplest example, always tried first
        return
    folder = tmp_path_factory.mktemp("companies")
    pooled(folder, companies)
    known = {}
    for name, engine in (("duckdb", "duckdb"), ("spark", SOME)):
        known[name] = facts.read(settings_of(folder, engine, {}, **MEANING).data, today=date(2025, 4, 5))
    assert known["spark"].lost == known["duckdb"].lost
    assert days(known["spark"]) == days(known["duckdb"])
    for model in MODELS:
        own = settings_of(folder, "duckdb", model, **MEANING)
        made = {name: snapshot.build(own, DATES, labels=True, known=read) for name, read in known.items()}
        for i in range(len(companies)):
            for side in ("frame", "left_out"):
                rows = [getattr(made[name], side) for name in ("duckdb", "spark")]
                mine = [own[own["customer_id"].str.startswith(f"{i}社-")].reset_index(drop=True) for own in rows]
                pd.testing.assert_frame_equal(*mine)
        assert made["spark"].fingerprint == made["duckdb"].fingerprint


@settings(max_examples=8)
@given(companies=st.lists(COMPANY, min_size=1, max_size=4), chance=st.randoms(use_true_random=False))
def test_facts_from_shuffled_batches_are_the_facts(tmp_path_factory, companies, chance):
    """What an executor does, here: a customer's rows lie anywhere, in batches of seven."""
    folder = tmp_path_factory.mktemp("batches")
    pooled(folder, companies)
    own = settings_of(folder, "duckdb", MODELS[1], **MEANING)
    source = Source(own.data)
    tables = layout.queries(source)
    made = layout.of(own.data, 20_180, tables)
    laid = [fetch(sheet.laid(tables[name]), name) for name, sheet in made.sheets.items()]
    laid = [rows.append_column("sheet", pa.array([i] * rows.num_rows, pa.int32())) for i, rows in enumerate(laid)]
    united = pa.concat_tables(laid, promote_options="default")
    united = united.take(pa.array(chance.sample(range(united.num_rows), united.num_rows), pa.int64()))
    found = made.facts(united.to_batches(7))
    known = facts.read(own.data, today=date(1970, 1, 1) + timedelta(days=20_180))
    assert (found.lost, days(found)) == (known.lost, days(known))
    both = [snapshot.build(own, DATES, labels=True, known=one) for one in (found, known)]
    pd.testing.assert_frame_equal(both[0].frame, both[1].frame)
    pd.testing.assert_frame_equal(both[0].left_out, both[1].left_out)


def days(known: facts.Facts) -> dict:
    return {name: (own.days.tolist(), own.counts.tolist(), own.known_until) for name, own in known.calendar.items()}


@pytest.fixture(scope="module")
def regular(tmp_path_factory):
    """A company of 200 customers, one of whom never comes."""
    folder = tmp_path_factory.mktemp("regular")
    people, logins = company.logins(200, 20)
    company.tables(folder, customers=pd.concat([people, pd.DataFrame({"id": ["silent"]})]), logins=logins)
    return folder


def content(own: SnapshotConfig, then=None) -> str:
    known, whole = facts.read(own.data), snapshot.ContentHash()
    for part in snapshot.parts(own, snapshot.dates(own, known), known, labels=True, then=then):
        whole.add(part.to_pandas())
    return whole.hex()


def test_customers_may_come_from_a_stream_and_be_fewer_than_partitions(spark, tmp_path):
    company.tables(tmp_path, logins=company.logins(5, 20)[1])
    own = {"customers": {"from_stream": "login", "table": None}}
    found = [content(settings_of(tmp_path, engine, {}, **own)) for engine in ("duckdb", MANY)]
    assert found[0] == found[1]


def test_tables_that_changed_are_read_again_while_older_facts_are_held(spark, tmp_path):
    seen = []
    for customers in (2, 3):
        people, logins = company.logins(customers, 2)
        company.tables(tmp_path, customers=people, logins=logins)
        known = facts.read(settings_of(tmp_path, SPARK, {}).data)
        seen.append((known, len(logins)))
    assert [int(known.calendar["login"].counts.sum()) for known, _ in seen] == [rows for _, rows in seen]


def test_a_part_is_worked_on_where_it_is_made(spark, regular):
    own = settings_of(regular, SPARK, {})
    known = facts.read(own.data)
    pids = {pid for part in snapshot.parts(own, DATES, known, then=lambda rows: rows.append_column("pid", pa.array([os.getpid()] * rows.num_rows))) for pid in part["pid"].to_pylist()}  # fmt: skip
    assert pids and os.getpid() not in pids
    assert len(known.customers) == 201 and "silent" in set(known.customers["id"])


def executors(session) -> list[int]:
    """The processes of this application's executors."""
    mine = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().split(b"\0")
        except OSError:  # it has ended meanwhile
            continue
        if b"org.apache.spark.executor.CoarseGrainedExecutorBackend" in words and session.sparkContext.applicationId.encode() in words:  # fmt: skip
            mine.append(int(path.parent.name))
    return mine


def test_a_killed_executor_loses_nothing(spark, regular):
    expected = content(settings_of(regular, "duckdb", {}))
    marks = regular / "marks"
    marks.mkdir()

    def slowly(folder: str, rows: pa.Table) -> pa.Table:
        import time
        import uuid
        from pathlib import Path

        (Path(folder) / uuid.uuid4().hex).touch()
        time.sleep(0.3)
        return rows

    before, killed = executors(spark), []

    def kill() -> None:
        while len(list(marks.iterdir())) < 5:
            stop.wait(0.05)
        killed.append(before[0])
        os.kill(before[0], signal.SIGKILL)

    stop = threading.Event()
    killer = threading.Thread(target=kill)
    killer.start()
    found = content(settings_of(regular, MANY, {}), partial(slowly, str(marks)))
    killer.join()
    assert killed and killed[0] not in executors(spark)
    assert len(list(marks.iterdir())) > 16  # some of it was done twice
    assert found == expected


def test_a_full_disk_is_one_line_and_leaves_nothing(spark, regular, tmp_path, capfd):
    def fill(rows: pa.Table) -> pa.Table:
        import errno

        raise OSError(errno.ENOSPC, "No space left on device")

    own = settings_of(regular, SPARK, {})
    made = snapshot.parts(own, DATES, facts.read(own.data), then=fill)
    with pytest.raises(DataError, match=r"Spark: the parts cannot be made \(.*No space left on device") as caught:
        door.write(made, tmp_path / "made" / "snapshot.parquet")
    assert one_line(caught) and list((tmp_path / "made").iterdir()) == []
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("people", "message"),
    [
        (["a", "a", "b"], "customers.parquet: id: 1 customers stand in more than one row"),
        (["a", None, None], "customers.parquet: id: 2 rows have no customer id"),
        ([], "customers.parquet: no customer in it"),
    ],
)
def test_what_an_executor_finds_wrong_is_said_as_everywhere(spark, tmp_path, capfd, people, message):
    company.tables(tmp_path, logins=company.logins(2, 20)[1])
    write(tmp_path, "customers", [(name,) for name in people], id="s")
    with pytest.raises(DataError, match=re.escape(message)) as caught:
        facts.read(settings_of(tmp_path, MANY, {}).data)
    assert one_line(caught) and capfd.readouterr() == ("", "")


def test_a_truncated_file_is_one_line(spark, tmp_path, capfd):
    people, logins = company.logins(200, 20)
    company.tables(tmp_path, customers=people, logins=logins)
    path = tmp_path / "logins.parquet"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DataError, match=r"logins.parquet.*cannot be read") as caught:
        facts.read(settings_of(tmp_path, SPARK, {}).data)
    assert one_line(caught) and capfd.readouterr() == ("", "")


def one_line(caught) -> bool:
    return not re.search(r"\n|Traceback|\tat ", str(caught.value))
