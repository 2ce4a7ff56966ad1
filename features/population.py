"""Who is at risk on each as-of date, by facts known before it: the spine. A silent customer has a row."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from features import kernel
from features.facts import Part
from features.snapshot_config import Population, Seen
from features.subscriptions import Subscriptions

LEAVING, OPTED_OUT, TOO_NEW = "already_leaving", "opted_out", "not_enough_history"


@dataclass(frozen=True)
class Spine:
    """Keys sorted by customer and day: codes and day numbers, int32 (k,).

    left_out: those in sight but not at risk, with the ``status`` of each, object (k,): already_leaving, or
    not_enough_history, known for fewer days than ``min_tenure_days``; and everyone who opted_out, in sight or not, for
    nobody may score them by other ways either.
    """

    customer: np.ndarray
    day: np.ndarray
    left_out: "Spine | None" = None
    status: np.ndarray | None = None


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
    new = days - since[:, None] < population.min_tenure_days
    refused = people["opted_out"].to_numpy()
    customer, date = np.nonzero((inside & (leaving | new)) | refused[:, None])
    status = np.select([refused[customer], leaving[customer, date]], [OPTED_OUT, LEAVING], TOO_NEW).astype(object)
    left_out = Spine(customer.astype(np.int32), days[date], status=status)
    customer, date = np.nonzero(inside & ~leaving & ~new & ~refused[:, None])
    return Spine(customer.astype(np.int32), days[date], left_out)


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
