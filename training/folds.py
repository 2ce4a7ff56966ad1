"""Train and test dates that never overlap in what they know: time order is kept, horizons included."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from features.errors import DataError

SELECTION_DATES = 4


@dataclass(frozen=True)
class Fold:
    """One test date and the train dates whose outcomes were mature on it."""

    test: date
    train: tuple[date, ...]


@dataclass(frozen=True)
class Folds:
    """``selection`` chooses candidate and rule; ``test`` grades them, once."""

    selection: tuple[Fold, ...]
    test: tuple[Fold, ...]


def folds(mature: Sequence[date], span_days: int, test_dates: int) -> Folds:
    """Folds over the mature as-of dates, oldest first; ``span_days`` = gap + horizon + grace + settle.

    A train date d serves a test date t when d + span ≤ t. The last ``test_dates`` dates grade. Selection
    dates are up to four dates mature before the first test date, so that the choice knows nothing of any test
    horizon. Example, month starts January to December, span 61 days, 2 test dates: November trains on January
    to September (September 1 + 61 = November 1) and December on January to October (October 1 + 61 = December
    1); selection dates are June to September, June trains on January to April. Raises DataError when no test
    date has a train date.
    """
    every = [Fold(t, tuple(d for d in mature if _mature_on(d, span_days, t))) for t in mature]
    test = tuple(fold for fold in every[-test_dates:] if fold.train)
    if not test:
        raise DataError(
            f"as_of: {len(mature)} mature dates, and none of the last {test_dates} has one {span_days} days "
            "before it (gap + horizon + grace + settle); use a shorter horizon, more dates or more history"
        )
    earlier = [fold for fold in every if fold.train and _mature_on(fold.test, span_days, test[0].test)]
    return Folds(tuple(earlier[-SELECTION_DATES:]), test)


def _mature_on(as_of: date, span_days: int, day: date) -> bool:
    return as_of + timedelta(days=span_days) <= day
