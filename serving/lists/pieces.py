"""A list made from its file, piece by piece, by as many processes as there are cores: rows for the store, and texts."""

import gc
import hashlib
import json
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from datetime import date
from functools import lru_cache, partial
from multiprocessing.connection import wait
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Self, TypeVar

import numpy as np
import orjson
import pandas as pd

from features.config import Language
from features.errors import InputError
from serving.lists import risk_list
from serving.lists.rows import Rows
from serving.stores.records import Raw, Run

PIECE, ENOUGH = 500, 20_000
KILLED = "a process that helped to make the list was killed, perhaps for want of memory; free some and start it again"
Columns = dict[str, np.ndarray]
T = TypeVar("T")


class Crew:
    """Processes for a list of this many rows; a short one is made in this process. None outlives it, even killed."""

    def __init__(self, rows: int):
        self._size = int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1) if rows >= ENOUGH else 0
        self._stack = ExitStack()
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Self:
        if self._size:
            context = multiprocessing.get_context("spawn")
            self._pool = self._stack.enter_context(ProcessPoolExecutor(self._size, context, _mortal))
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool:
            self._pool.shutdown(cancel_futures=True)
        self._stack.close()

    def each(self, work: Callable[[np.ndarray, Columns], T], plan: pd.DataFrame, order: np.ndarray) -> Iterator[T]:
        """``work`` on the positions of ``order`` and the plan of these rows, PIECE at a time; results in this order."""
        columns = {name: plan[name].to_numpy() for name in plan.columns}
        bounds = range(0, len(order), PIECE)
        pieces = ((some, {n: c[some] for n, c in columns.items()}) for some in (order[i : i + PIECE] for i in bounds))
        if self._pool is None:
            yield from (work(*piece) for piece in pieces)
            return
        waiting: deque[Future[T]] = deque()
        try:
            for piece in pieces:
                waiting.append(self._pool.submit(work, *piece))
                if len(waiting) > 4 * self._size:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        except BrokenProcessPool:
            raise InputError(KILLED) from None


def _mortal() -> None:
    """End when the process that started this one is gone: nobody would take the results."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    sentinel = parent.sentinel
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the one that started this
    gc.freeze()  # what is loaded stays: looking through it again and again costs a fifth of the work

    def watch() -> None:
        wait([sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def rows(listed: Rows, positions: np.ndarray, plan: Columns) -> Iterator[dict[str, Any]]:
    """Rows of a new list, those at these positions, by the columns of ``records.Score``.

    plan: of the same customers, in the same order: that of ``priority.plan``, and ``change``, (n,) each.
    """
    planned = {name: column.tolist() for name, column in plan.items()}
    planned["change"] = [None if change != change else change for change in planned["change"]]
    for (texts, said), values in zip(listed.each(positions), zip(*planned.values())):
        row: dict[str, Any] = {**texts, **vars(said)}
        row.update(zip(planned, values))
        row["renewal"] = date.fromisoformat(row["renewal"]) if row["renewal"] else None
        yield row


def staged(path: Path) -> Callable[[np.ndarray, Columns], list[dict[str, Any]]]:
    """Work of a ``Crew``: ``rows`` of a list's file as the store takes them, with JSON as text."""
    return partial(_staged, path)


def _staged(path: Path, positions: np.ndarray, plan: Columns) -> list[dict[str, Any]]:
    found = list(rows(_opened(path), positions, plan))
    for row in found:
        row["families"] = Raw(orjson.dumps(row["families"]).decode())
        row["risks"] = row["risks"] and Raw(orjson.dumps(row["risks"]).decode())
    return found


def told(path: Path, run: Run, lang: Language) -> Callable[[np.ndarray, Columns], tuple[bytes, bytes]]:
    """Work of a ``Crew``: lines of ``risk_list.Csv``, and rows of ``risk_list.json_row`` with commas between."""
    return partial(_told, path, run, lang)


def _told(path: Path, run: Run, lang: Language, positions: np.ndarray, plan: Columns) -> tuple[bytes, bytes]:
    listed = _opened(path)
    made = (SimpleNamespace(**row) for row in rows(listed, positions, plan))
    spoken = list(risk_list.told(run, made, lang))
    lines = risk_list.Csv(run, lang, listed.layout.horizons).lines(spoken, first=spoken[0]["rank"] == 1)
    return "".join(lines).encode(), risk_list.BETWEEN.join(map(risk_list.json_row, spoken))


@lru_cache(1)
def _opened(path: Path) -> Rows:
    return Rows(path)


def content_hash(parts: Iterable[Any], plan: pd.DataFrame) -> str:
    """SHA-256 of everything a list says: of its small parts, the name of its file among them, and of its plan."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(json.dumps(part, sort_keys=True, ensure_ascii=False, default=str).encode())
    digest.update(pd.util.hash_pandas_object(plan, index=False).to_numpy().tobytes())
    return digest.hexdigest()
