"""Who is at risk on each as-of date, by facts known before it: the spine. A silent customer has a row."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from features.rollup import Activity
from features.snapshot_config import Population
from features.subscriptions import Subscriptions
from features.windows import compute

AT_RISK, LEAVING, OPTED_OUT = "at_risk", "already_leaving", "opted_out"


def spine(
    population: Population,
    customers: pd.DataFrame,
    activity: dict[str, Activity],
    subscriptions: Subscriptions | None,
    as_of: Sequence[int],
) -> pd.DataFrame:
    """The keys on the given days: columns code, day, status (at_risk, already_leaving, opted_out), by day and code.

    customers: see ``customers.load``; as_of: day numbers.
    """
    since = first_known(customers, subscriptions)
    parts = []
    for day in sorted(as_of):
        if population.seen:
            inside = _seen(population.seen.streams, population.seen.days, activity, len(customers), day)
            leaving = np.zeros(len(customers), bool)
        else:
            assert subscriptions is not None
            inside, leaving = _subscribed(subscriptions, len(customers), day)
        inside &= (customers["known_from"].to_numpy() < day) & (day - since >= population.min_tenure_days)
        code = np.flatnonzero(inside).astype(np.int32)
        status = np.where(leaving[code], LEAVING, AT_RISK).astype(object)
        status[customers["opted_out"].to_numpy()[code]] = OPTED_OUT
        parts.append(pd.DataFrame({"code": code, "day": np.int32(day), "status": status}))
    return pd.concat(parts, ignore_index=True)


def first_known(customers: pd.DataFrame, subscriptions: Subscriptions | None) -> np.ndarray:
    """The day from which tenure counts, int64 (customers,): ``known_from``, first subscription, or always."""
    known_from = customers["known_from"].to_numpy(np.int64)
    if subscriptions is None or (known_from > -(2**31)).any():
        return known_from
    return subscriptions.tenure_start(len(customers)).astype(np.int64)


def _seen(streams: Sequence[str], days: int, activity: dict[str, Activity], customers: int, day: int) -> np.ndarray:
    everyone = np.arange(customers, dtype=np.int32)
    when = np.full(customers, day, np.int32)
    counts = [compute(activity[stream], everyone, when, [("count", days)], days)[:, 0] for stream in streams]
    return np.sum(counts, axis=0) > 0


def _subscribed(subscriptions: Subscriptions, customers: int, day: int) -> tuple[np.ndarray, np.ndarray]:
    active, leaving = subscriptions.active(day), subscriptions.leaving(day)
    inside, staying = np.zeros(customers, bool), np.zeros(customers, bool)
    inside[subscriptions.customer[active]] = True
    staying[subscriptions.customer[active & ~leaving]] = True
    return inside, inside & ~staying
