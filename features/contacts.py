"""How often the team contacted a customer while the outcome was open: known only afterwards, so never a feature.

Worked example: as of March 1st, gap 7, horizon 90: contacts in [March 1st, June 6th) count.
"""

import numpy as np

from features.facts import Part
from features.rollup import Activity
from features.snapshot_config import SnapshotConfig


def contacted(config: SnapshotConfig, part: Part, customer: np.ndarray, as_of: np.ndarray) -> np.ndarray:
    """Contacts in [as_of, as_of + gap + horizon) of each key, all that are known today: float64 (k,).

    customer, as_of: int32 (k,). NaN where no stream has ``role: contact``: then nobody knows.
    """
    names = [name for name, stream in config.data.streams.items() if stream.role == "contact"]
    count = np.full(len(customer), 0.0 if names else np.nan)
    end = as_of.astype(np.int64) + config.outcome.gap_days + config.outcome.horizon_days
    for name in names:
        count += _count(part.activity[name], customer, as_of, end)
    return count


def _count(activity: Activity, customer: np.ndarray, begin: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Events of each customer in [begin, end), (k,)."""
    reached = np.concatenate([[0], np.cumsum(activity.count)])
    return reached[_before(activity, customer, end)] - reached[_before(activity, customer, begin)]


def _before(activity: Activity, customer: np.ndarray, day: np.ndarray) -> np.ndarray:
    """How many rows of the activity, sorted by customer and day, come before each (customer, day)."""
    key = activity.customer.astype(np.int64) * 2**32 + activity.day
    return np.searchsorted(key, customer.astype(np.int64) * 2**32 + day)
