"""All facts that one ``data.yaml`` names: read once, taken part by part; a part is some customers with all theirs."""

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from typing import TypeVar

import pandas as pd

from features import attributes, customers, events, store, subscriptions
from features.ahead import ahead
from features.attributes import History
from features.calendar import NEVER, number
from features.data_config import Data
from features.gathered import Calendar, Codes, Gathered
from features.ledger import Late
from features.rollup import Activity
from features.scratch import Space
from features.sources import Source
from features.subscriptions import Subscriptions

CUSTOMERS, ROWS = 4_096, 1_500_000
KEPT_ROWS = 4_000_000
T = TypeVar("T")


@dataclass(frozen=True)
class Part:
    """Some customers with all that is known of them: the unit of work. A customer's code is its row number here.

    customers: see ``customers.load``.
    """

    customers: pd.DataFrame
    subscriptions: Subscriptions | None
    attributes: dict[str, History]
    activity: dict[str, Activity]


@dataclass(frozen=True)
class Facts:
    """What is known of the customers.

    lost: the rows of each stream that could not be used, by reason. calendar: when each stream has events. today: a day
    number; nothing after it was read. late: on what the store of activity and the tables disagree, if there is one.
    """

    data: Data
    customers: pd.DataFrame
    subscriptions: Subscriptions | None
    attributes: dict[str, History]
    gathered: list[Gathered]
    today: int
    late: list[Late] = field(default_factory=list)
    _kept: dict[int, Part] = field(default_factory=dict)

    @property
    def lost(self) -> dict[str, dict[str, int]]:
        return {name: lost for gathered in self.gathered for name, lost in gathered.lost.items()}

    @cached_property
    def calendar(self) -> dict[str, Calendar]:
        return {name: own for gathered in self.gathered for name, own in gathered.calendar.items()}

    def each(self, work: Callable[[Part], T]) -> Iterator[T]:
        """``work`` done on every part, in the order of the customers, on as many threads as there are cores."""

        def done(bounds: tuple[int, int]) -> T:
            return work(self._part(*bounds))

        threads = int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1)
        waiting: deque[Future[T]] = deque()
        with ThreadPoolExecutor(threads) as pool:
            for bounds in self._bounds():
                waiting.append(pool.submit(done, bounds))
                if len(waiting) > threads:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()

    def parts(self) -> Iterator[Part]:
        """Every part, in the order of the customers."""
        return self.each(lambda part: part)

    def _bounds(self) -> list[tuple[int, int]]:
        total, people = self._rows(), len(self.customers)
        size = min(CUSTOMERS, max(64, ROWS * people // max(total, 1)))
        return [(first, min(first + size, people)) for first in range(0, people, size)]

    def _rows(self) -> int:
        return sum(gathered.rows for gathered in self.gathered)

    def _part(self, first: int, end: int) -> Part:
        if first in self._kept:
            return self._kept[first]
        part = Part(
            self.customers.iloc[first:end].reset_index(drop=True),
            self.subscriptions.part(first, end) if self.subscriptions else None,
            {name: history.part(first, end) for name, history in self.attributes.items()},
            {name: own for gathered in self.gathered for name, own in gathered.activity(first, end).items()},
        )
        if self._rows() <= KEPT_ROWS:
            self._kept[first] = part
        return part


def read(data: Data, only: Sequence[str] | None = None, today: date | None = None) -> Facts:
    """Read every table. ``only``: just these customers, by the same walk.

    today: events that occurred or became known after it are left out and counted: one wrong date in the future must not
    move the end of the data. Only the doors know what day it is.
    """
    limit = number(today) if today else NEVER
    if data.engine.name == "spark" and only is None and data.store is None:
        from features import spark

        return spark.read(data, limit)
    source, space = Source(data), Space()
    everyone = customers.load(source, only)
    index = pd.Index(everyone["id"])
    terms = subscriptions.load(source, index, only)
    codes, gathered, late = Codes(index), [], []
    for names in events.groups(data):
        gathered.append(Gathered({name: data.streams[name] for name in names}, codes, space, limit))
        kept = store.opened(source, names, limit)
        for rows in ahead(kept.read(only) if kept else events.read(source, names, only)):
            gathered[-1].add(rows)
        late += kept.late if kept else []
        gathered[-1].close(whole=only is None)
    return Facts(data, everyone, terms, attributes.load(source, index), gathered, limit, late)
