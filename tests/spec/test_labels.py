"""What an outcome is: horizons, gaps, grace, maturity. As-of days and events are day numbers; n/a leaves the row out."""

from datetime import date

import numpy as np
import pandas as pd
import pytest

from features import config, labels
from features.calendar import NEVER, as_of_dates, day_of, period_start
from features.facts import Part
from features.gathered import Calendar
from features.rollup import daily
from features.snapshot_config import SnapshotConfig
from features.subscriptions import Subscriptions
from tests import company
from tests.spec.tables import columns, rows, table_events

TERMS = {"table": "terms.parquet", "start": "start", "end": "end", "grace_days": 30}


def judged(tmp_path, outcome, events=None, terms=None, observed=400, data=None):
    """The outcomes on as-of days 100 (customer 1) as text: 1, 0, null or n/a."""
    extra = {"observed_until": day_of(observed)} if observed else {}
    data = {"subscriptions": TERMS} | extra | (data or {})
    path = company.configs(tmp_path, data, {"outcome": {"kind": None, "streams": None, "horizon_days": None} | outcome})
    settings = config.load(path, SnapshotConfig)
    activity = {"login": daily(columns(table_events(events or "day\n1")))}
    key = (np.array([1], np.int32), np.array([100], np.int32))
    own, login = subscriptions(terms), activity["login"]
    calendar = {"login": Calendar(np.unique(login.day), np.unique(login.day, return_counts=True)[1], login.known.max())}
    part = Part(pd.DataFrame({"id": ["nobody", "one"]}), own, {}, activity)
    happened, in_gap = labels.of(settings, part, *key, labels.observed_until(settings, calendar, own))
    if in_gap[0]:
        return "n/a"
    return "null" if np.isnan(happened[0]) else f"{happened[0]:.0f}"


def subscriptions(terms):
    table = rows(terms or "start | end\n 1 |", start=int, end=int)
    start = np.array([row["start"] for row in table], np.int32)
    end = np.array([NEVER if row["end"] is None else row["end"] for row in table], np.int32)
    never = np.full(len(table), NEVER, np.int32)
    return Subscriptions(np.ones(len(table), np.int32), start, end, start, never, never, np.zeros(len(table)))


INACTIVITY = {"kind": "inactivity", "streams": ["login"], "horizon_days": 30}


@pytest.mark.parametrize(
    ("days", "expected"),
    [("99", "1"), ("100", "0"), ("129", "0"), ("130", "1"), ("99\n130", "1"), ("99\n115\n400", "0")],
)
def test_inactivity_is_no_event_in_the_horizon(tmp_path, days, expected):
    assert judged(tmp_path, INACTIVITY, events=f"day\n{days}") == expected


def test_an_event_known_late_still_happened(tmp_path):
    assert judged(tmp_path, INACTIVITY, events="day | known\n 110 | 300") == "0"


@pytest.mark.parametrize(("observed", "expected"), [(129, "null"), (130, "1"), (132, "1")])
def test_an_outcome_is_null_until_its_horizon_is_observed(tmp_path, observed, expected):
    assert judged(tmp_path, INACTIVITY, events="day\n99", observed=observed) == expected


@pytest.mark.parametrize(("observed", "expected"), [(132, "null"), (133, "1")])
def test_settle_days_are_waited_for(tmp_path, observed, expected):
    assert judged(tmp_path, INACTIVITY | {"settle_days": 3}, events="day\n99", observed=observed) == expected


def test_maturity_follows_the_newest_known_day_of_the_outcome_table(tmp_path):
    assert judged(tmp_path, INACTIVITY, events="day\n99\n129", observed=None) == "null"
    assert judged(tmp_path, INACTIVITY, events="day\n99\n130", observed=None) == "1"
    assert judged(tmp_path, INACTIVITY, events="day | known\n 99 | 99\n 120 | 130", observed=None) == "0"


END = {"kind": "subscription_end", "gap_days": 7, "horizon_days": 90}


@pytest.mark.parametrize(
    ("terms", "expected"),
    [
        ("start | end\n 1 |", "0"),
        ("start | end\n 1 | 100", "n/a"),
        ("start | end\n 1 | 106", "n/a"),
        ("start | end\n 1 | 107", "1"),
        ("start | end\n 1 | 196", "1"),
        ("start | end\n 1 | 197", "0"),
        ("start | end\n 1 | 120\n 120 |", "0"),
        ("start | end\n 1 | 120\n 149 |", "0"),
        ("start | end\n 1 | 120\n 150 |", "1"),
        ("start | end\n 1 | 120\n 60 |", "0"),
        ("start | end\n 1 | 300\n 60 | 120", "0"),
        ("start | end\n 1 | 50\n 90 | 120\n 125 | 130", "1"),
    ],
)
def test_a_subscription_ends_when_none_is_active_within_the_grace(tmp_path, terms, expected):
    assert judged(tmp_path, END, terms=terms) == expected


@pytest.mark.parametrize(("observed", "expected"), [(226, "null"), (227, "1")])
def test_gap_horizon_and_grace_must_have_passed(tmp_path, observed, expected):
    assert judged(tmp_path, END, terms="start | end\n 1 | 120", observed=observed) == expected


EVENT = {"kind": "event", "streams": ["login"], "gap_days": 5, "horizon_days": 30}


@pytest.mark.parametrize(
    ("days", "expected"), [("99", "0"), ("100", "n/a"), ("104", "n/a"), ("105", "1"), ("134", "1"), ("135", "0")]
)
def test_an_event_in_the_horizon(tmp_path, days, expected):
    assert judged(tmp_path, EVENT, events=f"day\n{days}") == expected


INCREASE = {"kind": "increase", "stream": "login", "measure": "sum", "over_days": 90, "ratio": 1.25, "amount": 20}
VALUED = {"streams": {"login": {"value": "value"}}}


@pytest.mark.parametrize(
    ("spent", "expected"),
    [
        ("day | value\n 50 | 300 \n 110 | 125", "1"),
        ("day | value\n 50 | 300 \n 110 | 124", "0"),
        ("day | value\n 50 | 30 \n 110 | 29", "0"),
        ("day | value\n 50 | 30 \n 110 | 30", "1"),
        ("day | value\n 9 | 900 \n 110 | 20", "1"),
        ("day | value\n 10 | 900 \n 110 | 20", "0"),
        ("day | value\n 50 | 300 \n 130 | 999", "0"),
        ("day | value\n 50 | 300", "0"),
    ],
)
def test_an_increase_is_against_the_own_mean(tmp_path, spent, expected):
    outcome = INCREASE | {"horizon_days": 30}
    assert judged(tmp_path, outcome, events=spent, data=VALUED) == expected


def test_lapses_are_the_ends_of_merged_service():
    terms = subscriptions("start | end\n 1 | 50\n 60 | 90\n 200 | 210\n 220 |")
    assert list(terms.lapses(30)[1]) == [90]
    assert list(terms.lapses(0)[1]) == [50, 90, 210]
    assert list(terms.lapses(200)[1]) == []


def test_dates_run_by_month_or_by_a_fixed_count():
    assert as_of_dates("month", date(2025, 1, 2), date(2025, 3, 1)) == [date(2025, 2, 1), date(2025, 3, 1)]
    four_weeks = as_of_dates("28d", date(2025, 1, 1), date(2025, 4, 1))
    assert {day.weekday() for day in four_weeks} == {0}
    assert four_weeks[-3:] == as_of_dates("28d", four_weeks[-3], date(2025, 4, 10))[:3]
    assert as_of_dates("month", date(2025, 3, 2), date(2025, 3, 1)) == []
    starts = [period_start(date(2025, 3, 6), per) for per in ("day", "week", "month")]
    assert starts == [date(2025, 3, 6), date(2025, 3, 3), date(2025, 3, 1)]
