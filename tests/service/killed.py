"""The process that the tests kill. Imported once by the fork server, so that each start is cheap."""

import os
import signal
import sys
from functools import wraps
from pathlib import Path

import alembic.command
import ibis.backends.duckdb
import lightgbm
import numpy as np
import psycopg
import pyarrow.parquet
from sqlalchemy import event

from features import config as configs
from features.rollup import Events, daily
from features.windows import compute
from serving.config import ServingConfig
from serving.stores import store
from tests.service import world as worlds
from tests.service.world import World

PRELOADED = (alembic.command, ibis.backends.duckdb, lightgbm, psycopg, pyarrow.parquet)
BATCH = 5
WRITES = ("INSERT", "UPDATE", "DELETE")
END = "end"


def publish(path: Path, workspace: str, trail: Path, last_step: int | None) -> None:
    """Run today's job in a workspace, for the fork server has the environment of its own start; die by SIGKILL before the given step. ``trail``: a file that gets the name of every step.

    A step is a statement that writes, many rows given to the driver, a commit, or a file renamed in the workspace.
    """
    os.environ["TSUNAGI_WORKSPACE"] = workspace
    world = World(path, configs.load(path, ServingConfig))
    steps = 0

    def step(name: str) -> None:
        nonlocal steps
        with trail.open("a") as file:
            file.write(f"{name}\n")
        if steps == last_step:
            os.kill(os.getpid(), signal.SIGKILL)
        steps += 1

    engine = store.connect(world.config.store_url)
    event.listen(engine, "before_cursor_execute", lambda *given: _statement(step, given[2]))
    event.listen(engine, "commit", lambda _: step("commit"))
    store.insert = _named(step, store.insert)
    sys.addaudithook(lambda name, given: _renamed(step, name, given, world.config.home))
    world.publish(worlds.TODAY, batch=BATCH)
    step(END)


def _statement(step, text):
    words = text.replace("INTO ", "").replace("FROM ", "").split()
    if words[0] in WRITES:
        step(f"{words[0].lower()} {words[1]}")


def _named(step, insert):
    @wraps(insert)
    def named(connection, table, run_id, rows):
        step(f"rows {table.name}")
        return insert(connection, table, run_id, rows)

    return named


def _renamed(step, name, given, home):
    """Files of the workspace that get their names; those of a library's own are not ours."""
    if name == "os.rename" and str(given[1]).startswith(str(home)):
        new = Path(str(given[1]))
        step(f"rename {new.parent.name} {new.suffix}")


def _warm() -> None:
    """Load the compiled kernels."""
    one, long = np.zeros(1, np.int32), np.zeros(1, np.int64)
    activity = daily(Events(one, one, one, long, long, long))
    compute(activity, one, one + 10, [("count", 7), ("recency", None)], 100)


_warm()
