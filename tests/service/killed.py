"""The process that the tests kill. Imported once by the fork server, so that each start is cheap."""

import os
import signal
import sys
from pathlib import Path

import alembic.command
import ibis.backends.duckdb
import lightgbm
import numpy as np
import pyarrow.parquet
from sqlalchemy import event

from features import config as configs
from features.rollup import Events, daily
from features.windows import compute
from serving import store
from serving.config import ServingConfig
from tests.service import world as worlds
from tests.service.world import World

PRELOADED = (alembic.command, ibis.backends.duckdb, lightgbm, pyarrow.parquet)
BATCH = 5
TOUCHED = {"os.rename", "os.remove", "os.mkdir"}


def publish(path: Path, last_step: int | None, steps: "object" = None) -> None:
    """Run today's job; die by SIGKILL before the given step. ``steps``: a shared value that counts them.

    A step is a statement, a commit, or a file opened for writing, renamed or removed.
    """
    world = World(path, configs.load(path, ServingConfig))
    done = 0

    def step(*_: object, **__: object) -> None:
        nonlocal done
        done += 1
        if steps is not None:
            steps.value = done
        if done == last_step:
            os.kill(os.getpid(), signal.SIGKILL)

    def touched(name: str, arguments: tuple) -> None:
        writes = name == "open" and isinstance(arguments[1], str) and set("wax+") & set(arguments[1])
        if writes or name in TOUCHED:
            step()

    engine = store.connect(world.config.store_url)
    event.listen(engine, "before_cursor_execute", step)
    event.listen(engine, "commit", step)
    sys.addaudithook(touched)
    world.publish(worlds.TODAY, batch=BATCH)


def _warm() -> None:
    """Load the compiled kernels."""
    one, long = np.zeros(1, np.int32), np.zeros(1, np.int64)
    activity = daily(Events(one, one, one, long, long, long))
    compute(activity, one, one + 10, [("count", 7), ("recency", None)], 100)


_warm()
