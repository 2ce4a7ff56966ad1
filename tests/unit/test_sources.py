"""Tables in: every kind of file, every wrong table with one message, nothing read wrongly in silence."""

import re
import subprocess
import sys
from datetime import UTC, date, datetime

import duckdb
import numpy as np
import pandas as pd
import pytest

from features import config, facts, snapshot
from features.errors import ConfigError, DataError
from features.snapshot_config import SnapshotConfig
from features.sources import Source
from tests import company

PEOPLE = [{"id": "a"}, {"id": "b"}]
LOGINS = [
    {"id": "a", "at": datetime(2025, 3, 1, 10), "value": 2.5, "user": "u1"},
    {"id": "b", "at": datetime(2025, 3, 2, 10), "value": 1.0, "user": "u2"},
]


def settings(folder, data=None, model=None):
    return config.load(company.configs(folder, data, model), SnapshotConfig)


def read(folder, data=None):
    return facts.read(settings(folder, data).data)


def csv(folder, name, text):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")


def logins(known):
    """The daily logins of a company so small that it is one part."""
    return next(known.parts()).activity["login"]


def counts(known):
    found = np.bincount(logins(known).customer, minlength=len(known.customers))
    return dict(zip(known.customers["id"], found, strict=True))


@pytest.mark.parametrize(
    ("last", "said"),
    [
        ("a,2025-03-02", "line 302 of logins.csv has 2 cells, the header has 3"),
        ("a,b,c,d", "line 302 of logins.csv has 4 cells, the header has 3"),
    ],
)
def test_a_line_of_too_few_or_many_cells_is_named(tmp_path, last, said):
    company.tables(tmp_path, customers=[{"id": "a"}])
    csv(tmp_path, "logins.csv", "id,at,value\n" + "a,2025-03-01,1\n" * 300 + f"{last}\n")
    with pytest.raises(DataError, match=said):
        read(tmp_path, {"streams": {"login": {"table": "logins.csv"}}})


def test_csv_of_other_separators_and_quoted_cells(tmp_path):
    company.tables(tmp_path, customers=[{"id": "a"}])
    csv(tmp_path, "logins.csv", '"id";"at";"note"\n' + 'a;2025-03-01;"x;y ""z""\nand more"\n' * 3)
    assert list(logins(read(tmp_path, {"streams": {"login": {"table": "logins.csv"}}})).count) == [3]


def test_ids_that_a_program_wrote_as_decimals_are_whole(tmp_path):
    csv(tmp_path, "customers.csv", "id\n12\n013\n1.50\n")
    csv(tmp_path, "logins.csv", "id,at\n12.0,2025-03-01\n,2025-03-01\n1.50,2025-03-01\n13.0,2025-03-01\n")
    facts = read(tmp_path, {"customers": {"table": "customers.csv"}, "streams": {"login": {"table": "logins.csv"}}})
    assert facts.lost["login"]["of_unknown_customers"] == 1 and len(logins(facts).day) == 2


def test_parquet_csv_and_duckdb_give_the_same_facts(tmp_path):
    company.tables(tmp_path, customers=PEOPLE, logins=LOGINS)
    csv(tmp_path, "customers.csv", "id\na\nb\n")
    csv(tmp_path, "logins.csv", "id,at,value,user\na,2025-03-01 10:00:00,2.5,u1\nb,2025-03-02T10:00:00,1,u2\n")
    with duckdb.connect(tmp_path / "shop.duckdb") as database:
        database.execute(f"create table people as from '{tmp_path}/customers.parquet'")
        database.execute(f"create table visits as from '{tmp_path}/logins.parquet'")
    kinds = {
        "customers.parquet": "logins.parquet",
        "customers.csv": "logins.csv",
        "shop.duckdb:people": "shop.duckdb:visits",
        "cust*.parquet": "log*.parquet",
    }
    found = []
    for people, visits in kinds.items():
        data = {"customers": {"table": people}, "streams": {"login": {"table": visits, "value": "value", "entity": "user"}}}  # fmt: skip
        made = snapshot.build(settings(tmp_path, data), [date(2025, 3, 3)], labels=True)
        found.append(made.fingerprint)
        assert list(made.frame["login_sum_7d"]) == [2.5, 1.0]
    assert len(set(found)) == 1


def test_ids_are_text_whatever_their_type(tmp_path):
    company.tables(tmp_path, customers={"id": [7, 8]}, logins={"id": [7.0, 8.0], "at": [datetime(2025, 3, 1)] * 2})
    assert counts(read(tmp_path)) == {"7": 1, "8": 1}
    csv(tmp_path, "customers.csv", "id\n007\n7\n")
    csv(tmp_path, "logins.csv", "id,at\n007,2025-03-01\n")
    data = {"customers": {"table": "customers.csv"}, "streams": {"login": {"table": "logins.csv"}}}
    assert counts(read(tmp_path, data)) == {"007": 1, "7": 0}


def test_japanese_ids_and_names_pass_through(tmp_path):
    people = [{"id": "顧客１", "name": "株式会社つなぎ", "owner": "佐藤"}, {"id": "b", "name": None, "owner": None}]
    company.tables(tmp_path, customers=people, logins=[{"id": "顧客１", "at": datetime(2025, 3, 1)}])
    data = {"customers": {"name": "name", "owner": "owner"}}
    made = snapshot.build(settings(tmp_path, data), [date(2025, 3, 3)], labels=False)
    assert list(made.frame[["customer_id", "name", "owner"]].iloc[0]) == ["顧客１", "株式会社つなぎ", "佐藤"]


def test_local_days_follow_the_zone_of_the_times(tmp_path):
    aware = [datetime(2025, 3, 1, 15, tzinfo=UTC)]
    company.tables(tmp_path, customers=PEOPLE, logins={"id": ["a"], "at": aware})
    tokyo = {"timezone": "Asia/Tokyo"}
    assert logins(read(tmp_path, tokyo)).day[0] == (date(2025, 3, 2) - date(1970, 1, 1)).days
    company.tables(tmp_path, logins={"id": ["a"], "at": [datetime(2025, 3, 1, 15)]})
    assert logins(read(tmp_path, tokyo | {"naive_times": "Asia/Tokyo"})).day[0] == 20148
    company.tables(tmp_path, logins={"id": ["a"], "at": [date(2025, 3, 1)]})
    assert logins(read(tmp_path, {"timezone": "America/New_York"})).day[0] == 20148
    csv(tmp_path, "logins.csv", "id,at\na,2025-03-02T00:30:00+09:00\na,2025-03-01T15:30:00Z\n")
    in_csv = tokyo | {"streams": {"login": {"table": "logins.csv"}}}
    assert list(logins(read(tmp_path, in_csv)).day) == [20149]


@pytest.mark.parametrize(
    ("name", "tables", "data", "message"),
    [
        ("missing table", {"logins": None}, {}, "logins.parquet: no such file"),
        ("unknown kind", {}, {"streams": {"login": {"table": "logins.xlsx"}}}, "unknown kind of table; allowed"),
        ("missing column", {}, {"streams": {"login": {"at": "when"}}}, r"streams.login.at: logins.parquet has no column when; columns: id, at"),
        ("missing id", {"logins": [{"who": "a", "at": datetime(2025, 3, 1)}]}, {}, r"streams.login.id: .*no column id"),
        ("missing where", {}, {"streams": {"login": {"where": {"kind": "x"}}}}, r"streams.login.where: .*no column kind"),
        ("wrong where", {}, {"streams": {"login": {"where": {"value": "x"}}}}, r"where.value: 'x' cannot equal a column of type float64"),
        ("number as time", {}, {"streams": {"login": {"at": "value"}}}, r"float64 found where a date or time stamp is needed"),
        ("text as time", {}, {"streams": {"login": {"at": "user"}}}, r"2 of 2 values are no time stamps"),
        ("text as value", {}, {"streams": {"login": {"value": "user"}}}, r"2 values are text, not numbers"),
        ("time as value", {}, {"streams": {"login": {"value": "at"}}}, r"timestamp.* found where a number is needed"),
        ("empty events", {"logins": pd.DataFrame({"id": ["a"], "at": [datetime(2025, 3, 1)]}).iloc[:0]}, {}, r"logins.parquet \(login\): no row"),
        ("empty by where", {}, {"streams": {"login": {"where": {"user": "nobody"}}}}, r"no row; .*change data.yaml: streams.login.where"),
        ("empty customers", {"customers": pd.DataFrame(PEOPLE).iloc[:0]}, {}, r"customers.parquet: no customer in it"),
        ("customer twice", {"customers": [*PEOPLE, {"id": "a"}]}, {}, r"1 customers stand in more than one row \(first: a\)"),
        ("customer without id", {"customers": [*PEOPLE, {"id": None}]}, {}, r"1 rows have no customer id"),
        ("null times", {"logins": pd.DataFrame({"id": ["a"], "at": pd.to_datetime([None])})}, {}, r"all 1 time stamps are null"),
        ("null values", {"logins": pd.DataFrame({"id": ["a"], "at": [datetime(2025, 3, 1)], "value": pd.Series([None], dtype=float)})}, {"streams": {"login": {"value": "value"}}}, r"every value is null"),
        ("infinite", {"logins": [LOGINS[0] | {"value": float("inf")}]}, {"streams": {"login": {"value": "value"}}}, r"1 values are NaN, infinite or over"),
        ("huge", {"logins": [LOGINS[0] | {"value": 1e13}]}, {"streams": {"login": {"value": "value"}}}, r"1 values are NaN, infinite or over"),
        ("huge together", {"logins": [LOGINS[0] | {"value": 9e12}] * 2}, {"streams": {"login": {"value": "value"}}}, r"sum is over 4.6e12"),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 22 else "",
)  # fmt: skip
def test_a_wrong_table_gets_one_message(tmp_path, name, tables, data, message):
    company.tables(tmp_path, **{k: v for k, v in ({"customers": PEOPLE, "logins": LOGINS} | tables).items() if v is not None})  # fmt: skip
    with pytest.raises(DataError) as caught:
        list(read(tmp_path, data).parts())
    assert re.search(message, str(caught.value)), str(caught.value)
    assert "\n" not in str(caught.value)


def test_mixed_zones_are_refused(tmp_path):
    company.tables(tmp_path, customers=PEOPLE)
    csv(tmp_path, "logins.csv", "id,at\na,2025-03-01T10:00:00+09:00\nb,2025-03-01T10:00:00\n")
    with pytest.raises(DataError, match="mixed time zones: 1 of 2 values carry a zone"):
        read(tmp_path, {"streams": {"login": {"table": "logins.csv"}}})


def test_a_truncated_file_is_named(tmp_path):
    company.tables(tmp_path, customers=PEOPLE, logins=LOGINS)
    whole = (tmp_path / "logins.parquet").read_bytes()
    (tmp_path / "logins.parquet").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"logins.parquet.*cannot be read"):
        read(tmp_path)


def test_rows_that_cannot_be_used_are_counted(tmp_path):
    rows = [*LOGINS, {"id": "stranger", "at": datetime(2025, 3, 1)}, {"id": "a", "at": None}, {"id": None, "at": datetime(2025, 3, 1)}]  # fmt: skip
    company.tables(tmp_path, customers=PEOPLE, logins=rows)
    assert read(tmp_path).lost["login"] == {
        "without_time": 1,
        "without_id": 1,
        "of_unknown_customers": 1,
        "after_today": 0,
        "ending_before_they_begin": 0,
    }


def test_a_lookup_takes_one_column_from_another_table(tmp_path):
    company.tables(
        tmp_path,
        customers=PEOPLE,
        logins=[{"id": "a", "at": datetime(2025, 3, 1), "sku": 1}, {"id": "a", "at": datetime(2025, 3, 1), "sku": 2}],
        products=[{"sku": 1, "department": "tea"}, {"sku": 2, "department": "coffee"}, {"sku": 2, "department": "coffee"}],
    )  # fmt: skip
    lookup = {"table": "products.parquet", "on": "sku", "take": "department"}
    known = read(tmp_path, {"streams": {"login": {"lookup": lookup, "where": {"department": "tea"}}}})
    assert list(logins(known).count) == [1]
    with pytest.raises(DataError, match=r"lookup.take: products.parquet has no column colour"):
        read(tmp_path, {"streams": {"login": {"lookup": lookup | {"take": "colour"}}}})


def test_an_end_before_its_start_is_refused(tmp_path):
    terms = [{"id": "a", "start": date(2025, 3, 1), "end": date(2025, 2, 1)}]
    company.tables(tmp_path, customers=PEOPLE, logins=LOGINS, terms=terms)
    with pytest.raises(DataError, match=r"1 rows end \(end\) before they start \(start\)"):
        read(tmp_path, {"subscriptions": {"table": "terms.parquet", "start": "start", "end": "end"}})
    company.tables(tmp_path, terms=[{"id": "a", "start": None, "end": date(2025, 2, 1)}])
    with pytest.raises(DataError, match=r"1 rows have no start|needed"):
        read(tmp_path, {"subscriptions": {"table": "terms.parquet", "start": "start", "end": "end"}})


def test_a_lookup_that_is_ambiguous_is_refused(tmp_path):
    logins = [{"id": "a", "at": datetime(2025, 3, 1), "sku": 1}]
    products = [{"sku": 1, "department": "tea"}, {"sku": 1, "department": "coffee"}]
    company.tables(tmp_path, customers=PEOPLE, logins=logins, products=products)
    lookup = {"table": "products.parquet", "on": "sku", "take": "department"}
    with pytest.raises(DataError, match="1 values of sku stand there with different department"):
        read(tmp_path, {"streams": {"login": {"lookup": lookup}}})


def test_flags_and_conditions_read_text_as_people_write_it(tmp_path):
    csv(tmp_path, "customers.csv", "id,vip\na,Yes\nb,false\nc,\n")
    csv(
        tmp_path,
        "logins.csv",
        "id,at,paid\na,2025-03-01,True\na,2025-03-01,False\nb,2025-03-01,true\nc,2025-03-01,TRUE\n",
    )
    attributes = {"vip": {"type": "flag", "static": True}}
    streams = {"login": {"table": "logins.csv", "where": {"paid": True}}}
    data = {"customers": {"table": "customers.csv", "attributes": attributes}, "streams": streams}
    made = snapshot.build(settings(tmp_path, data), [date(2025, 3, 3)], labels=False).frame
    assert list(made["login_count_7d"]) == [1, 1, 1]
    assert made["vip"].fillna(-1).tolist() == [1, 0, -1]
    csv(tmp_path, "customers.csv", "id,vip\na,maybe\nb,false\n")
    with pytest.raises(DataError, match="1 values are neither true nor false"):
        snapshot.build(settings(tmp_path, data), [date(2025, 3, 3)], labels=False)


def test_an_unset_root_is_one_message(tmp_path):
    company.tables(tmp_path, customers=PEOPLE, logins=LOGINS)
    own = settings(tmp_path, {"root": {"env": "TSUNAGI_NO_SUCH_FOLDER"}})
    with pytest.raises(ConfigError, match=r"data.yaml: root.env: the environment variable TSUNAGI_NO_SUCH_FOLDER"):
        facts.read(own.data)


def test_no_event_of_a_known_customer_is_named(tmp_path):
    company.tables(tmp_path, customers=PEOPLE, logins=[{"id": "stranger", "at": datetime(2025, 3, 1)}])
    with pytest.raises(DataError, match="no event of any stream belongs to a known customer"):
        snapshot.dates(settings(tmp_path))


@pytest.mark.parametrize(
    ("engine", "message"),
    [
        ("duckdbb", r"engine: allowed: duckdb, spark, .*; found 'duckdbb'"),
        ({"postgre": {}}, r"engine.postgre: unknown key \(did you mean postgres\?\); known keys: postgres, spark"),
        ({"postgres": {}}, r"engine.postgres.env: this key is missing"),
        ({"postgres": {"env": "X"}, "spark": {}}, r"engine: give one engine, postgres or spark"),
        ({"spark": {"master": "local[2]", "remote": "sc://host"}}, r"engine.spark: give either `master`"),
        ({"spark": {"remote": "sc://host/;token=abc"}}, r"engine.spark: remote: no secret belongs here"),
    ],
)
def test_a_wrong_engine_gets_one_message(tmp_path, engine, message):
    with pytest.raises(ConfigError, match=message) as caught:
        settings(tmp_path, {"engine": engine})
    assert "abc" not in str(caught.value)


def test_only_files_of_duckdb_need_a_root(tmp_path):
    assert settings(tmp_path, {"engine": "duckdb"}).data.engine.name == "duckdb"
    assert settings(tmp_path, {"engine": "spark", "root": None}).data.engine.name == "spark"
    with pytest.raises(ConfigError, match=r"data.yaml: root: this key is missing"):
        settings(tmp_path, {"root": None})


@pytest.mark.parametrize(("engine", "library"), [("spark", "pyspark"), ({"postgres": {"env": "HOME"}}, "psycopg")])
def test_an_engine_that_is_not_installed_is_told(tmp_path, monkeypatch, engine, library):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(
        ConfigError, match=rf"data.yaml: engine.*: {library} is not installed; install {library}.* with pip"
    ):
        Source(settings(tmp_path, {"engine": engine}).data)


def test_files_need_no_other_engine(tmp_path):
    company.tables(tmp_path, customers=PEOPLE)
    code = "import sys; from features.sources import Source; from features.data_config import Data; import yaml\n"
    code += (
        f"Source(Data(**yaml.safe_load(open('{tmp_path}/data.yaml')))).table('customers.parquet').count().execute()\n"
    )
    company.configs(tmp_path)
    done = subprocess.run([sys.executable, "-c", code + "print({'pyspark', 'psycopg'} & set(sys.modules))"], capture_output=True, text=True)  # fmt: skip
    assert done.stdout == "set()\n", done.stderr
