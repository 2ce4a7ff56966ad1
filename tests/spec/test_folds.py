"""Which dates train and which test, as small tables."""

from datetime import date

import pytest

from features.errors import DataError
from training.folds import folds

YEAR = [date(2025, month, 1) for month in range(1, 13)]


def table(part):
    return "\n".join(f"{f.test:%m} | {' '.join(f'{d:%m}' for d in f.train)}" for f in part)


def test_train_horizons_end_before_the_test_date():
    plan = folds(YEAR, span_days=61, test_dates=2)
    assert table(plan.test) == "11 | 01 02 03 04 05 06 07 08 09\n12 | 01 02 03 04 05 06 07 08 09 10"
    assert table(plan.selection) == (
        "06 | 01 02 03 04\n07 | 01 02 03 04 05\n08 | 01 02 03 04 05 06\n09 | 01 02 03 04 05 06 07"
    )


def test_a_horizon_that_ends_on_the_test_date_is_over_one_day_longer_is_not():
    day = [date(2025, 1, 1), date(2025, 1, 31)]
    assert table(folds(day, 30, 1).test) == "01 | 01"
    with pytest.raises(DataError, match="none of the last 1 has one 31 days before it"):
        folds(day, 31, 1)


def test_selection_outcomes_are_mature_before_the_first_test_date():
    plan = folds(YEAR, span_days=130, test_dates=4)
    assert [f.test.month for f in plan.test] == [9, 10, 11, 12]
    assert plan.selection == ()
    longer = [date(2024 + m // 12, m % 12 + 1, 1) for m in range(24)]
    assert [f.test for f in folds(longer, 130, 4).selection] == [date(2025, m, 1) for m in (1, 2, 3, 4)]


def test_test_dates_without_a_train_date_are_left_out():
    plan = folds(YEAR[:4], span_days=61, test_dates=3)
    assert table(plan.test) == "04 | 01"


@pytest.mark.parametrize("mature", [[], YEAR[:1]])
def test_a_horizon_longer_than_the_data_is_refused(mature):
    with pytest.raises(DataError, match="shorter horizon, more dates or more history"):
        folds(mature, 30, 4)
