"""Who is at risk on each as-of date, by facts known before it: the spine. A silent customer has a row."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from features import kernel
from features.facts import Part
from features.snapshot_config import Population, Seen
from features.subscriptions import Subscriptions

AT_RISK, LEAVING, OPTED_OUT = 0, 1, 2
STATUS = np.array(["at_risk", "already_leaving", "opted_out"], dtype=object)


@dataclass(frozen=True)
class Spine:
    """Keys sorted by customer and day: codes and day numbers, int32 (k,), and the status of each, int8 (k,), a place in STATUS."""

    customer: np.ndarray
    day: np.ndarray
    status: np.ndarray


def spine(population: Population, part: Part, days: np.ndarray) -> Spine:
    """The keys of a part's customers on the given days (int32, ascending)."""
    people = part.customers
    leaving = np.zeros((len(people), len(days)), bool)
    if population.seen:
        inside = _seen(population.seen, part, days)
    else:
        assert part.subscriptions is not None
        inside, leaving = _subscribed(part.subscriptions, len(people), days)
    since = first_known(people, part.subscriptions)
    inside &= people["known_from"].to_numpy()[:, None] < days
    inside &= days - since[:, None] >= population.min_tenure_days
    customer, date = np.nonzero(inside)
    status = leaving[customer, date].astype(np.int8)
    status[people["opted_out"].to_numpy()[customer]] = OPTED_OUT
    return Spine(customer.astype(np.int32), days[date], status)


def first_known(customers: pd.DataFrame, subscriptions: Subscriptions | None) -> np.ndarray:
    """The day from which tenure counts, int64 (customers,): ``known_from``, first subscription, or always."""
    known_from = customers["known_from"].to_numpy(np.int64)
    if subscriptions is None or (known_from > -(2**31)).any():
        return known_from
    return subscriptions.tenure_start(len(customers)).astype(np.int64)


def _seen(seen: Seen, part: Part, days: np.ndarray) -> np.ndarray:
    found = np.zeros((len(part.customers), len(days)), bool)
    for stream in seen.streams:
        activity = part.activity[stream]
        offset = kernel.offsets(activity.customer, len(part.customers))
        found |= kernel.seen(offset, activity.day, activity.known, days, seen.days)
    return found


def _subscribed(subscriptions: Subscriptions, customers: int, days: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    inside, staying = np.zeros((2, customers, len(days)), bool)
    for date, day in enumerate(days):
        active, leaving = subscriptions.active(day), subscriptions.leaving(day)
        inside[subscriptions.customer[active], date] = True
        staying[subscriptions.customer[active & ~leaving], date] = True
    return inside, inside & ~staying
