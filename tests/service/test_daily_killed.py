"""Killed at any point, the daily job shows no half list, and its rerun gives the very same list."""

import multiprocessing
import random
import shutil
import signal
import threading
from collections import Counter
from contextlib import contextmanager

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import OperationalError

from features import config as configs
from serving import daily, records, store
from serving.config import ServingConfig
from tests.service import killed
from tests.service import world as worlds
from tests.service.world import World

ROUNDS = range(24)


@pytest.fixture(scope="module")
def prepared(workspace, tmp_path_factory):
    """A company with last week's list published, and what an uninterrupted run of today makes of it."""
    folder = tmp_path_factory.mktemp("killed")
    base = worlds.make(folder / "base")
    base.place(worlds.bundle())
    base.publish(worlds.LAST_WEEK)
    whole = copied(base, "whole")
    whole.publish()
    return base, seen(whole), files(whole)


def copied(base, name):
    """The same company in a workspace of its own."""
    folder = base.path.parent.parent / name
    folder.mkdir()
    for file in ("data.yaml", "serving.yaml"):
        text = (base.path.parent / file).read_text().replace("name: base", f"name: {name}")
        (folder / file).write_text(text)
    config = configs.load(folder / "serving.yaml", ServingConfig)
    shutil.copytree(base.config.home, config.home)
    return World(folder / "serving.yaml", config)


def seen(world):
    """What a reader sees of the latest list: its date, its content hash, every row."""
    with world.session() as session:
        run = store.published(session, "churn")
        names = [column.name for column in records.Score.__table__.columns if column.name != "run_id"]
        rows = [{name: getattr(row, name) for name in names} for row in store.listed(session, run.id)]
        absent = store.left_out(session, run.id, [worlds.LEAVING, worlds.OPTED_OUT])
        return run.as_of, run.content, run.rows, rows, absent


def files(world):
    return {path.name: path.read_bytes() for path in (world.config.home / "lists").iterdir()}


def state(world):
    """How far today's run is: how many rows are staged, and whether it is published."""
    with world.session() as session:
        scores = select(func.count()).select_from(records.Score).join(records.Run)
        staged = session.scalar(scores.where(records.Run.state == "staging"))
        return staged, store.published(session, "churn").as_of == worlds.TODAY


@contextmanager
def reading(world):
    """A reader that looks all the time; it must see one of two whole lists, always."""
    stop, found = threading.Event(), []

    def look():
        while not stop.is_set():
            as_of, content, count, rows, _ = seen(world)
            whole_list = len(rows) == count and [row["rank"] for row in rows] == list(range(1, count + 1))
            found.append((as_of, content, whole_list))
            stop.wait(0.005)

    reader = threading.Thread(target=look)
    reader.start()
    try:
        yield found
    finally:
        stop.set()
        reader.join()


@pytest.fixture(scope="module")
def processes():
    """Cheap processes of their own."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.service.killed"])
    return context


def test_killed_and_rerun_it_is_the_list_of_an_uninterrupted_run(prepared, processes):
    base, whole, whole_files = prepared
    steps, draw, states = processes.Value("i", 0), random.Random(20260201), Counter()
    spared = processes.Process(target=killed.publish, args=(copied(base, "spared").path, None, steps))
    spared.start()
    spared.join()
    assert spared.exitcode == 0
    for number in ROUNDS:
        world = copied(base, f"round{number}")
        before = seen(world)
        last_step = None if number % 4 == 3 else draw.randint(1, steps.value)
        process = processes.Process(target=killed.publish, args=(world.path, last_step))
        with reading(world) as found:
            process.start()
            process.join(draw.uniform(0.0, 1.5) if last_step is None else 60)
            process.kill()
            process.join()
        staged, published = state(world)
        assert all(complete for _, _, complete in found) and found
        assert {(as_of, content) for as_of, content, _ in found} <= {before[:2], whole[:2]}
        assert seen(world) == (whole if published else before)
        states["published" if published else "staged" if staged else "early"] += process.exitcode == -signal.SIGKILL
        assert world.publish().published != published
        assert seen(world) == whole and state(world) == (0, True) and files(world) == whole_files
        leftovers = list(world.config.home.rglob(".*"))
        assert not leftovers and len(list((world.config.home / "snapshots").iterdir())) == 2
    assert sum(states.values()) >= 20 and states["staged"] >= 6 and states["early"] >= 2, states


def test_one_daily_job_at_a_time(prepared):
    base, _, _ = prepared
    home = base.config.home
    with daily.alone(home), pytest.raises(daily.Busy, match="another daily job"), daily.alone(home):
        pass
    with daily.alone(home):
        pass


def test_a_rerun_changes_nothing_and_a_changed_list_replaces_the_old_one(prepared):
    base, whole, _ = prepared
    world = copied(base, "again")
    first, second = world.publish(), world.publish()
    assert (first.published, second.published) == (True, False) and first.content == second.content == whole[1]
    kept = {path: path.stat().st_ino for path in (world.config.home / "snapshots").iterdir()}
    world.place(worlds.bundle(holdout=0.5))
    third = world.publish()
    assert third.published and third.content != first.content
    assert {path: path.stat().st_ino for path in (world.config.home / "snapshots").iterdir()} == kept
    with world.session() as session:
        states = Counter(session.scalars(select(records.Run.state)))
    assert states == {"published": 2, "replaced": 1}


def test_readers_are_hardly_ever_locked_out(prepared):
    world = copied(prepared[0], "reads")
    try:
        with reading(world) as found:
            world.publish(batch=1)
    except OperationalError:
        pytest.fail("a reader was locked out")
    assert len(found) > 3
