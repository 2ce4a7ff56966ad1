"""Subscriptions: who is active, what it is worth, when it renews, when it ended."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pyarrow as pa

from features import columns
from features.calendar import NEVER
from features.customers import ALWAYS
from features.data_config import Data
from features.data_config import Subscriptions as Spec
from features.errors import DataError
from features.sources import Column, Source, Table, fetch, require

DAYS = ("start", "end", "known", "notice", "renewal")


@dataclass(frozen=True)
class Subscriptions:
    """One row per subscription, ordered by customer and start; arrays of equal length, NEVER where there is no day.

    ``end`` is the first day without service; ``notice`` is the day on which the end was announced; ``involuntary``:
    bool, the reason of the end is one of payment; all False where no reason is given.
    """

    customer: np.ndarray
    start: np.ndarray
    end: np.ndarray
    known: np.ndarray
    notice: np.ndarray
    renewal: np.ndarray
    value: np.ndarray
    involuntary: np.ndarray = field(default_factory=lambda: np.zeros(0, bool))

    def __post_init__(self) -> None:
        if len(self.involuntary) < len(self.customer):
            object.__setattr__(self, "involuntary", np.zeros(len(self.customer), bool))

    def part(self, first: int, end: int) -> "Subscriptions":
        """Those of the customers with a code in [first, end), which become 0 and up."""
        low, high = np.searchsorted(self.customer, [first, end])
        cut = {name: column[low:high] for name, column in vars(self).items()}
        return Subscriptions(**(cut | {"customer": cut["customer"] - np.int32(first)}))

    def active(self, as_of: int) -> np.ndarray:
        """Which rows are active on the as-of date, by what was known before it: bool (n,)."""
        return (self.start < as_of) & (self.known < as_of) & (self.end >= as_of)

    def leaving(self, as_of: int) -> np.ndarray:
        """Which rows have a notice known before the as-of date: bool (n,)."""
        return self.notice < as_of

    def observed_until(self) -> int:
        """The day until which the table is known to be complete: its newest recorded day. DataError without a row."""
        if not len(self.known):
            raise DataError("subscriptions: none of a known customer, so no end is ever seen; check their id column")
        notice = self.notice[self.notice < NEVER]
        return int(max(self.known.max(), notice.max() if len(notice) else ALWAYS))

    def lapses(self, grace_days: int) -> tuple[np.ndarray, np.ndarray]:
        """Customers and the days on which their service ended for longer than the grace; ordered by customer, day.

        Example, grace 30: [Jan 1, Feb 1) and [Feb 20, never) is one service without a lapse.
        """
        order = np.lexsort((self.end, self.start, self.customer))
        customer, start, end = self.customer[order], self.start[order], self.end[order]
        reach = pd.Series(end).groupby(customer).cummax().to_numpy()
        last = np.append(customer[1:] != customer[:-1], True)
        following = np.append(start[1:].astype(np.int64), 0)
        lapsed = (reach < NEVER) & (last | (following >= reach.astype(np.int64) + max(grace_days, 1)))
        return customer[lapsed], reach[lapsed]

    def ending(self, customer: np.ndarray, day: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Whether one of the ``rows``, bool (n,), is the customer's and ends on the day: bool, one per customer given.

        Example: ``terms.ending(*terms.lapses(30), terms.at_renewal(3))`` are the lapses that came with a renewal.
        """
        return np.isin(place(customer, day), place(self.customer[rows], self.end[rows]))

    def at_renewal(self, days: int) -> np.ndarray:
        """Which rows end at most so many days before or after their renewal: bool (n,)."""
        return (self.renewal < NEVER) & (np.abs(self.end.astype(np.int64) - self.renewal) <= days)

    def tenure_start(self, customers: int) -> np.ndarray:
        """The day on which each customer's first subscription began, NEVER without one: int32 (customers,)."""
        first = np.full(customers, NEVER, np.int32)
        np.minimum.at(first, self.customer, np.maximum(self.start, self.known))
        return first


def place(customer: np.ndarray, day: np.ndarray) -> np.ndarray:
    """One number per customer and day, int64, that ascends with both."""
    return customer.astype(np.int64) * 2**32 + day


def load(source: Source, index: pd.Index, some: Sequence[str] | None = None) -> Subscriptions | None:
    """The subscriptions of the customers in ``index``. Raises DataError when an end lies before its start."""
    spec = source.data.subscriptions
    if spec is None:
        return None
    rows = fetch(query(source, some), spec.table)
    if some is None:
        refuse_none(rows.num_rows, spec)
    return parse(rows, source.data, index)


def query(source: Source, some: Sequence[str] | None = None) -> Table:
    """The rows that ``parse`` takes. Raises DataError on a missing column or a wrong type."""
    spec = source.data.subscriptions
    assert spec is not None
    table = source.table(spec.table)
    roles = (*DAYS, "value", "reason")
    wanted = {"id": spec.id or source.data.customers.id} | {role: getattr(spec, role) for role in roles}
    wanted = {role: column for role, column in wanted.items() if column}
    require(table, spec.table, {f"data.yaml: subscriptions.{role}": column for role, column in wanted.items()})
    found = {role: _typed(table[column], role, f"{spec.table}: {column}") for role, column in wanted.items()}
    return columns.only(table, wanted["id"], some).select(**found)


def _typed(column: Column, role: str, label: str) -> Column:
    if role in ("id", "reason"):
        return columns.text(column)
    return columns.number(column, label) if role == "value" else columns.time(column, label)


def parse(rows: pa.Table, data: Data, index: pd.Index) -> Subscriptions:
    """The subscriptions of the customers in ``index``. Raises DataError when an end lies before its start."""
    spec = data.subscriptions
    assert spec is not None
    customer = index.get_indexer(rows["id"].to_pandas()).astype(np.int32)
    never = np.full(rows.num_rows, NEVER, np.int32)
    day = {role: columns.days(rows[role], data)[0] if getattr(spec, role) else never for role in DAYS}
    _refuse(rows["start"].null_count, f"{spec.start}: {{:,}} rows have no start; add it", spec)
    wrong = int((day["end"] < day["start"]).sum())
    _refuse(wrong, f"{{:,}} rows end ({spec.end}) before they start ({spec.start}); correct them", spec)
    day["known"] = np.where(day["known"] == NEVER, day["start"], day["known"])
    value = rows["value"].to_pandas().to_numpy(np.float64, na_value=0.0) if spec.value else np.zeros(rows.num_rows)
    paid = rows["reason"].to_pandas().isin(spec.involuntary).to_numpy() if spec.reason else np.zeros(len(value), bool)
    arrays = (customer, *day.values(), value, paid)
    order = np.lexsort(arrays[::-1])
    return Subscriptions(*(array[order[customer[order] >= 0]] for array in arrays))


def _refuse(number: int, problem: str, spec: Spec) -> None:
    if number:
        raise DataError(f"{spec.table}: {problem.format(number)}")


def refuse_none(rows: int, spec: Spec) -> None:
    """Raise DataError when the table has no row."""
    if rows == 0:
        raise DataError(f"{spec.table}: no subscription in it; give a table with one row a subscription")
