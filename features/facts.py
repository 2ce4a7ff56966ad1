"""All facts that one ``data.yaml`` names, read once: customers, subscriptions and the daily activity of each stream."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from features import customers, events, subscriptions
from features.data_config import Data
from features.rollup import Activity, daily
from features.sources import Source
from features.subscriptions import Subscriptions


@dataclass(frozen=True)
class Facts:
    """What is known of the customers. ``lost`` counts the rows of each stream that could not be used, by reason."""

    source: Source
    customers: pd.DataFrame
    subscriptions: Subscriptions | None
    activity: dict[str, Activity]
    lost: dict[str, dict[str, int]]

    @property
    def index(self) -> pd.Index:
        """The customer ids; a position is a code."""
        return pd.Index(self.customers["id"])


def read(data: Data, only: Sequence[str] | None = None) -> Facts:
    """Read every table. ``only``: just these customers, by the same walk."""
    source = Source(data)
    everyone = customers.load(source, only)
    index = pd.Index(everyone["id"])
    terms = subscriptions.load(source, index, only)
    activity, lost = {}, {}
    for name in data.streams:
        found, lost[name] = events.load(source, name, index, only)
        activity[name] = daily(found)
    return Facts(source, everyone, terms, activity, lost)
