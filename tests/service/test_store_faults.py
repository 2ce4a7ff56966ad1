"""The daily job and the writes of people while the database goes away, is locked, or has no room left."""

import os
import random
import resource
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing, contextmanager

import psycopg
import pytest
from sqlalchemy import event, func, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from features.errors import InputError
from serving.stores import database, journal, records, store
from tests.service import databases
from tests.service import world as worlds
from tests.service.test_daily_killed import files, seen, state
from tests.unit.test_serving_journal import DIGEST, NOW, counted, written
from tests.unit.test_serving_store import row, run

BATCH = 5


class Company:
    """A company with last week's list published on one kind of database, and today's list of an undisturbed run."""

    def __init__(self, folder, kind):
        self.base = databases.placed(worlds.make(folder / f"faults-{kind}"), kind)
        self.base.place(worlds.bundle())
        self.base.publish(worlds.LAST_WEEK)
        whole = databases.copied(self.base, "whole")
        whole.publish()
        self.list, self.files = seen(whole), files(whole)
        store.connect(whole.config.store_url).dispose()

    @contextmanager
    def world(self, name):
        """A copy of it; at the end today's list is the undisturbed one, nothing twice, nothing left over."""
        world = databases.copied(self.base, name)
        yield world, store.connect(world.config.store_url)
        assert seen(world) == self.list and state(world) == (0, True) and files(world) == self.files
        with world.session() as session:
            states = session.scalars(select(records.Run.state).order_by(records.Run.id)).all()
        assert states[0] == states[-1] == "published" and set(states[1:-1]) <= {"abandoned"}
        store.connect(world.config.store_url).dispose()


@pytest.fixture(scope="module")
def postgres(workspace, tmp_path_factory):
    return Company(tmp_path_factory.mktemp("faults"), "postgres")


@pytest.fixture(scope="module")
def sqlite(workspace, tmp_path_factory):
    return Company(tmp_path_factory.mktemp("faults"), "sqlite")


def each_step(engine, monkeypatch, step):
    """Call ``step``, once the job is the only one, before every statement and commit, and in the middle of the rows."""
    insert, clean = store.insert, store.clean

    def disturbed(connection, table, run_id, rows):
        half = (len(rows) + 1) // 2
        insert(connection, table, run_id, rows[:half])
        step()
        if rows[half:]:
            insert(connection, table, run_id, rows[half:])

    def begun(session, now):
        event.listen(engine, "before_cursor_execute", lambda *_: step())
        event.listen(engine, "commit", lambda _: step())
        monkeypatch.setattr(store, "insert", disturbed)
        return clean(session, now)

    monkeypatch.setattr(store, "clean", begun)


@pytest.mark.parametrize("seed", range(3))
def test_connections_ended_at_random_points_change_nothing(postgres, monkeypatch, seed):
    draw, cuts = random.Random(seed), []
    with postgres.world(f"cut{seed}") as (world, engine):

        def step():
            if len(cuts) < 5 and draw.random() < 0.15:
                cuts.append(databases.serve().cut(world.config.store_url))

        each_step(engine, monkeypatch, step)
        assert world.publish(batch=BATCH).published
    assert len(cuts) >= 3 and sum(cuts) > len(cuts)


def test_a_commit_whose_answer_is_lost_is_not_made_twice(postgres, monkeypatch):
    lost = []
    with postgres.world("answers") as (world, engine):
        commit = engine.dialect.do_commit

        def answered(connection):
            commit(connection)
            lost.append(True)
            if len(lost) % 4 == 1:
                connection.driver_connection.close()
                raise psycopg.OperationalError("the server closed the connection unexpectedly")

        monkeypatch.setattr(engine.dialect, "do_commit", answered)
        assert world.publish(batch=BATCH).published
    assert len(lost) > 30


def test_a_server_that_comes_back_in_time_is_waited_for(postgres, monkeypatch):
    server, steps = databases.serve(), []
    starting = threading.Timer(1.0, server.start)
    with postgres.world("back") as (world, engine):

        def step():
            steps.append(True)
            if len(steps) == 30:
                server.stop()
                starting.start()

        each_step(engine, monkeypatch, step)
        try:
            assert world.publish(batch=BATCH).published
        finally:
            starting.join()
            server.start()
    assert len(steps) > 40


def test_a_server_that_stays_away_is_one_clear_error_and_a_rerun_finishes(postgres, monkeypatch):
    server, steps = databases.serve(), []
    with postgres.world("away") as (world, engine):

        def step():
            steps.append(True)
            if len(steps) == 30:
                server.stop()

        with monkeypatch.context() as patch:
            patch.setattr(database, "PATIENCE", 1.0)
            each_step(engine, patch, step)
            try:
                with pytest.raises(
                    InputError, match="could not be reached, or was locked, for 1 seconds; nothing half"
                ):
                    world.publish(batch=BATCH)
            finally:
                server.start()
        staged, published = state(world)
        assert staged > 0 and not published
        assert world.publish().published


def locker(engine):
    """Another program that opened the same file."""
    return sqlite3.connect(engine.url.database, isolation_level=None, check_same_thread=False)


def test_a_locked_sqlite_file_is_waited_for_and_then_named(sqlite, monkeypatch):
    with sqlite.world("locked") as (world, engine), closing(locker(engine)) as other:
        engine.dispose()
        event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA busy_timeout=20"))
        engine.connect().close()
        with monkeypatch.context() as patch:
            patch.setattr(database, "PATIENCE", 0.5)
            other.execute("BEGIN EXCLUSIVE")
            with pytest.raises(InputError, match="was locked"), store.patient(engine) as session:
                store.clean(session, NOW)
        releasing = threading.Timer(1.0, other.execute, ["ROLLBACK"])
        releasing.start()
        with store.patient(engine) as session:
            assert store.clean(session, NOW) == 0
        assert world.publish(batch=BATCH).published


def test_a_full_sqlite_disk_is_one_clear_error_and_a_rerun_finishes(sqlite, monkeypatch):
    with sqlite.world("full") as (world, engine):
        engine.dispose()
        pages = engine.connect().exec_driver_sql("PRAGMA page_count").scalar()
        engine.dispose()

        def small(connection, _):
            connection.execute(f"PRAGMA max_page_count={pages + 6}")

        event.listen(engine, "connect", small)
        with pytest.raises(InputError, match=r"the disk of the database is full.*free some space"):
            world.publish(batch=BATCH)
        assert not state(world)[1]
        event.remove(engine, "connect", small)
        engine.dispose()
        assert world.publish().published


LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
from features import config as configs
from serving.stores import store
from serving.config import ServingConfig
from features.errors import InputError
from tests.service.world import TODAY, World
from pathlib import Path
try:
    World(Path(sys.argv[1]), configs.load(Path(sys.argv[1]), ServingConfig)).publish(TODAY, batch=5)
except InputError as error:
    sys.exit(str(error))
"""


def test_a_file_that_may_not_grow_is_one_clear_error_and_a_rerun_finishes(sqlite):
    with sqlite.world("limited") as (world, engine):
        size = os.path.getsize(engine.url.database)
        command = [sys.executable, "-c", LIMITED, str(world.path), str(size + 8_192)]
        done = subprocess.run(command, capture_output=True, text=True, env=os.environ)
        assert done.returncode == 1 and "Traceback" not in done.stderr
        assert (
            "store: the disk of the database is full, or cannot be written; nothing half-made is shown" in done.stderr
        )
        assert not state(world)[1]
        assert world.publish().published


def test_a_full_postgres_disk_is_one_clear_error_and_nothing_of_the_batch_is_kept():
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (17_000_000, hard))
    try:
        server = databases.started()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    engine = store.connect(server.database())
    store.migrate(engine)
    draw = random.Random(0)
    fat = ({"families": records.Raw(f'"{draw.randbytes(1_500).hex()}"')} for _ in range(8_000))
    try:
        with store.patient(engine) as session:
            entry = run()
            store.begin(session, entry)
            with pytest.raises(InputError, match="the disk of the database is full"):
                store.stage(
                    session, entry.id, records.Score, (row(f"c{n}", n, **one) for n, one in enumerate(fat)), 1_000
                )
            kept = session.scalar(select(func.count()).select_from(records.Score))
            assert kept % 1_000 == 0 and 0 < kept < 8_000
            assert store.published(session, "churn") is None and store.clean(session, NOW) == 1
    finally:
        engine.dispose()
        server.running.cleanup()


def test_a_write_of_people_is_made_once_although_its_answer_was_lost(monkeypatch):
    engine, lost = store.connect(databases.serve().database()), []
    store.migrate(engine)
    commit = engine.dialect.do_commit

    def answered(connection):
        commit(connection)
        if not lost:
            lost.append(connection.driver_connection.close())
            raise psycopg.OperationalError("the server closed the connection unexpectedly")

    monkeypatch.setattr(engine.dialect, "do_commit", answered)
    with store.patient(engine, 5) as session:
        found = journal.once(session, NOW, "crm", "key-1", DIGEST, written)
    assert lost and found.status == 201 and counted(engine) == counted(engine, records.Replay) == 1
    engine.dispose()


def test_an_impatient_session_fails_at_once_and_says_nothing_of_the_rows(monkeypatch):
    url = databases.serve().database()
    engine = store.connect(url)
    store.migrate(engine)
    with Session(engine) as session:
        session.connection()
        databases.serve().cut(url)
        with pytest.raises(DBAPIError) as failed:
            journal.add_contact(session, NOW, customer_id="secret-1", at=NOW, channel="call", by="crm")
        assert database.passing(failed.value) and "secret-1" not in str(failed.value)
    engine.dispose()
