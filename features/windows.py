"""Daily activity + spine to behaviour windows, stream by stream.

For every key and every look-back of b days it gives the visible activity in [as_of − b, as_of): prefix sums over the
customer's rows, and intervals of dates for the rows that became known late. All measures follow from these.
The work grows with rows + keys.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from features import kernel
from features.lookback import PLAIN, WEEKS, Facts, Measure, Stream, plan
from features.rollup import Activity

CHUNK = 8_192


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
    wanted = plan(tuple(measures), history)
    stream = Stream(activity, wanted, int(customer[-1]) + 1 if len(customer) else 0)
    for first, end in _chunks(customer):
        facts = Facts(stream, customer[first:end], as_of[first:end], out[:, first:end])
        for name, (rows, days) in wanted.formulas.items():
            out[rows, first:end] = _FORMULAS[name](facts, *days)
        for row, equal in wanted.same.items():
            out[row, first:end] = out[equal, first:end]


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


def _mean(facts: Facts, *days: int) -> np.ndarray:
    number = facts.at(facts.valued, *days)
    return np.where(number == 0, np.nan, facts.at(facts.total, *days) / 1e6 / np.maximum(number, 1))


def _trend(facts: Facts, *days: int) -> np.ndarray:
    now, both = facts.at(facts.count, *days), facts.at(facts.count, *(2 * one for one in days))
    return np.log((now + 1) / (both - now + 1))


def _spike(facts: Facts, *days: int) -> np.ndarray:
    now, past = facts.weeks[0], facts.weeks[1:]
    mean = past.sum(axis=0) / WEEKS
    off = past - mean
    return (now - mean) / np.sqrt((off * off).sum(axis=0) / WEEKS + 1)


def _slope(facts: Facts, *days: int) -> np.ndarray:
    """Least squares over x = 0, −1 … −7: Σ (x − mean) · count / Σ (x − mean)², both doubled to stay whole."""
    x = np.arange(WEEKS - 1, -WEEKS, -2)
    return 2 * (x @ facts.weeks[:WEEKS]) / (x @ x)


def _decline_weeks(facts: Facts, *days: int) -> np.ndarray:
    fewer = facts.weeks[:-1] < facts.weeks[1:]
    return np.logical_and.accumulate(fewer, axis=0).sum(axis=0)


def _key_user_quiet(facts: Facts, *days: int) -> np.ndarray:
    return np.where(facts.busiest == kernel.NONE, np.nan, facts.key[1] - facts.busiest)


def _change(facts: Facts, *days: int) -> np.ndarray:
    last, before, rated = facts.rating
    return np.where(rated > 1, (last - before) / 1e6, np.nan)


# A row for each of the windows, or one row where a measure has none.
_FORMULAS: dict[str, Callable] = {
    "mean": _mean,
    "distinct": lambda facts, *days: facts.of_entities(facts.distinct, *days),
    "new_users": lambda facts, *days: facts.distinct[-1] - facts.of_entities(facts.seen_before, *days),
    "trend": _trend,
    "recency": lambda facts, *days: facts.recency,
    "tenure": lambda facts, *days: np.where(facts.latest == kernel.NONE, np.nan, facts.key[1] - facts.first),
    "gap": lambda facts, *days: facts.gap,
    "gap_ratio": lambda facts, *days: facts.recency / facts.gap,
    "spike": _spike,
    "slope": _slope,
    "decline_weeks": _decline_weeks,
    "key_user_quiet": _key_user_quiet,
    "last": lambda facts, *days: np.where(facts.rating[2] > 0, facts.rating[0] / 1e6, np.nan),
    "change": _change,
    "open": lambda facts, *days: facts.opened[0],
    "oldest_open_days": lambda facts, *days: facts.opened[1],
}
MEASURES = frozenset(_FORMULAS) | PLAIN.keys()
