"""The rows of the test dates with what is known of each: what profit, slices and contacts are judged on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd

from features.errors import DataError
from features.outcome import Horizon
from training import metrics
from training.info import Metric
from training.rows import Rows
from training.value import Value, gains, lost


@dataclass(frozen=True)
class Answer:
    """A figure, or why there is none; a ``reason`` beside a figure is a remark. Reasons: ``words.yaml``."""

    value: float | None
    reason: str | None = None


@dataclass(frozen=True)
class Later:
    """n test rows, arrays (n,): fold (ISO date), customer id, unit, outcome 1/0, score (out of time), amount at stake.

    side: further numbers that are no features, of which ``treated`` reads contacted and held_out.
    """

    fold: np.ndarray
    customer: np.ndarray
    unit: np.ndarray
    outcome: np.ndarray
    score: np.ndarray
    amount: np.ndarray
    side: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.outcome)

    @cached_property
    def dates(self) -> dict[str, np.ndarray]:
        """The positions of the rows of each test date, oldest first."""
        return {str(day): np.flatnonzero(self.fold == day) for day in np.unique(self.fold)}

    @cached_property
    def _customer(self) -> np.ndarray:
        return pd.factorize(self.customer, sort=True)[0]

    def customers(self, inside: np.ndarray) -> int:
        """How many customers the rows of this mask are of."""
        return len(np.unique(self._customer[inside]))

    def ranked(self, by: np.ndarray) -> dict[str, np.ndarray]:
        """The positions of each date's rows by a number (n,), highest first, ties by customer."""
        return {day: own[np.lexsort((self._customer[own], -by[own]))] for day, own in self.dates.items()}

    def lists(self, value: Value) -> dict[str, np.ndarray]:
        """The rows of each date as the list ranks them, by expected gain.

        With no effect all gains are alike; then as a barely greater effect would rank them.
        """
        own = value if value.effect else value.model_copy(update={"effect": 1.0, "contact": "keeps"})
        return self.ranked(gains(self.score, self.amount, own))

    def listed(self, value: Value, contacts: int) -> np.ndarray:
        """Whether a row is among the ``contacts`` first of its date, (n,)."""
        first = np.zeros(len(self), bool)
        for own in self.lists(value).values():
            first[own[:contacts]] = True
        return first

    def sums(self, columns: Sequence[np.ndarray], masks: Sequence[np.ndarray]) -> np.ndarray:
        """The sum of each column (n,) over the rows of each mask, and its draws: (columns, masks, 1 + draws).

        A bootstrap over units; they are summed first, so that it grows with them and not with the rows.
        """
        names, unit = np.unique(self.unit, return_inverse=True)
        per_unit = [
            np.bincount(unit[inside], column[inside], len(names)).astype(np.float64)
            for column in columns
            for inside in masks
        ]
        whole = np.stack(per_unit, axis=1)
        drawn = [weights @ whole for weights in metrics.resampled(np.arange(len(names)))]
        sums = np.concatenate([whole.sum(axis=0, keepdims=True), *drawn])
        return sums.T.reshape(len(columns), len(masks), -1)


def later(scored: pd.DataFrame, score: np.ndarray, rows: Rows, value: Value, outcome: Horizon) -> Later | None:
    """The test rows of a training; None where nothing was scored.

    scored: fold and row (position in ``rows``); score: the one to judge, (n,). Raises DataError where the rows came
    without their amount.
    """
    if scored.empty:
        return None
    if "amount" not in rows.side:
        raise DataError("the rows came without their amount; make them with rows(frame, features, amount=…)")
    row, score = scored["row"].to_numpy(), np.asarray(score, np.float64)
    side = {name: values[row] for name, values in rows.side.items()}
    amount = side.pop("amount") * lost(score, value, outcome)
    own = (rows.customer[row], rows.unit[row], rows.outcome[row])
    return Later(scored["fold"].to_numpy(object), *own, score, amount, side)


def shares(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole of ``sums``, (…, 1 + draws); NaN of nothing.

    To each draw a row with and one without are added, as often as a row is drawn (Poisson, once on average): a share
    of none or all of a few rows has an interval too, much as Agresti and Coull 1998 add two of each.
    """
    doubt = np.random.default_rng(0).poisson(1.0, (2, *part.shape))
    doubt[..., 0] = 0
    with np.errstate(invalid="ignore"):
        return (part + doubt[0]) / (whole + doubt.sum(axis=0))


def metric(drawn: np.ndarray, level: float = 0.95) -> Metric | None:
    """The first number with the central ``level`` of the others, its draws; None where it has no value."""
    value, known = drawn[0], drawn[1:][np.isfinite(drawn[1:])]
    if not np.isfinite(value) or not len(known):
        return None
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return Metric(value=round(float(value), 6), low=round(float(low), 6), high=round(float(high), 6))
