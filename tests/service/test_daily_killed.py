"""Killed at any point, the daily job shows no half list, and its rerun gives the very same list.

A hundred random points on each database: ``python -m pytest tests/service/test_daily_killed.py -m soak``.
"""

import multiprocessing
import os
import random
import shutil
import signal
import threading
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import OperationalError

from serving.lists import daily
from serving.stores import records, store
from tests.service import databases, killed
from tests.service import world as worlds
from tests.service.world import World

SOAK = range(100)
POINTER = ("insert published", "update published")


@dataclass(frozen=True)
class Prepared:
    """A company with last week's list published, what an uninterrupted run of today makes of it, and its steps."""

    base: World
    list: tuple
    files: dict
    trail: tuple[str, ...]

    def at(self, *names):
        """The first step of one of these names."""
        return next(number for number, step in enumerate(self.trail) if step in names)

    def batches(self):
        return [number for number, step in enumerate(self.trail) if step == "rows scores"]


POINTS = {
    "before the ledger's entry": lambda run: run.at("insert runs"),
    "the ledger's entry not committed": lambda run: run.at("insert runs") + 1,
    "before the left-out rows": lambda run: run.at("rows left_out"),
    "before the first batch": lambda run: run.batches()[0],
    "the first batch not committed": lambda run: run.batches()[0] + 1,
    "after a middle batch": lambda run: run.batches()[5],
    "the last batch not committed": lambda run: run.batches()[-1] + 1,
    "before the features have their name": lambda run: run.at("rename snapshots .arrow", "rename snapshots .parquet"),
    "all is staged": lambda run: run.batches()[-1] + 2,
    "the pointer not committed": lambda run: run.at(*POINTER) + 1,
    "after the pointer, before the CSV": lambda run: run.at("rename lists .csv"),
    "between CSV and JSON": lambda run: run.at("rename lists .json"),
    "after everything": lambda run: run.at(killed.END),
}


@pytest.fixture(scope="module")
def processes():
    """Cheap processes of their own."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.service.killed"])
    return context


@pytest.fixture(scope="module", params=databases.KINDS)
def prepared(request, workspace, tmp_path_factory, processes):
    folder = tmp_path_factory.mktemp("killed")
    base = databases.placed(worlds.make(folder / f"base-{request.param}"), request.param)
    base.place(worlds.bundle())
    base.publish(worlds.LAST_WEEK)
    whole, trail = databases.copied(base, "whole"), folder / "trail"
    spared = processes.Process(target=killed.publish, args=(whole.path, str(workspace), trail, None))
    spared.start()
    spared.join()
    assert spared.exitcode == 0
    return Prepared(base, seen(whole), files(whole), tuple(trail.read_text().splitlines()))


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
        published = select(records.Published.run_id)
        staged = select(func.count()).select_from(records.Score).where(records.Score.run_id.not_in(published))
        return session.scalar(staged), store.published(session, "churn").as_of == worlds.TODAY


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


def survives(prepared, processes, world, last_step, seconds=60.0):
    """Kill a run and look what is there, run it again and look again; how far the killed one had come."""
    trail = world.path.parent / "trail"
    before = seen(world)
    process = processes.Process(
        target=killed.publish, args=(world.path, os.environ["TSUNAGI_WORKSPACE"], trail, last_step)
    )
    with reading(world) as found:
        process.start()
        process.join(seconds)
        process.kill()
        process.join()
    staged, published = state(world)
    assert all(complete for _, _, complete in found) and found
    assert {(as_of, content) for as_of, content, _ in found} <= {before[:2], prepared.list[:2]}
    assert seen(world) == (prepared.list if published else before)
    assert process.exitcode == -signal.SIGKILL or seconds < 60
    assert last_step is None or trail.read_text().splitlines() == list(prepared.trail[: last_step + 1])
    assert world.publish().published != published
    assert seen(world) == prepared.list and state(world) == (0, True) and files(world) == prepared.files
    kept, once = (list((one.config.home / "snapshots").iterdir()) for one in (world, prepared.base))
    assert not list(world.config.home.rglob(".*")) and len(kept) == 2 * len(once)
    store.connect(world.config.store_url).dispose()
    return "published" if published else "staged" if staged else "early"


@pytest.mark.parametrize("point", POINTS)
def test_killed_at_a_named_point_and_rerun_it_is_the_list_of_an_uninterrupted_run(prepared, processes, point):
    last_step = POINTS[point](prepared)
    world = databases.copied(prepared.base, f"at-{last_step}")
    far = survives(prepared, processes, world, last_step)
    pointed = last_step > prepared.at(*POINTER) + 1
    batches = sum(1 for number in prepared.batches() if number + 1 < last_step)
    assert far == ("published" if pointed else "staged" if batches else "early")


@pytest.mark.soak
def test_killed_anywhere_and_rerun_it_is_the_list_of_an_uninterrupted_run(prepared, processes):
    draw, far = random.Random(20260201), Counter()
    for number in SOAK:
        step = None if number % 4 == 3 else draw.randrange(len(prepared.trail))
        world = databases.copied(prepared.base, f"round{number}")
        far[survives(prepared, processes, world, step, 60 if step is not None else draw.uniform(0.0, 1.5))] += 1
        shutil.rmtree(world.config.home)
    assert sum(far.values()) == len(SOAK) and far["staged"] >= 20 and far["early"] >= 5, far


def test_one_daily_job_at_a_time(prepared):
    home = prepared.base.config.home
    with daily.alone(home), pytest.raises(daily.Busy, match="another daily job"), daily.alone(home):
        pass
    with daily.alone(home):
        pass


def test_a_rerun_changes_nothing_and_a_changed_list_replaces_the_old_one(prepared):
    world = databases.copied(prepared.base, "again")
    first, second = world.publish(), world.publish()
    assert (first.published, second.published) == (True, False) and first.content == second.content == prepared.list[1]
    kept = {path: path.stat().st_ino for path in (world.config.home / "snapshots").iterdir()}
    world.place(worlds.bundle(holdout=0.5))
    third = world.publish()
    assert third.published and third.content != first.content
    assert kept.items() <= {path: path.stat().st_ino for path in (world.config.home / "snapshots").iterdir()}.items()
    with world.session() as session:
        states = Counter(session.scalars(select(records.Run.state)))
    assert states == {"published": 2, "replaced": 1}


def test_readers_are_hardly_ever_locked_out(prepared):
    world = databases.copied(prepared.base, "reads")
    try:
        with reading(world) as found:
            world.publish(batch=1)
    except OperationalError:
        pytest.fail("a reader was locked out")
    assert len(found) > 3
