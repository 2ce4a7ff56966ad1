"""Daily activity + spine to behaviour windows, stream by stream.

For every key and every look-back of b days it gives the visible activity in [as_of − b, as_of): prefix sums over the
customer's rows, less the rows that became known only later. All measures follow from these. Cost: rows + keys.
"""

from collections.abc import Callable, Sequence

import numpy as np

from features import kernel
from features.rollup import Activity

WEEKS = 8
Measure = tuple[str, int | None]


def compute(
    activity: Activity, customer: np.ndarray, as_of: np.ndarray, measures: Sequence[Measure], history_days: int
) -> np.ndarray:
    """The measures of one stream for each key.

    customer, as_of: int32 (k,), any order; measures: (name, days or None); returns float64 (k, m), NaN = null. Values
    are in the stream's own units. Formulas: ``docs/measures.md``.
    """
    order = np.lexsort((as_of, customer))
    keys = (customer[order].astype(np.int32), as_of[order].astype(np.int32))
    facts = _Facts(activity, *keys, measures, history_days)
    out = np.empty((len(order), len(measures)))
    for column, (name, days) in enumerate(measures):
        out[order, column] = _FORMULAS[name](facts, days)
    return out


class _Facts:
    """What the formulas draw on: cumulative activity per look-back, and the rest only where asked for."""

    def __init__(
        self,
        activity: Activity,
        customer: np.ndarray,
        as_of: np.ndarray,
        measures: Sequence[Measure],
        history_days: int,
    ):
        self.key = (customer, as_of)
        self.activity, self.history = activity, history_days
        names = {name for name, _ in measures}
        windows = {days for _, days in measures if days}
        weekly = {7 * k for k in range(1, WEEKS + 2)} if "spike" in names else set()
        self.lookbacks = np.array(sorted(windows | {2 * w for w in windows} | weekly | {history_days}), np.int64)
        a = activity
        rows = (a.customer, a.day, a.known, a.count, a.valued, a.total)
        self.count, self.days, self.valued, self.total, self.latest, self.first = kernel.cumulate(
            *rows, *self.key, self.lookbacks, history_days
        )
        self.recency = np.where(self.latest == kernel.NONE, np.nan, as_of - self.latest)
        if names & {"last", "change"}:
            self.last, self.before, self.rated = kernel.last(
                a.customer, a.day, a.known, a.valued, a.last_time, a.last, *self.key, history_days
            )
        if "distinct" in names:
            entities = (a.entity_customer, a.entity, a.entity_day, a.entity_known)
            self.distinct = kernel.distinct(*entities, *self.key, self.lookbacks, history_days)
        if names & {"open", "oldest_open_days"}:
            intervals = (a.open_customer, a.open_day, a.open_known, a.open_until)
            self.open, self.oldest = kernel.still_open(*intervals, *self.key, history_days)

    def at(self, table: np.ndarray, days: int) -> np.ndarray:
        return table[:, np.searchsorted(self.lookbacks, days)]

    def gap(self) -> np.ndarray:
        days = self.at(self.days, self.history)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(days < 2, np.nan, (self.latest - self.first) / (days - 1))


def _mean(facts: _Facts, days: int) -> np.ndarray:
    number = facts.at(facts.valued, days)
    return np.where(number == 0, np.nan, facts.at(facts.total, days) / 1e6 / np.maximum(number, 1))


def _trend(facts: _Facts, days: int) -> np.ndarray:
    now, both = facts.at(facts.count, days), facts.at(facts.count, 2 * days)
    return np.log((now + 1) / (both - now + 1))


def _spike(facts: _Facts, days: None) -> np.ndarray:
    reached = np.stack([facts.at(facts.count, 7 * k) for k in range(1, WEEKS + 2)], axis=1)
    weeks = np.diff(reached, axis=1)
    return (reached[:, 0] - weeks.mean(axis=1)) / np.sqrt(weeks.var(axis=1) + 1)


_FORMULAS: dict[str, Callable] = {
    "count": lambda facts, days: facts.at(facts.count, days),
    "days": lambda facts, days: facts.at(facts.days, days),
    "sum": lambda facts, days: facts.at(facts.total, days) / 1e6,
    "mean": _mean,
    "distinct": lambda facts, days: facts.at(facts.distinct, days),
    "trend": _trend,
    "recency": lambda facts, days: facts.recency,
    "tenure": lambda facts, days: np.where(facts.latest == kernel.NONE, np.nan, facts.key[1] - facts.first),
    "gap": lambda facts, days: facts.gap(),
    "gap_ratio": lambda facts, days: facts.recency / facts.gap(),
    "spike": _spike,
    "last": lambda facts, days: np.where(facts.rated > 0, facts.last / 1e6, np.nan),
    "change": lambda facts, days: np.where(facts.rated > 1, (facts.last - facts.before) / 1e6, np.nan),
    "open": lambda facts, days: facts.open,
    "oldest_open_days": lambda facts, days: facts.oldest,
}
