"""Daily activity + spine to behaviour windows, stream by stream.

For every key and every look-back of b days it gives the visible activity in [as_of − b, as_of): prefix sums over the
customer's rows, and intervals of dates for the rows that became known late. All measures follow from these.
The work grows with rows + keys.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property

import numpy as np

from features import kernel
from features.rollup import Activity

WEEKS = 8
CHUNK = 8_192
Measure = tuple[str, int | None]


def compute(
    activity: Activity, customer: np.ndarray, as_of: np.ndarray, measures: Sequence[Measure], history_days: int
) -> np.ndarray:
    """The measures of one stream for each key.

    customer, as_of: int32 (k,), any order; measures: (name, days or None); returns float64 (k, m), NaN = null, each
    measure's column contiguous. Values are in the stream's own units. Formulas: ``docs/measures.md``.
    """
    customer, as_of = customer.astype(np.int32, copy=False), as_of.astype(np.int32, copy=False)
    out = np.empty((len(measures), len(customer)))
    if kernel.ascending(customer, as_of):
        _fill(out, activity, customer, as_of, measures, history_days)
    else:
        order = np.lexsort((as_of, customer))
        ordered = np.empty_like(out)
        _fill(ordered, activity, customer[order], as_of[order], measures, history_days)
        out[:, order] = ordered
    return out.T


def _fill(
    out: np.ndarray,
    activity: Activity,
    customer: np.ndarray,
    as_of: np.ndarray,
    measures: Sequence[Measure],
    history: int,
) -> None:
    """Chunk by chunk of whole customers, so that what the formulas draw on stays in the processor's cache."""
    stream = _Stream(activity, measures, history, int(customer[-1]) + 1 if len(customer) else 0)
    for first, end in _chunks(customer):
        facts = _Facts(stream, customer[first:end], as_of[first:end])
        for column, (name, days) in enumerate(measures):
            out[column, first:end] = _FORMULAS[name](facts, days)


def _chunks(customer: np.ndarray) -> Iterator[tuple[int, int]]:
    first = 0
    while first < len(customer):
        end = min(first + CHUNK, len(customer))
        end = int(np.searchsorted(customer, customer[end - 1], side="right"))
        yield first, end
        first = end


def seats_used(
    activity: Activity, customer: np.ndarray, as_of: np.ndarray, seats: np.ndarray, days: int, history_days: int
) -> np.ndarray:
    """Users seen in the last days per seat, for each key: float64 (k,), NaN without a seat. seats: float64 (k,)."""
    users = compute(activity, customer, as_of, [("distinct", days)], history_days)[:, 0]
    return np.divide(users, seats, out=np.full(len(users), np.nan), where=seats > 0)


class _Stream:
    """One stream made ready: which sums are asked for, over which look-backs, and the running totals of its rows."""

    def __init__(self, activity: Activity, measures: Sequence[Measure], history: int, customers: int):
        names = {name for name, _ in measures}
        windows = {days for name, days in measures if days} | {
            2 * days for name, days in measures if name == "trend" and days
        }
        weekly = {7 * k for k in range(1, WEEKS + 2)} if names & WEEKLY else set()
        entity = {min(days, history) for name, days in measures if name in ENTITIES and days}
        self.entity_windows = np.array(sorted(entity | {history}), np.int64)
        self.history = history
        self.lookbacks = np.array(sorted({min(days, history) for days in windows | weekly} | {history}), np.int64)
        self.activity, self.customers = activity, customers
        a = activity
        self.quantities = ["count", "days"]
        if names & {"sum", "mean"}:
            self.quantities.append("total")
        if "mean" in names:
            self.quantities.append("valued")
        columns = [np.zeros(len(a.day), np.int64) if name == "days" else getattr(a, name) for name in self.quantities]
        self.weights = np.ascontiguousarray(np.stack(columns, axis=1))
        self.before, self.late = kernel.weigh(a.customer, a.day, a.known, self.weights, 1)

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


class _Facts:
    """What the formulas draw on, for some keys: each part is computed when a formula first asks for it."""

    def __init__(self, stream: _Stream, customer: np.ndarray, as_of: np.ndarray):
        self.stream, self.key, self.history = stream, (customer, as_of), stream.history
        a = stream.activity
        sums, self.latest, self.first = kernel.cumulate(
            stream.offset, a.day, a.known, stream.weights, stream.before, stream.late, *self.key, stream.lookbacks
        )
        self._sums = dict(zip(stream.quantities, sums))

    def __getattr__(self, name: str) -> np.ndarray:
        """count, days, total, valued: int64 (l, k), a row per look-back."""
        if name.startswith("_") or name not in self._sums:
            raise AttributeError(name)
        return self._sums[name]

    def at(self, table: np.ndarray, days: int) -> np.ndarray:
        """The row of a table for a look-back."""
        return table[np.searchsorted(self.stream.lookbacks, min(days, self.history))]

    @cached_property
    def recency(self) -> np.ndarray:
        return np.where(self.latest == kernel.NONE, np.nan, self.key[1] - self.latest)

    @cached_property
    def gap(self) -> np.ndarray:
        days = self.at(self.days, self.history)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(days < 2, np.nan, (self.latest - self.first) / (days - 1))

    @cached_property
    def weeks(self) -> np.ndarray:
        """Events of the last week, of the week before it, and so on: int64 (WEEKS + 1, k)."""
        reached = np.stack([self.at(self.count, 7 * k) for k in range(1, WEEKS + 2)])
        return np.diff(reached, axis=0, prepend=0)

    @cached_property
    def rating(self) -> tuple[np.ndarray, ...]:
        """The last value, the one on a day before it, and how many of the two there are."""
        a = self.stream.activity
        return kernel.last(self.stream.offset, a.day, a.known, a.valued, a.last_time, a.last, *self.key, self.history)

    @cached_property
    def distinct(self) -> np.ndarray:
        """Entities seen in each entity window, int64 (w, k); the last one is the history."""
        windows = self.stream.entity_windows
        return self._entities(np.zeros_like(windows), windows)

    @cached_property
    def seen_before(self) -> np.ndarray:
        """Entities seen within the history, before each entity window: int64 (w, k)."""
        windows = self.stream.entity_windows
        return self._entities(windows, np.full_like(windows, self.history))

    @cached_property
    def busiest(self) -> np.ndarray:
        """The last day of the entity with the most days within the history."""
        return kernel.busiest(*self._entity_rows, *self.key, self.history)

    @cached_property
    def opened(self) -> tuple[np.ndarray, np.ndarray]:
        """How many are open, and the age of the oldest."""
        a = self.stream.activity
        return kernel.still_open(
            self.stream.open_offset, a.open_day, a.open_known, a.open_until, *self.key, self.history
        )

    def entity_window(self, table: np.ndarray, days: int) -> np.ndarray:
        """The row of a table for an entity window."""
        return table[np.searchsorted(self.stream.entity_windows, min(days, self.history))]

    def _entities(self, skip: np.ndarray, lookbacks: np.ndarray) -> np.ndarray:
        return kernel.distinct(*self._entity_rows, *self.key, lookbacks, skip)

    @property
    def _entity_rows(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        a = self.stream.activity
        return self.stream.entity_offset, a.entity, a.entity_day, a.entity_known


def _mean(facts: _Facts, days: int) -> np.ndarray:
    number = facts.at(facts.valued, days)
    return np.where(number == 0, np.nan, facts.at(facts.total, days) / 1e6 / np.maximum(number, 1))


def _trend(facts: _Facts, days: int) -> np.ndarray:
    now, both = facts.at(facts.count, days), facts.at(facts.count, 2 * days)
    return np.log((now + 1) / (both - now + 1))


def _spike(facts: _Facts, days: None) -> np.ndarray:
    now, past = facts.weeks[0], facts.weeks[1:]
    return (now - past.mean(axis=0)) / np.sqrt(past.var(axis=0) + 1)


def _slope(facts: _Facts, days: None) -> np.ndarray:
    """Least squares over x = 0, −1 … −7: Σ (x − mean) · count / Σ (x − mean)², both doubled to stay whole."""
    x = np.arange(WEEKS - 1, -WEEKS, -2)
    return 2 * (x @ facts.weeks[:WEEKS]) / (x @ x)


def _decline_weeks(facts: _Facts, days: None) -> np.ndarray:
    fewer = facts.weeks[:-1] < facts.weeks[1:]
    return np.logical_and.accumulate(fewer, axis=0).sum(axis=0)


def _new_users(facts: _Facts, days: int) -> np.ndarray:
    return facts.distinct[-1] - facts.entity_window(facts.seen_before, days)


def _key_user_quiet(facts: _Facts, days: None) -> np.ndarray:
    return np.where(facts.busiest == kernel.NONE, np.nan, facts.key[1] - facts.busiest)


def _change(facts: _Facts, days: None) -> np.ndarray:
    last, before, rated = facts.rating
    return np.where(rated > 1, (last - before) / 1e6, np.nan)


WEEKLY = {"spike", "slope", "decline_weeks"}
ENTITIES = {"distinct", "new_users"}
_FORMULAS: dict[str, Callable] = {
    "count": lambda facts, days: facts.at(facts.count, days),
    "days": lambda facts, days: facts.at(facts.days, days),
    "sum": lambda facts, days: facts.at(facts.total, days) / 1e6,
    "mean": _mean,
    "distinct": lambda facts, days: facts.entity_window(facts.distinct, days),
    "new_users": _new_users,
    "trend": _trend,
    "recency": lambda facts, days: facts.recency,
    "tenure": lambda facts, days: np.where(facts.latest == kernel.NONE, np.nan, facts.key[1] - facts.first),
    "gap": lambda facts, days: facts.gap,
    "gap_ratio": lambda facts, days: facts.recency / facts.gap,
    "spike": _spike,
    "slope": _slope,
    "decline_weeks": _decline_weeks,
    "key_user_quiet": _key_user_quiet,
    "last": lambda facts, days: np.where(facts.rating[2] > 0, facts.rating[0] / 1e6, np.nan),
    "change": _change,
    "open": lambda facts, days: facts.opened[0],
    "oldest_open_days": lambda facts, days: facts.opened[1],
}
MEASURES = frozenset(_FORMULAS)
