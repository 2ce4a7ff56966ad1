"""Two models on customers and dates that neither had seen: who ranks better, how surely; what the list becomes."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from training import metrics
from training.bundle import Bundle
from training.grade import drawn, per_date

ENOUGH = 50
NOT_WORSE = -0.01
KEYS = ["fold", "customer_id"]


@dataclass(frozen=True)
class Versus:
    """Out-of-time scores of two models on the same rows.

    gain: average precision of the second less that of the first, averaged over the dates; low, high: its 95% interval,
    bootstrapped over units. outcomes: distinct customers with the outcome.
    """

    dates: int
    rows: int
    outcomes: int
    first: float
    second: float
    gain: float
    low: float
    high: float

    @property
    def enough(self) -> bool:
        """Whether there are outcomes enough to decide by."""
        return self.outcomes >= ENOUGH

    @property
    def not_worse(self) -> bool:
        return self.low > NOT_WORSE

    def __str__(self) -> str:
        return f"gain {self.gain:+.3f} ({self.low:+.3f} to {self.high:+.3f}) on {self.dates} dates both had not seen"


def versus(first: pd.DataFrame, second: pd.DataFrame) -> Versus | None:
    """Compare by the rows that both scored out of time; None where they have no date with both outcomes in common.

    first, second: fold, customer_id, unit, outcome, score. Units and outcomes are those of the second, the fresher one.
    """
    both = second.merge(first[[*KEYS, "score"]].rename(columns={"score": "rule"}), on=KEYS)
    if both.empty:
        return None
    both = both[both.groupby("fold")["outcome"].transform("nunique") == 2]
    if both.empty:
        return None
    one, two = per_date(both, "rule"), per_date(both, "score")
    drawn_two, drawn_one = drawn(both)
    low, high = metrics.interval(drawn_two - drawn_one)
    figures = [one.mean(), two.mean(), (two - one).mean(), low, high]
    outcomes = both.loc[both["outcome"] == 1, "customer_id"].nunique()
    return Versus(len(one), len(both), outcomes, *(round(float(value), 6) for value in figures))


@dataclass(frozen=True)
class Lists:
    """What the list of one day becomes: of the first ``contacts`` ranks, how many customers are the same.

    other_reason: of those, how many have another family first among their reasons.
    """

    as_of: str
    customers: int
    contacts: int
    same: int
    other_reason: int


def lists(first: Bundle, second: Bundle, frame: pd.DataFrame, contacts: int) -> Lists:
    """Rank the customers of one date by both bundles. Raises DataError when the frame does not fit one of them."""
    ranked = [_leading(bundle, frame).head(contacts) for bundle in (first, second)]
    both = ranked[0].index.intersection(ranked[1].index)
    other = int((ranked[0][both] != ranked[1][both]).sum())
    as_of = str(frame["as_of"].max().date()) if len(frame) else "–"
    return Lists(as_of, len(frame), min(contacts, len(frame)), len(both), other)


def _leading(bundle: Bundle, frame: pd.DataFrame) -> pd.Series:
    """The family that raises each score most, by customer, highest score first."""
    matrix = bundle.matrix(frame)
    parts = pd.DataFrame(bundle.contributions(matrix), columns=_families(bundle)).T.groupby(level=0).sum().T
    order = np.argsort(-bundle.margin(matrix), kind="stable")
    return pd.Series(parts.idxmax(axis=1).to_numpy()[order], frame["customer_id"].to_numpy()[order])


def _families(bundle: Bundle) -> Sequence[str]:
    return [column["family"] for column in bundle.info.features]


def comparable(first: Bundle, second: Bundle) -> str | None:
    """Why two bundles cannot be compared; None when they can."""
    for name in ("population", "outcome"):
        if getattr(first.info, name) != getattr(second.info, name):
            return f"they answer different questions: `{name}` is not the same"
    return None


def told(
    names: Sequence[str], bundles: Sequence[Bundle], found: Versus | None, become: Lists, reason: str | None
) -> Iterator[str]:
    """The comparison in lines."""
    for name, bundle in zip(names, bundles):
        figures = (
            f"{key} {own.value:.3f} ({own.low:.3f} to {own.high:.3f})" for key, own in bundle.info.metrics.items()
        )
        yield f"version {name}: {bundle.info.kind}, grade {bundle.info.grade}, {', '.join(figures)}"
    if found:
        yield f"average precision on the same rows: {found.first:.3f} and {found.second:.3f}, {found}"
        yield f"{found.rows:,} rows, {found.outcomes:,} customers with the outcome" + (
            "" if found.enough else "; too few to decide by"
        )
    else:
        yield f"not compared on the same rows: {reason or 'no test date is common to both runs'}"
    yield (
        f"list as of {become.as_of}, first {become.contacts:,} of {become.customers:,} customers: {become.same:,} in "
        f"both; {become.other_reason:,} of these with another first reason"
    )


def record(found: Versus | Lists | None) -> dict | None:
    return None if found is None else asdict(found)
