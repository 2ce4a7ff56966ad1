"""Subscriptions: who is active, what it is worth, when it renews, when it ended."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from features import columns
from features.calendar import NEVER
from features.customers import ALWAYS
from features.errors import DataError
from features.sources import Source, fetch, require


@dataclass(frozen=True)
class Subscriptions:
    """One row per subscription, ordered by customer and start; arrays of equal length, NEVER where there is no day.

    ``end`` is the first day without service; ``notice`` is the day on which the end was announced.
    """

    customer: np.ndarray
    start: np.ndarray
    end: np.ndarray
    known: np.ndarray
    notice: np.ndarray
    renewal: np.ndarray
    value: np.ndarray

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
        """The day until which the table is known to be complete: its newest recorded day."""
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

    def tenure_start(self, customers: int) -> np.ndarray:
        """The day on which each customer's first subscription began, NEVER without one: int32 (customers,)."""
        first = np.full(customers, NEVER, np.int32)
        np.minimum.at(first, self.customer, np.maximum(self.start, self.known))
        return first


def load(source: Source, index: pd.Index, some: Sequence[str] | None = None) -> Subscriptions | None:
    """The subscriptions of the customers in ``index``. Raises DataError when an end lies before its start."""
    spec = source.data.subscriptions
    if spec is None:
        return None
    table = source.table(spec.table)
    roles = ("start", "end", "known", "notice", "renewal", "value")
    wanted = {"id": spec.id or source.data.customers.id} | {role: getattr(spec, role) for role in roles}
    wanted = {role: column for role, column in wanted.items() if column}
    require(table, spec.table, {f"data.yaml: subscriptions.{role}": column for role, column in wanted.items()})
    query = {
        role: columns.time(table[column], f"{spec.table}: {column}")
        for role, column in wanted.items()
        if role not in ("id", "value")
    }
    query["id"] = columns.text(table[wanted["id"]])
    if spec.value:
        query["value"] = columns.number(table[spec.value], f"{spec.table}: {spec.value}")
    rows = fetch(columns.only(table, wanted["id"], some).select(**query), spec.table)
    if rows.num_rows == 0 and some is None:
        raise DataError(f"{spec.table}: no subscription in it; give a table with one row a subscription")
    customer = index.get_indexer(rows["id"].to_pandas())
    day = {role: columns.days(rows[role], source.data)[0] if role in query else None for role in roles[:5]}
    start, end = day["start"], day["end"]
    assert start is not None and end is not None
    if rows["start"].null_count:
        raise DataError(f"{spec.table}: {spec.start}: {rows['start'].null_count:,} rows have no start; add it")
    if (end < start).any():
        number = int((end < start).sum())
        raise DataError(
            f"{spec.table}: {number:,} rows end ({spec.end}) before they start ({spec.start}); correct them"
        )
    never = np.full(len(start), NEVER, np.int32)
    known = start if day["known"] is None else np.where(day["known"] == NEVER, start, day["known"])
    value = rows["value"].to_pandas().to_numpy(np.float64, na_value=0.0) if spec.value else np.zeros(len(start))
    notice = never if day["notice"] is None else day["notice"]
    renewal = never if day["renewal"] is None else day["renewal"]
    arrays = (customer.astype(np.int32), start, end, known, notice, renewal, value)
    order = np.lexsort(arrays[::-1])
    return Subscriptions(*(array[order[customer[order] >= 0]] for array in arrays))
