"""What the measures of one stream draw on: cumulative activity, entities and open intervals, for some keys."""

from collections.abc import Collection
from functools import cached_property, lru_cache

import numpy as np

from features import entity_kernel, kernel
from features.rollup import Activity

WEEKS = 8
WEEKLY = {"spike", "slope", "decline_weeks"}
ENTITIES = {"distinct", "new_users"}
PLAIN = {"count": "count", "days": "days", "sum": "total"}
ALONE = {"recency", "tenure", "last", "change", "open", "oldest_open_days", "distinct", "new_users", "key_user_quiet"}
Measure = tuple[str, int | None]
_WEEKS = tuple(range(7, 7 * WEEKS + 8, 7))


class Lookbacks:
    """Lengths of time in days, ascending, none longer than the history, which is the last one: ``days``, int64 (l,)."""

    def __init__(self, days: Collection[int], history: int):
        self.history = history
        self.days = np.array(sorted({min(one, history) for one in days} | {history}), np.int64)
        self._places: dict[tuple[int, ...], np.ndarray] = {}

    def at(self, *days: int) -> np.ndarray:
        """Where some lengths stand among ``days``."""
        if days not in self._places:
            self._places[days] = np.searchsorted(self.days, np.minimum(days, self.history))
        return self._places[days]


class Plan:
    """What some measures need of a stream: which sums over which look-backs, and where plain ones are written."""

    def __init__(self, measures: tuple[Measure, ...], history: int):
        names = {name for name, _ in measures}
        windows = {days for _, days in measures if days}
        doubled = {2 * days for name, days in measures if name == "trend" and days}
        weekly = set(_WEEKS) if names & WEEKLY else set()
        self.history = history
        self.lookbacks = Lookbacks(windows | doubled | weekly, history)
        self.of_entities = Lookbacks({days for name, days in measures if name in ENTITIES and days}, history)
        self.quantities = ["count", "days"]
        if names & {"sum", "mean"}:
            self.quantities.append("total")
        if "mean" in names:
            self.quantities.append("valued")
        self.unit = np.array([1e6 if name == "total" else 1.0 for name in self.quantities])
        self.row = np.full((len(self.quantities), len(self.lookbacks.days)), -1, np.int64)
        self.same: dict[int, int] = {}  # rows that repeat another one: windows cut at the same history
        others: dict[str, list[int]] = {}
        for row, (name, days) in enumerate(measures):
            if name not in PLAIN:
                others.setdefault(name, []).append(row)
                continue
            assert days
            cell = self.quantities.index(PLAIN[name]), int(self.lookbacks.at(days)[0])
            if self.row[cell] >= 0:
                self.same[row] = int(self.row[cell])
            else:
                self.row[cell] = row
        # The rows and the windows of every other measure.
        self.formulas = {
            name: (_span(rows), tuple(measures[row][1] or 0 for row in rows)) for name, rows in others.items()
        }
        self.keep = not self.formulas.keys() <= ALONE


def _span(rows: list[int]) -> list[int] | slice:
    """Rows one after the other as a slice, which is quicker to write to."""
    return slice(rows[0], rows[-1] + 1) if rows == list(range(rows[0], rows[-1] + 1)) else rows


@lru_cache(maxsize=1_000)
def plan(measures: tuple[Measure, ...], history: int) -> Plan:
    """The plan for these measures, made once."""
    return Plan(measures, history)


class Stream:
    """The running totals of one stream's rows, made ready for a plan."""

    def __init__(self, activity: Activity, plan: Plan, customers: int):
        self.activity, self.plan, self.customers = activity, plan, customers
        a = activity
        self.weights = np.zeros((len(a.day), len(plan.quantities)), np.int64)
        for column, name in enumerate(plan.quantities):
            if name != "days":
                self.weights[:, column] = getattr(a, name)
        self.before, self.late, self.on_time = kernel.weigh(a.customer, a.day, a.known, self.weights, 1)

    @cached_property
    def offset(self) -> np.ndarray:
        return self._offsets(self.activity.customer)

    @cached_property
    def entity_offset(self) -> np.ndarray:
        return self._offsets(self.activity.entity_customer)

    @cached_property
    def open_offset(self) -> np.ndarray:
        return self._offsets(self.activity.open_customer)

    def _offsets(self, customer: np.ndarray) -> np.ndarray:
        size = max(self.customers, int(customer[-1]) + 1 if len(customer) else 0)
        return kernel.offsets(customer, size)


class Facts:
    """What the formulas draw on, for some keys: each part is computed when a formula first asks for it."""

    def __init__(self, stream: Stream, customer: np.ndarray, as_of: np.ndarray, out: np.ndarray):
        """out: float64 (m, k), into whose rows the plain sums are written."""
        self.stream, self.key, self.plan, self.history = stream, (customer, as_of), stream.plan, stream.plan.history
        a = stream.activity
        rows = (a.day, a.known, stream.weights, stream.before, stream.late, stream.on_time)
        wanted = (self.plan.lookbacks.days, out, self.plan.row, self.plan.unit)
        found = kernel.cumulate(stream.offset, *rows, *self.key, *wanted, keep=self.plan.keep)
        sums, self.latest, self.first = found
        self._sums = dict(zip(self.plan.quantities, sums))

    def __getattr__(self, name: str) -> np.ndarray:
        """count, days, total, valued: int64 (l, k), a row per look-back."""
        if name.startswith("_") or name not in self._sums:
            raise AttributeError(name)
        return self._sums[name]

    def at(self, table: np.ndarray, *days: int) -> np.ndarray:
        """The rows of a table for some look-backs."""
        return table[self.plan.lookbacks.at(*days)]

    @cached_property
    def recency(self) -> np.ndarray:
        return np.where(self.latest == kernel.NONE, np.nan, self.key[1] - self.latest)

    @cached_property
    def gap(self) -> np.ndarray:
        days = self.days[-1]
        return np.where(days < 2, np.nan, (self.latest - self.first) / np.maximum(days - 1, 1))

    @cached_property
    def weeks(self) -> np.ndarray:
        """Events of the last week, of the week before it, and so on: int64 (WEEKS + 1, k)."""
        reached = self.at(self.count, *_WEEKS)
        weeks = reached.copy()
        weeks[1:] -= reached[:-1]
        return weeks

    @cached_property
    def rating(self) -> tuple[np.ndarray, ...]:
        """The last value, the one on a day before it, and how many of the two there are."""
        a = self.stream.activity
        return kernel.last(self.stream.offset, a.day, a.known, a.valued, a.last_time, a.last, *self.key, self.history)

    @cached_property
    def distinct(self) -> np.ndarray:
        """Entities seen in each entity window, int64 (w, k); the last one is the history."""
        windows = self.plan.of_entities.days
        return self._entities(np.zeros_like(windows), windows)

    @cached_property
    def seen_before(self) -> np.ndarray:
        """Entities seen within the history, before each entity window: int64 (w, k)."""
        windows = self.plan.of_entities.days
        return self._entities(windows, np.full_like(windows, self.history))

    @cached_property
    def busiest(self) -> np.ndarray:
        """The last day of the entity with the most days within the history."""
        return entity_kernel.busiest(*self._entity_rows, *self.key, self.history)

    @cached_property
    def opened(self) -> tuple[np.ndarray, np.ndarray]:
        """How many are open, and the age of the oldest."""
        a = self.stream.activity
        return entity_kernel.still_open(
            self.stream.open_offset, a.open_day, a.open_known, a.open_until, *self.key, self.history
        )

    def of_entities(self, table: np.ndarray, *days: int) -> np.ndarray:
        """The rows of a table for some entity windows."""
        return table[self.plan.of_entities.at(*days)]

    def _entities(self, skip: np.ndarray, lookbacks: np.ndarray) -> np.ndarray:
        return entity_kernel.distinct(*self._entity_rows, *self.key, lookbacks, skip)

    @property
    def _entity_rows(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        a = self.stream.activity
        return self.stream.entity_offset, a.entity, a.entity_day, a.entity_known
