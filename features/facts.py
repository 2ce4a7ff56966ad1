"""All facts that one ``data.yaml`` names, read once: customers, subscriptions and the daily activity of each stream."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import pandas as pd

from features import customers, events, subscriptions
from features.calendar import NEVER, number
from features.data_config import Data
from features.rollup import Activity, daily
from features.sources import Source
from features.subscriptions import Subscriptions


@dataclass(frozen=True)
class Facts:
    """What is known of the customers.

    lost: the rows of each stream that could not be used, by reason. today: a day number; nothing after it was read.
    """

    source: Source
    customers: pd.DataFrame
    subscriptions: Subscriptions | None
    activity: dict[str, Activity]
    lost: dict[str, dict[str, int]]
    today: int

    @property
    def index(self) -> pd.Index:
        """The customer ids; a position is a code."""
        return pd.Index(self.customers["id"])


def read(data: Data, only: Sequence[str] | None = None, today: date | None = None) -> Facts:
    """Read every table. ``only``: just these customers, by the same walk.

    today: events that occurred or became known after it are left out and counted: one wrong date in the future must not
    move the end of the data. Only the doors know what day it is.
    """
    limit = number(today) if today else NEVER
    source = Source(data)
    everyone = customers.load(source, only)
    index = pd.Index(everyone["id"])
    terms = subscriptions.load(source, index, only)
    activity, lost = {}, {}
    for name in data.streams:
        found, lost[name] = events.load(source, name, index, only, limit)
        activity[name] = daily(found)
    return Facts(source, everyone, terms, activity, lost, limit)
