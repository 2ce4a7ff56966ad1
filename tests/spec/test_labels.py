"""What an outcome is: horizons, gaps, grace, maturity. As-of days and events are day numbers; n/a leaves the row out."""

from datetime import date
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from features import config, labels
from features.calendar import as_of_dates, day_of, period_start
from features.facts import Part
from features.gathered import Calendar
from features.rollup import daily
from features.snapshot_config import SnapshotConfig
from tests import company
from tests.spec.tables import columns, read_changes, read_terms, table_changes, table_events, table_terms

TERMS = {"table": "terms.parquet", "start": "start", "end": "end", "renewal": "renewal", "value": "value"}
TERMS |= {"reason": "reason", "involuntary": ["unpaid"], "grace_days": 30}
ATTRIBUTES = {
    "seats": {"type": "number", "changes": {"table": "seats.parquet", "known": "known"}},
    "plan": {"type": "category", "changes": {"table": "plans.parquet", "known": "known"}},
}
PEOPLE = pd.Index(["nobody", "one"])


def seen(tmp_path, outcome, events=None, terms=None, observed=400, data=None, seats=None, plans=None, curve=()):
    """The outcome on as-of day 100 (customer 1) as text: 1, 0, null or n/a; and its event_day and followed_days."""
    extra = {"observed_until": day_of(observed)} if observed else {}
    extra |= {"customers": {"attributes": ATTRIBUTES}}
    data = company.merged({"subscriptions": TERMS} | extra, data or {})
    model = {"outcome": {"kind": None, "streams": None, "horizon_days": None} | outcome, "curve": list(curve)}
    settings = config.load(company.configs(tmp_path, data, model), SnapshotConfig)
    activity = {"login": daily(columns(table_events(events or "day\n1")))}
    key = (np.array([1], np.int32), np.array([100], np.int32))
    own = read_terms(table_terms(terms or "start\n1"), settings.data, PEOPLE) if settings.data.subscriptions else None
    changes = {"seats": table_changes(seats or "day | value\n 1 | 10", float)}
    changes |= {"plan": table_changes(plans or "day | value\n 1 | pro", str)}
    histories = {name: read_changes(rows, settings.data, name, PEOPLE) for name, rows in changes.items()}
    login = activity["login"]
    calendar = {"login": Calendar(np.unique(login.day), np.unique(login.day, return_counts=True)[1], login.known.max())}
    known = SimpleNamespace(calendar=calendar, subscriptions=own, attributes=histories, today=10_000)
    until = labels.observed_until(settings, known)
    found = labels.of(settings, Part(pd.DataFrame({"id": PEOPLE}), own, histories, activity), *key, until)
    side = float(found.event_day[0]), float(labels.followed_days(settings, key[1], until)[0])
    return "n/a" if found.in_gap[0] else told(found.outcome[0]), *side


def told(outcome):
    return "null" if np.isnan(outcome) else f"{outcome:.0f}"


def judged(*arguments, **others):
    return seen(*arguments, **others)[0]


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


def test_lapses_are_the_ends_of_merged_service(tmp_path):
    settings = config.load(company.configs(tmp_path, {"subscriptions": TERMS}), SnapshotConfig)
    rows = table_terms("start | end\n 1 | 50\n 60 | 90\n 200 | 210\n 220 |")
    terms = read_terms(rows, settings.data, PEOPLE)
    assert list(terms.lapses(30)[1]) == [90]
    assert list(terms.lapses(0)[1]) == [50, 90, 210]
    assert list(terms.lapses(200)[1]) == []


HOW = {"kind": "subscription_end", "gap_days": 7, "horizon_days": 90}
WAYS = ("cancellation", "non_renewal", "involuntary")


@pytest.mark.parametrize(
    ("terms", "failed", "expected"),
    [
        ("start | end | renewal | reason\n 1 | 120 |     |       ", None, "cancellation"),
        ("start | end | renewal | reason\n 1 | 120 | 120 |       ", None, "non_renewal"),
        ("start | end | renewal | reason\n 1 | 120 | 123 |       ", None, "non_renewal"),
        ("start | end | renewal | reason\n 1 | 120 | 117 |       ", None, "non_renewal"),
        ("start | end | renewal | reason\n 1 | 120 | 124 |       ", None, "cancellation"),
        ("start | end | renewal | reason\n 1 | 120 | 116 |       ", None, "cancellation"),
        ("start | end | renewal | reason\n 1 | 120 | 120 | unpaid", None, "involuntary"),
        ("start | end | renewal | reason\n 1 | 120 | 120 | moved ", None, "non_renewal"),
        ("start | end | renewal | reason\n 1 | 120 |     |       ", "day\n119", "involuntary"),
        ("start | end | renewal | reason\n 1 | 120 |     |       ", "day\n110", "involuntary"),
        ("start | end | renewal | reason\n 1 | 120 |     |       ", "day\n109", "cancellation"),
        ("start | end | renewal | reason\n 1 | 120 |     |       ", "day\n120", "cancellation"),
        ("start | end | renewal | reason\n 1 | 120 |     |       ", "day | known\n 119 | 120", "cancellation"),
        ("start | end | renewal | reason\n 1 | 120 | 120 |       ", "day\n119", "involuntary"),
        ("start | end | renewal | reason\n 1 | 120 |     |       \n 130 | | | ", None, None),
        ("start | end | renewal | reason\n 1 | 197 | 197 |       ", None, None),
        ("start | end | renewal | reason\n 1 | 107 | 107 |       ", None, "non_renewal"),
        ("start | end | renewal | reason\n 1 | 120 |     |       \n 160 | 180 | 180 | ", None, "cancellation"),
    ],
)
def test_a_service_ends_in_one_of_three_ways(tmp_path, terms, failed, expected):
    payment = {"payment": "login", "within_days": 11 - 1}
    found = {how: judged(tmp_path, HOW | payment | {"how": how}, failed, terms) for how in WAYS}
    assert found == {how: "1" if how == expected else "0" for how in WAYS}
    assert judged(tmp_path, HOW, failed, terms) == ("1" if expected else "0")


def test_any_end_in_the_gap_leaves_the_row_out_whatever_its_way(tmp_path):
    terms = "start | end | renewal\n 1 | 106 | 106\n 150 | 180 | 180"
    assert [judged(tmp_path, HOW | {"how": how}, terms=terms) for how in WAYS] == ["n/a"] * 3


CONTRACTION = {"kind": "contraction", "gap_days": 7, "horizon_days": 90}
SEATS = CONTRACTION | {"attribute": "seats"}


@pytest.mark.parametrize(
    ("seats", "expected"),
    [
        ("day | value\n 1 | 10", "0"),
        ("day | value\n 1 | 10\n 99 | 9", "0"),
        ("day | value\n 1 | 10\n 100 | 9", "n/a"),
        ("day | value\n 1 | 10\n 106 | 9", "n/a"),
        ("day | value\n 1 | 10\n 107 | 9", "1"),
        ("day | value\n 1 | 10\n 196 | 9", "1"),
        ("day | value\n 1 | 10\n 197 | 9", "0"),
        ("day | value\n 1 | 100\n 120 | 91", "0"),
        ("day | value\n 1 | 10\n 120 | 8\n 121 | 20", "1"),
        ("day | value\n 1 | 10\n 105 | 8\n 106 | 20\n 120 | 8", "n/a"),
        ("day | hour | value\n 1 | 0 | 10\n 120 | 9 | 8\n 120 | 17 | 10", "0"),
        ("day | hour | value\n 1 | 0 | 10\n 120 | 9 | 20\n 120 | 17 | 8", "1"),
        ("day | hour | known | value\n 1 | 0 | 1 | 10\n 120 | 9 | 300 | 8\n 120 | 17 | 120 | 10", "0"),
        ("day | known | value\n 1 | 1 | 10\n 120 | 300 | 8", "1"),
        ("day | known | value\n 1 | 1 | 10\n 90 | 300 | 8", "0"),
        ("day | value\n 120 | 8", "0"),
        ("day | value\n 1 | 10\n 50 | \n 120 | 8", "0"),
        ("day | value\n 1 | 0\n 120 | 0", "0"),
    ],
)
def test_a_contraction_is_against_the_level_on_the_as_of_date(tmp_path, seats, expected):
    assert judged(tmp_path, SEATS, seats=seats) == expected


@pytest.mark.parametrize(
    ("end", "back", "expected"), [(120, None, "0"), (121, None, "1"), (119, 140, "1"), (90, 150, "1"), (119, 150, "0")]
)
def test_who_leaves_before_or_with_the_fall_counts_0(tmp_path, end, back, expected):
    terms = f"start | end\n 1 | {end}" + (f"\n {back} |" if back else "")
    assert judged(tmp_path, SEATS, terms=terms, seats="day | value\n 1 | 10\n 120 | 8") == expected


@pytest.mark.parametrize(
    ("terms", "expected"),
    [
        ("start | end | value\n 1 |     | 100", "0"),
        ("start | end | value\n 1 | 120 | 100\n 120 |     | 90", "1"),
        ("start | end | value\n 1 | 120 | 100\n 120 |     | 91", "0"),
        ("start | end | value\n 1 | 120 | 100", "0"),
        ("start | end | value\n 1 | 120 | 100\n 149 |     | 100", "0"),
        ("start | end | value\n 1 | 120 | 100\n 149 |     | 80", "1"),
        ("start | end | value\n 1 | 120 | 100\n 150 |     | 80", "0"),
        ("start | end | value\n 1 | 100 | 100\n 100 |     | 80", "n/a"),
        ("start | end | value\n 1 | 99  | 100\n 99  |     | 80", "0"),
        ("start | end | value\n 1 | 120 | 50\n 1 |     | 50", "1"),
        ("start | end | value\n 1 | 120 | 100\n 110 | 120 | 80\n 120 | | 100", "0"),
        ("start | end | value\n 1 | 90  | 100\n 105 |     | 80", "n/a"),
        ("start | end | value\n 1 | 90  | 100\n 115 |     | 80", "1"),
        ("start | end | value\n 1 | 60  | 100\n 115 |     | 80", "0"),
    ],
)
def test_a_plan_switch_or_a_pause_is_no_contraction_of_the_value(tmp_path, terms, expected):
    assert judged(tmp_path, CONTRACTION, terms=terms) == expected


GROWTH = {"kind": "growth", "attribute": "seats", "horizon_days": 30}


@pytest.mark.parametrize(
    ("bar", "reached", "expected"),
    [
        ({}, 11, "1"),
        ({}, 10, "0"),
        ({"ratio": 1.1}, 11, "1"),
        ({"ratio": 1.1}, 10.99, "0"),
        ({"amount": 2}, 12, "1"),
        ({"amount": 2}, 11, "0"),
        ({"ratio": 1.1, "amount": 2}, 11, "0"),
    ],
)
def test_growth_is_by_a_ratio_and_by_an_amount(tmp_path, bar, reached, expected):
    assert judged(tmp_path, GROWTH | bar, seats=f"day | value\n 1 | 10\n 129 | {reached}") == expected


def test_a_level_exactly_at_the_bar_has_reached_it(tmp_path):
    """In floating point 1.1 × 50 is a little more than 55, and 0.7 × 90 a little less than 63."""
    assert judged(tmp_path, GROWTH | {"ratio": 1.1}, seats="day | value\n 1 | 50\n 129 | 55") == "1"
    assert judged(tmp_path, SEATS | {"ratio": 0.7}, seats="day | value\n 1 | 90\n 129 | 63") == "1"


def test_growth_of_the_value_of_the_subscriptions(tmp_path):
    more = "start | end | value\n 1 | | 100\n 120 | | 1"
    assert judged(tmp_path, {"kind": "growth", "horizon_days": 30}, terms=more) == "1"
    back = "start | end | value\n 1 | 60 | 100\n 120 | | 500"
    assert judged(tmp_path, {"kind": "growth", "horizon_days": 30}, terms=back) == "0"


UPGRADE = {"kind": "upgrade", "attribute": "plan", "order": ["basic", "pro", "enterprise"], "horizon_days": 30}


@pytest.mark.parametrize(
    ("plans", "expected"),
    [
        ("day | value\n 1 | pro  \n 100 | enterprise", "1"),
        ("day | value\n 1 | pro  \n 129 | enterprise", "1"),
        ("day | value\n 1 | pro  \n 130 | enterprise", "0"),
        ("day | value\n 1 | pro  \n 99  | enterprise", "0"),
        ("day | value\n 1 | pro  \n 110 | basic", "0"),
        ("day | value\n 1 | pro  \n 110 | basic\n 120 | pro", "0"),
        ("day | value\n 1 | basic\n 110 | enterprise", "1"),
        ("day | value\n 1 | trial\n 110 | enterprise", "0"),
        ("day | value\n 1 | pro  \n 110 | legacy", "0"),
        ("day | value\n 1 | pro  \n 99  | \n 110 | enterprise", "0"),
    ],
)
def test_an_upgrade_moves_up_in_the_order(tmp_path, plans, expected):
    assert judged(tmp_path, UPGRADE, plans=plans) == expected


NEW = {"kind": "new_entity", "stream": "login", "gap_days": 5, "horizon_days": 30}
PRODUCTS = {"history_days": 60, "streams": {"login": {"entity": "product"}}}


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ("day | entity\n 90 | 1\n 110 | 1", "0"),
        ("day | entity\n 90 | 1\n 110 | 2", "1"),
        ("day | entity\n 90 | 1\n 104 | 2", "n/a"),
        ("day | entity\n 90 | 1\n 105 | 2", "1"),
        ("day | entity\n 90 | 1\n 134 | 2", "1"),
        ("day | entity\n 90 | 1\n 135 | 2", "0"),
        ("day | entity\n 40 | 2\n 110 | 2", "0"),
        ("day | entity\n 39 | 2\n 110 | 2", "1"),
        ("day | entity\n 90 | 1\n 110 | ", "0"),
        ("day | entity | known\n 90 | 2 | 300\n 110 | 2 | 110", "0"),
        ("day | entity | known\n 90 | 1 | 90\n 110 | 2 | 300", "1"),
    ],
)
def test_a_new_entity_was_not_there_in_the_history(tmp_path, events, expected):
    assert judged(tmp_path, NEW, events, data=PRODUCTS) == expected


@pytest.mark.parametrize(
    ("outcome", "tables", "day"),
    [
        (INACTIVITY, {"events": "day\n99\n100"}, 0),
        (INACTIVITY, {"events": "day\n99\n170"}, 70),
        (INACTIVITY, {"events": "day\n99"}, None),
        (EVENT, {"events": "day\n105\n110"}, 0),
        (EVENT, {"events": "day\n205"}, 100),
        (END, {"terms": "start | end\n 1 | 107"}, 0),
        (END, {"terms": "start | end\n 1 | 300"}, 193),
        (HOW | {"how": "cancellation"}, {"terms": "start | end | renewal\n 1 | 120 | 120\n 160 | 180 |"}, None),
        (HOW | {"how": "non_renewal"}, {"terms": "start | end | renewal\n 1 | 120 | 120\n 160 | 180 |"}, 13),
        (SEATS, {"seats": "day | value\n 1 | 10\n 200 | 5"}, 93),
        (SEATS, {"seats": "day | value\n 1 | 10\n 200 | 5", "terms": "start | end\n 1 | 199"}, None),
        (UPGRADE, {"plans": "day | value\n 1 | pro\n 131 | enterprise"}, 31),
    ],
)
def test_the_day_of_the_event_counts_from_the_first_day_of_the_horizon(tmp_path, outcome, tables, day):
    found = seen(tmp_path, outcome, **tables, curve=[30, 90])
    assert found[1] == day or (day is None and np.isnan(found[1]))
    assert found[0] == str(int((day is not None and day < outcome["horizon_days"]) != (outcome is INACTIVITY)))


def test_a_row_is_followed_until_gap_grace_and_settling_have_passed(tmp_path):
    assert seen(tmp_path, END | {"settle_days": 3}, observed=150, curve=[30])[2] == 150 - 100 - 7 - 30 - 3
    assert seen(tmp_path, END, observed=101, curve=[30])[2] == 1 - 7 - 30
    assert seen(tmp_path, EVENT, observed=134, curve=[30])[0::2] == ("null", 29)
    assert seen(tmp_path, EVENT, observed=135, curve=[30])[0::2] == ("0", 30)


@pytest.mark.parametrize(
    ("outcome", "tables", "until"),
    [
        (EVENT, {"events": "day | known\n 140 | 150", "terms": "start\n 1"}, 150),
        (END, {"events": "day\n 140", "terms": "start\n 1\n 160"}, 160),
        (HOW | {"how": "involuntary", "payment": "login"}, {"events": "day\n 140", "terms": "start\n 1\n 160"}, 140),
        (CONTRACTION, {"events": "day\n 140", "terms": "start\n 1\n 160"}, 160),
        (SEATS, {"events": "day\n 350", "terms": "start\n 300", "seats": "day | known | value\n 90 | 250 | 5"}, 250),
        (SEATS, {"events": "day\n 350", "terms": "start\n 200", "seats": "day | known | value\n 90 | 250 | 5"}, 200),
        (UPGRADE, {"events": "day\n 140", "terms": "start\n 300", "plans": "day | value\n 250 | pro"}, 140),
    ],
)
def test_every_table_of_the_outcome_must_be_observed(tmp_path, outcome, tables, until):
    """The subscriptions are one of them when their end matters; a change planned for later observes nothing."""
    lag = 100 + outcome.get("gap_days", 0) + (0 if outcome is EVENT else 30)
    assert seen(tmp_path, outcome, **tables, observed=None, curve=[30])[2] == until - lag


def test_dates_run_by_month_or_by_a_fixed_count():
    assert as_of_dates("month", date(2025, 1, 2), date(2025, 3, 1)) == [date(2025, 2, 1), date(2025, 3, 1)]
    four_weeks = as_of_dates("28d", date(2025, 1, 1), date(2025, 4, 1))
    assert {day.weekday() for day in four_weeks} == {0}
    assert four_weeks[-3:] == as_of_dates("28d", four_weeks[-3], date(2025, 4, 10))[:3]
    assert as_of_dates("month", date(2025, 3, 2), date(2025, 3, 1)) == []
    starts = [period_start(date(2025, 3, 6), per) for per in ("day", "week", "month")]
    assert starts == [date(2025, 3, 6), date(2025, 3, 3), date(2025, 3, 1)]
