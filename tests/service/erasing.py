"""The process that the tests of erasing kill. Imported once by the fork server, so that each start is cheap."""

import os
import signal
import sys
from pathlib import Path

import alembic.command
import ibis.backends.duckdb
import pyarrow.parquet
from sqlalchemy import event

from features import config as configs
from serving.config import ServingConfig
from serving.erasure import erase
from serving.stores import store
from tests.service.canary import ID, NOW

PRELOADED = (alembic.command, ibis.backends.duckdb, pyarrow.parquet)
TOUCHED = {"os.rename", "os.remove", "os.mkdir"}


def run(path: Path, workspace: str, last_step: int | None, steps: "object") -> None:
    """Erase the customer; die by SIGKILL before the given step. ``steps``: a shared value that counts them.

    A step is a statement, a commit, or a file opened for writing, renamed or removed.
    """
    os.environ["TSUNAGI_WORKSPACE"] = workspace
    config, done = configs.load(path, ServingConfig), 0

    def step(*_: object, **__: object) -> None:
        nonlocal done
        done += 1
        steps.value = done
        if done == last_step:
            os.kill(os.getpid(), signal.SIGKILL)

    def touched(name: str, arguments: tuple) -> None:
        writes = name == "open" and isinstance(arguments[1], str) and set("wax+") & set(arguments[1])
        if writes or name in TOUCHED:
            step()

    engine = store.connect(config.store_url)
    event.listen(engine, "before_cursor_execute", step)
    event.listen(engine, "commit", step)
    sys.addaudithook(touched)
    erase.erase(config, ID, NOW)
