"""A labelled snapshot as arrays: what every fit and every test takes its rows from."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from typing import cast

import numpy as np
import pandas as pd

from features.catalogue import Feature
from training.columns import Column, encode

MOST_CATEGORIES = 50
SIDE = (
    "event_day", "followed_days", "contacted", "buying_days", "buying_recency", "buying_age", "buying_mean",
)  # fmt: skip


@dataclass(frozen=True)
class Rows:
    """n mature rows: matrix (n, f) float64, outcome 1/0, unit codes, customer ids, day datetime64[D].

    side: further numbers of each row that are no features, (n,) each: what the snapshot brought of ``SIDE``, the
    ``amount`` at stake, 1 where a unit is ``held_out`` from contacts.
    """

    columns: list[Column]
    matrix: np.ndarray
    outcome: np.ndarray
    unit: np.ndarray
    customer: np.ndarray
    day: np.ndarray
    side: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.outcome)

    def take(self, index: np.ndarray) -> "Rows":
        """The rows at these positions."""
        arrays = {name: getattr(self, name)[index] for name in ("matrix", "outcome", "unit", "customer", "day")}
        side = {name: values[index] for name, values in self.side.items()}
        return replace(self, **arrays, side=side)

    def on(self, dates: Sequence[date]) -> np.ndarray:
        """Positions of the rows of these as-of dates."""
        return np.flatnonzero(np.isin(self.day, np.array(dates, dtype="datetime64[D]")))

    @property
    def dates(self) -> list[date]:
        return [day.item() for day in np.unique(self.day)]

    @property
    def varies(self) -> bool:
        """Whether both outcomes occur."""
        return len(np.unique(self.outcome)) == 2

    @property
    def customers_with_outcome(self) -> int:
        return len(np.unique(self.customer[self.outcome == 1]))


def rows(frame: pd.DataFrame, features: Sequence[Feature], **side: np.ndarray) -> Rows:
    """The mature rows of a labelled snapshot frame of m rows; ``side``: further numbers of every row, (m,) each.

    Raises DataError for a column of the wrong type.
    """
    known = frame["outcome"].notna().to_numpy()
    mature = frame if known.all() else frame[known]
    columns = [_column(feature, mature[feature.name]) for feature in features]
    brought = {name: mature[name].to_numpy(np.float64) for name in SIDE if name in mature}
    return Rows(
        columns,
        encode(mature, columns),
        mature["outcome"].to_numpy(np.float64),
        pd.factorize(mature["unit"], sort=True)[0],
        mature["customer_id"].to_numpy(object),
        mature["as_of"].to_numpy("datetime64[D]"),
        brought | {name: np.asarray(values, np.float64)[known] for name, values in side.items()},
    )


def _column(feature: Feature, values: pd.Series) -> Column:
    """The feature with its categories: the most frequent ones, in alphabetical order."""
    categories = None
    if feature.kind == "category":
        counts = values.value_counts().sort_index(kind="stable").sort_values(ascending=False, kind="stable")
        categories = sorted(str(name) for name in counts.index[:MOST_CATEGORIES])
    return cast(Column, {**asdict(feature), "categories": categories})
