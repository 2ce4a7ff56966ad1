"""The tables come forward from every version there was, with what is in them, or stay as they are."""

import os
import signal
import subprocess
import sys
import threading
from datetime import date, datetime
from pathlib import Path

import pytest
from alembic import command, op
from alembic.config import Config
from sqlalchemy import MetaData, inspect, select
from sqlalchemy.exc import OperationalError

from features.errors import DataError
from serving.stores import database, store
from tests.service import databases

url = databases.url
NEWEST, LAST_MADE = "0005", "data_set"
RELEASED = ("0001", "0002", "0003", "0004")
NOW, DAY = datetime(2026, 1, 2, 3, 4, 5, 678), date(2026, 1, 1)
RUN = {
    "id": 7,
    "model": "churn",
    "as_of": DAY,
    "state": "published",
    "bundle": "b" * 64,
    "version": "b" * 12,
    "grade": "A",
    "rule": None,
    "base_rate": 0.1 + 0.2,
    "reference": 1 / 3,
    "horizon_start": DAY,
    "horizon_end": DAY,
    "features": [{"name": "login_count_28d", "label": "ログイン"}],
    "snapshot": "churn-2026-01-01-0123456789abcdef.parquet",
    "content": "c" * 64,
    "rows": 2,
    "message": "前回より",
    "started_at": NOW,
    "ended_at": None,
}
SCORE = {
    "run_id": 7,
    "customer_id": "顧客-1",
    "rank": 1,
    "name": "株式会社例",
    "owner": None,
    "renewal": DAY,
    "score": 0.1 + 0.2,
    "margin": -1e-300,
    "percentile": 99.5,
    "band": "high",
    "change": None,
    "value_at_risk": 1e12,
    "gain": -1.5,
    "held_out": True,
    "action": "contact",
    "families": {"login": {"log_odds": 0.25, "facts": {"値": None}}},
}
LATER = {
    "0002": {"segment": "big", "stage": "新規", "rfm": "1-2-3"},
    "0003": {"low": 0.1, "high": 0.9, "risks": {"30": 0.25}},
}
NOTE = {"customer_id": "顧客-1", "note": "電話した", "by": "CRM", "created_at": NOW}
WRITES = {
    "contacts": [{"id": 5, "at": NOW, "channel": "call", **NOTE}],
    "actions": [{"id": 6, "model": "churn", "as_of": DAY, "kind": "snoozed", "until": DAY, **NOTE}],
    "replays": [
        {"owner": "crm", "key": "鍵", "digest": "f" * 64, "status": 201, "answer": {"id": 5}, "created_at": NOW}
    ],
}


def filled(revision):
    """What a store of this version may hold: table -> rows."""
    added = [cells for since, cells in LATER.items() if since <= revision]
    score = {name: value for cells in (SCORE, *added) for name, value in cells.items()}
    empty = dict.fromkeys(name for cells in added for name in cells)
    key = {"scopes": "write,admin", "per_minute": 60} if revision >= "0004" else {}
    return {
        "runs": [RUN],
        "scores": [score, {**SCORE, **empty, "customer_id": "b" * 255, "rank": 2, "renewal": None, "held_out": False}],
        "left_out": [{"run_id": 7, "customer_id": "away", "status": "opted_out"}],
        "published": [{"model": "churn", "as_of": DAY, "run_id": 7}],
        "keys": [{"id": 3, "name": "crm", "hash": "d" * 64, "created_at": NOW, "expires_at": None, **key}],
        **(WRITES if revision >= "0004" else {}),
    }


def upgraded(engine, revision):
    """Make the tables of a version."""
    if database.is_sqlite(engine):
        Path(engine.url.database).parent.mkdir(parents=True, exist_ok=True)
        Path(engine.url.database).touch()
    with engine.begin() as connection:
        command.upgrade(config(connection), revision)


def config(connection):
    found = Config()
    found.set_main_option("script_location", "serving/stores/migrations")
    found.attributes["connection"] = connection
    return found


def fill(engine, revision):
    tables = reflected(engine)
    with engine.begin() as connection:
        for name, rows in filled(revision).items():
            connection.execute(tables[name].insert(), rows)


def reflected(engine):
    found = MetaData()
    found.reflect(engine)
    return found.tables


def contents(engine):
    """Every cell of every table, and the version."""
    with engine.connect() as connection:
        rows = {name: connection.execute(select(table)).mappings().all() for name, table in reflected(engine).items()}
    return {name: sorted((dict(row) for row in found), key=repr) for name, found in rows.items()}


@pytest.fixture
def engine(url):
    made = store.connect(url)
    yield made
    made.dispose()


@pytest.mark.parametrize("revision", RELEASED)
def test_from_every_version_values_are_kept_and_new_columns_have_their_defaults(engine, revision):
    upgraded(engine, revision)
    fill(engine, revision)
    store.migrate(engine)
    found = contents(engine)
    later = {name: None for since, cells in LATER.items() if since > revision for name in cells}
    assert found.pop("alembic_version") == [{"version_num": NEWEST}]
    expected = {"contacts": [], "actions": [], "replays": [], "data_set": []} | filled(revision)
    expected["scores"] = [row | later for row in expected["scores"]]
    expected["keys"] = [{"scopes": "score,read", "per_minute": None} | row for row in expected["keys"]]
    assert found == {name: sorted(rows, key=repr) for name, rows in ordered(expected, found).items()}
    store.migrate(engine)
    assert contents(engine) == {"alembic_version": [{"version_num": NEWEST}], **found}


def ordered(expected, found):
    """The same rows with their cells in the order of the table, as ``repr`` shows it."""
    return {
        name: [{key: row[key] for key in (found[name] or [row])[0]} for row in rows] for name, rows in expected.items()
    }


def test_a_new_row_gets_an_id_of_its_own_after_the_migration(engine):
    upgraded(engine, "0001")
    fill(engine, "0001")
    store.migrate(engine)
    tables = reflected(engine)
    cells = {"name": "new", "hash": "e" * 64, "created_at": NOW}
    with engine.begin() as connection:
        assert connection.execute(tables["keys"].insert().values(cells)).inserted_primary_key[0] != 3


def test_the_migrations_make_exactly_the_tables_of_the_code_and_go_back(engine):
    store.migrate(engine)
    with engine.begin() as connection:
        command.check(config(connection))
        command.downgrade(config(connection), "base")
    assert set(inspect(engine).get_table_names()) == {"alembic_version"}
    store.migrate(engine)
    assert {"runs", "scores", "left_out", "published", "keys", "contacts", "actions"} < set(contents(engine))


@pytest.mark.parametrize("revision", ["", *RELEASED])
def test_a_migration_that_fails_leaves_the_old_version_whole(engine, revision, monkeypatch):
    if revision:
        upgraded(engine, revision)
        fill(engine, revision)
    before = contents(engine) if revision else {}

    usual = op.create_table

    def killed(name, *columns, **options):
        if name == LAST_MADE:
            raise KeyboardInterrupt
        return usual(name, *columns, **options)

    monkeypatch.setattr("alembic.op.create_table", killed)
    with pytest.raises(KeyboardInterrupt):
        store.migrate(engine)
    assert contents(engine) == before
    monkeypatch.undo()
    store.migrate(engine)
    assert contents(engine)["alembic_version"] == [{"version_num": NEWEST}]


KILLED = """
import os, signal, sys
from alembic import op
from serving.stores import store
op.create_index = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
store.migrate(store.connect(sys.argv[1]))
"""


def test_a_migration_killed_in_the_middle_leaves_the_old_version_whole(engine, url):
    upgraded(engine, "0003")
    fill(engine, "0003")
    before = contents(engine)
    engine.dispose()
    done = subprocess.run([sys.executable, "-c", KILLED, url], env=os.environ, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    assert contents(engine) == before
    store.migrate(engine)
    assert contents(engine)["runs"] == before["runs"]


def test_a_store_of_a_newer_program_is_not_touched(engine):
    store.migrate(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    before = contents(engine)
    with pytest.raises(
        DataError, match=f"store: its tables are of version 9999, .* up to {NEWEST}; install the program"
    ):
        store.migrate(engine)
    assert contents(engine) == before


def test_several_processes_that_start_at_once_migrate_once(engine):
    upgraded(engine, "0001")
    fill(engine, "0001")
    problems = []

    def start():
        try:
            store.migrate(engine)
        except Exception as error:
            problems.append(error)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == [] and contents(engine)["alembic_version"] == [{"version_num": NEWEST}]


def test_sqlite_keeps_one_file_and_its_promises(tmp_path):
    made = store.connect(f"sqlite:///{tmp_path}/promises.db")
    with pytest.raises(OperationalError, match="unable to open"), made.connect():
        pass
    assert not list(tmp_path.iterdir())
    store.migrate(made)
    with made.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "delete"
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
        assert connection.exec_driver_sql("PRAGMA secure_delete").scalar() == 1


def test_a_store_that_was_there_is_not_made_anew(tmp_path):
    path = tmp_path / "serving.db"
    made = store.connect(f"sqlite:///{path}")
    with pytest.raises(DataError, match="there is no store"):
        store.migrate(made, make=False)
    assert not list(tmp_path.iterdir())
    store.migrate(made)
    store.migrate(made, make=False)
    made.dispose()
    path.rename(tmp_path / "away")
    for make in (True, False):
        with pytest.raises(DataError, match=r"is gone; put it back .*serving\.db\.made"):
            store.migrate(made, make)
        assert not path.exists()
    path.touch()  # what an older program left in its place
    with pytest.raises(DataError, match="is gone"):
        store.migrate(made)
    (tmp_path / "away").replace(path)
    store.migrate(made, make=False)


def test_an_empty_database_is_no_store_to_read(url):
    made = store.connect(url)
    with pytest.raises(DataError, match=r"no store|no tables"):
        store.migrate(made, make=False)


def test_postgres_ends_a_statement_that_takes_too_long():
    made = store.connect(databases.fresh("postgres", None))
    with made.connect() as connection:
        assert connection.exec_driver_sql("SHOW statement_timeout").scalar() == "1min"
        assert connection.exec_driver_sql("SHOW application_name").scalar() == "tsunagi"
    made.dispose()
