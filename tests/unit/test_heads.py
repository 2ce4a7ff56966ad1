"""Every kind of outcome against plain loops, on made-up companies and on the simulated one."""

import re
from datetime import date, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import settings as few
from hypothesis import strategies as st

from features import config, facts, labels, snapshot
from features.calendar import NEVER, number
from features.data_config import Data
from features.errors import ConfigError, DataError
from features.facts import Part
from features.rollup import daily
from features.snapshot_config import SnapshotConfig
from tests import company, oracle
from tests.oracle import Change, Company, Event, Term
from tests.spec.tables import columns, read_changes, read_terms

PEOPLE = pd.Index(["a", "b"])
CHANGES = {"table": "changes.parquet", "known": "known"}
UNTIL = 200
WAYS = ("cancellation", "non_renewal", "involuntary")
END = {"kind": "subscription_end", "horizon_days": 30, "payment": "use", "within_days": 4}
KINDS = {
    "silence": {"kind": "inactivity", "streams": ["use"], "horizon_days": 20},
    "end": {"kind": "subscription_end", "horizon_days": 30, "gap_days": 5},
    **{how: END | {"how": how, "gap_days": 5} for how in WAYS},
    "event": {"kind": "event", "streams": ["use"], "horizon_days": 20, "gap_days": 3},
    "new_entity": {"kind": "new_entity", "stream": "use", "horizon_days": 20, "gap_days": 3},
    "fewer_seats": {"kind": "contraction", "attribute": "seats", "ratio": 0.7, "horizon_days": 30, "gap_days": 4},
    "less_value": {"kind": "contraction", "horizon_days": 30, "gap_days": 4},
    "more_seats": {"kind": "growth", "attribute": "seats", "ratio": 1.1, "amount": 1, "horizon_days": 30},
    "more_value": {"kind": "growth", "horizon_days": 30, "gap_days": 4},
    "upgrade": {"kind": "upgrade", "attribute": "plan", "order": ["a", "b", "c"], "horizon_days": 30, "gap_days": 4},
}


def asked(outcome, grace=7, **more):
    terms = {name: name for name in ("start", "end", "renewal", "value", "reason")}
    attributes = {"seats": {"type": "number", "changes": CHANGES}, "plan": {"type": "category", "changes": CHANGES}}
    use = {"table": "use.parquet", "at": "at", "known": "known", "entity": "what", "value": "worth"}
    data = {
        "name": "tiny", "root": ".", "timezone": "Asia/Tokyo", "naive_times": "Asia/Tokyo", "history_days": 40,
        "customers": {"table": "customers.parquet", "attributes": attributes},
        "subscriptions": terms | {"table": "terms.parquet", "involuntary": ["unpaid"], "grace_days": grace},
        "streams": {"use": use},
    }  # fmt: skip
    population = {"seen": {"streams": ["use"], "days": 30}}
    plain = {"data": data, "population": population, "outcome": outcome, "windows": {"days": [7, 14]}}
    return SnapshotConfig.model_validate(plain | more)


@st.composite
def terms(draw):
    found, day = [], draw(st.integers(0, 70))
    for _ in range(draw(st.integers(0, 3))):
        length = draw(st.sampled_from([0, 1, 20, 35, NEVER]))
        end = min(day + length, NEVER)
        renewal = draw(st.sampled_from([NEVER, day + 30, max(0, end + draw(st.integers(-5, 5)))])) if length else NEVER
        value = draw(st.sampled_from([0.0, 7.0, 9.0, 10.0, 0.1]))
        found.append(Term(draw(st.integers(0, 1)), day, end, min(renewal, NEVER), value, draw(st.integers(0, 4)) == 0))
        day = draw(st.integers(0, 70)) if end == NEVER else end + draw(st.integers(-12, 12))
        day = max(day, 0)
    return found


days = st.integers(30, 140)
events = st.lists(
    st.builds(
        lambda who, day, late, what, worth: Event(who, day, day + late, 0, worth, what),
        *(st.integers(0, 1), days, st.sampled_from([0, 0, 3, 90]), st.integers(-1, 3)),
        st.sampled_from([None, 1_000_000, 4_000_000]),
    ),
    max_size=14,
)


def changes(values):
    late = st.sampled_from([0, 0, 5, 90])
    made = st.builds(
        lambda who, day, hour, late, value: Change(day, hour, day + late, value, who),
        *(st.integers(0, 1), days, st.integers(0, 23), late, st.sampled_from(values)),
    )
    return st.lists(made, max_size=8, unique_by=lambda c: (c.customer, c.day, c.hour))


companies = st.tuples(
    events, terms(), changes([1.0, 7.0, 10.0, 11.0, 12.0, 0.0, None]), changes(["a", "b", "c", "other", None])
)
KEYS = [(who, day) for who in (0, 1) for day in (60, 61, 85)]
WHO, AS_OF = (np.array(column, np.int32) for column in zip(*KEYS))


def read(made, data):
    events, terms, seats, plans = made
    histories = {"seats": read_changes(seats, data, "seats", PEOPLE), "plan": read_changes(plans, data, "plan", PEOPLE)}
    activity = {"use": daily(columns(events))}
    return Part(pd.DataFrame({"id": PEOPLE}), read_terms(terms, data, PEOPLE), histories, activity)


def of_one(made, who, settings, name):
    events, terms, seats, plans = ([row for row in rows if row.customer == who] for rows in made)
    own = plans if name == "upgrade" else seats
    return Company(events, terms, own, settings.grace_days, settings.data.history_days)


@pytest.mark.parametrize("name", KINDS)
@few(max_examples=40)
@given(made=companies, grace=st.sampled_from([0, 7, 20]))
def test_every_kind_is_what_plain_loops_say(name, made, grace):
    settings = asked(KINDS[name], grace)
    found = labels.of(settings, read(made, settings.data), WHO, AS_OF, UNTIL)
    for place, (who, as_of) in enumerate(KEYS):
        own = of_one(made, who, settings, name)
        happened, in_gap, event_day = oracle.judge(own, settings.outcome, as_of, UNTIL, made[0])
        assert found.in_gap[place] == in_gap
        if not in_gap:
            assert found.outcome[place] == happened
            assert np.nan_to_num(found.event_day[place], nan=-1) == (-1 if event_day is None else event_day)


@few(max_examples=40)
@given(made=companies, grace=st.sampled_from([0, 7, 20]))
def test_the_three_ways_are_disjoint_and_together_the_end(made, grace):
    said = {how: asked(END | {"how": how, "gap_days": 5}, grace) for how in WAYS}
    whole = asked({"kind": "subscription_end", "horizon_days": 30, "gap_days": 5}, grace)
    part = read(made, whole.data)
    end = labels.of(whole, part, WHO, AS_OF, UNTIL)
    ways = [labels.of(settings, part, WHO, AS_OF, UNTIL) for settings in said.values()]
    np.testing.assert_array_equal(sum(way.outcome for way in ways), end.outcome)
    assert all((way.in_gap == end.in_gap).all() for way in ways)
    days = np.array([way.event_day for way in ways])
    assert ((~np.isnan(days)).sum(axis=0) == ~np.isnan(end.event_day)).all()
    np.testing.assert_array_equal(np.fmin.reduce(days), end.event_day)


@few(max_examples=40)
@given(made=companies)
def test_an_increase_is_what_plain_loops_say(made):
    outcome = {"kind": "increase", "stream": "use", "over_days": 40, "ratio": 1.25, "amount": 2, "horizon_days": 20}
    settings = asked(outcome | {"gap_days": 3})
    found = labels.of(settings, read(made, settings.data), WHO, AS_OF, UNTIL)
    for place, (who, as_of) in enumerate(KEYS):
        own = [event for event in made[0] if event.customer == who]
        assert found.outcome[place] == oracle.increased(own, settings.outcome, as_of)
    assert not found.in_gap.any() and np.isnan(found.event_day).all()


@few(max_examples=40)
@given(made=companies, name=st.sampled_from([name for name in KINDS if name != "silence"]))
def test_what_happened_is_what_came_before_the_end_of_the_horizon(made, name):
    settings = asked(KINDS[name])
    found = labels.of(settings, read(made, settings.data), WHO, AS_OF, UNTIL)
    np.testing.assert_array_equal(found.outcome, found.event_day < settings.outcome.horizon_days)


@few(max_examples=40)
@given(made=companies, name=st.sampled_from(list(KINDS)), until=st.integers(80, 200))
def test_an_outcome_is_null_until_the_horizon_was_followed(made, name, until):
    settings = asked(KINDS[name])
    found = labels.of(settings, read(made, settings.data), WHO, AS_OF, until)
    followed = labels.followed_days(settings, AS_OF, until)
    np.testing.assert_array_equal(np.isnan(found.outcome), followed < settings.outcome.horizon_days)


SAAS = {
    "non_renewal": {"kind": "subscription_end", "how": "non_renewal", "payment": "payment_failed"},
    "involuntary": {"kind": "subscription_end", "how": "involuntary", "payment": "payment_failed", "within_days": 21},
    "cancellation": {"kind": "subscription_end", "how": "cancellation", "payment": "payment_failed"},
    "fewer seats": {"kind": "contraction", "attribute": "seats"},
    "less value": {"kind": "contraction"},
    "more seats": {"kind": "growth", "attribute": "seats", "ratio": 1.2},
    "plan upgrade": {"kind": "upgrade", "attribute": "plan", "order": ["starter", "business", "enterprise"]},
    "new feature": {"kind": "new_entity", "stream": "feature_use"},
}
SOME = "0"  # a feature is used a million times; the accounts whose number ends so are enough for plain loops
DATES = [date(2024, 11, 1), date(2025, 3, 1), date(2025, 7, 1)]


def saas(folder, tmp_path, outcome):
    text = Path("configs/saas/churn.yaml").read_text(encoding="utf-8")
    kept = [line for line in text.splitlines() if not line.startswith(("outcome:", "data:"))]
    path = tmp_path / "head.yaml"
    path.write_text("\n".join([*kept, f"data: {Path('configs/saas/data.yaml').resolve()}"]), encoding="utf-8")
    said = [f"outcome.{key}={value}" for key, value in outcome.items()]
    return config.load(path, SnapshotConfig, [f"data.root={folder}", *said])


@pytest.fixture(scope="module")
def known(simulated, tmp_path_factory):
    return facts.read(saas(simulated, tmp_path_factory.mktemp("saas"), SAAS["involuntary"] | {"horizon_days": 90}).data)


def local_days(column):
    """Dates are local days; naive time stamps are UTC, nine hours before Tokyo."""
    if pd.api.types.is_datetime64_any_dtype(column):
        return ((column + pd.Timedelta(hours=9)).dt.floor("D") - pd.Timestamp(0)).dt.days
    return column.map(lambda own: NEVER if own is None else (own - date(1970, 1, 1)).days)


def rows_of(frame, made, days, values=None):
    """By account: what is made of each row's days and value."""
    columns = [local_days(frame[name]) for name in days] + ([frame[values]] if values else [])
    found = {}
    for who, *cells in zip(frame["account_id"].astype(str), *columns):
        found.setdefault(who, []).append(made(*cells))
    return found


@pytest.fixture(scope="module")
def raw(simulated):
    """The simulated tables as the oracle's rows, by account: read apart from our own code."""
    names = ("subscriptions", "seat_history", "plan_history", "events", "payments")
    tables = {name: pq.read_table(simulated / f"{name}.parquet").to_pandas() for name in names}
    used, paid = tables["events"], tables["payments"]
    used = used[(used["event"] == "feature_use") & used["account_id"].astype(str).str.endswith(SOME)]
    used = used.assign(feature=pd.factorize(used["feature"])[0])

    def change(on, value):
        return Change(on, 0, on, value, 0)

    return {
        "terms": rows_of(tables["subscriptions"], lambda *row: Term(0, *row), ["start_date", "end_date", "renewal_date"], "arr"),
        "seats": rows_of(tables["seat_history"], change, ["valid_from"], "seats"),
        "plan": rows_of(tables["plan_history"], change, ["valid_from"], "plan"),
        "used": rows_of(used, lambda on, what: Event(0, on, on, entity=what), ["occurred_at"], "feature"),
        "failed": rows_of(paid[paid["status"] == "failed"], lambda on: Event(0, on, on), ["attempted_at"]),
    }  # fmt: skip


@pytest.mark.parametrize("name", SAAS)
def test_the_simulated_company_can_be_asked_each_question(simulated, known, raw, tmp_path, name):
    settings = saas(simulated, tmp_path, SAAS[name] | {"gap_days": 7, "horizon_days": 90})
    frame = snapshot.build(settings, DATES, labels=True, known=known).frame
    frame = frame[frame["customer_id"].str.endswith(SOME)] if name == "new feature" else frame
    outcome, told = settings.outcome, []
    for who, as_of in zip(frame["customer_id"], frame["as_of"]):
        changes = raw[getattr(outcome, "attribute", None) or "seats"].get(who, [])
        own = Company(raw["used"].get(who, []), raw["terms"][who], changes, 30, settings.data.history_days)
        day = number(as_of.date())
        happened, in_gap, _ = oracle.judge(own, outcome, day, day + 97, raw["failed"].get(who, []))
        assert not in_gap
        told.append(float(happened))
    assert frame["outcome"].tolist() == told
    assert 0 < frame["outcome"].mean() < 1


TERMS = {"table": "terms.parquet", "start": "start", "end": "end"}
SEATS = {"seats": {"type": "number", "changes": {"table": "seats.parquet"}}}
PLAN = {"type": "category", "changes": {"table": "plans.parquet"}}
WISH = {"outcome": {"horizon_days": 30, "streams": None}}


def loaded(tmp_path, outcome, data=None, **more):
    model = company.merged(WISH, {"outcome": outcome}) | more
    return config.load(company.configs(tmp_path, data, model), SnapshotConfig)


@pytest.mark.parametrize(
    ("outcome", "data", "message"),
    [
        ({"kind": "subscription_end"}, {}, r"outcome speaks of subscriptions; name the table in data.yaml"),
        ({"kind": "subscription_end", "how": "moved"}, {}, r"churn.yaml: outcome.how: should be 'cancellation', 'non_renewal' or 'involuntary'; found 'moved'"),
        ({"kind": "subscription_end", "how": "non_renewal"}, {"subscriptions": TERMS}, r"outcome.how: non_renewal needs a date of renewal"),
        ({"kind": "subscription_end", "how": "involuntary"}, {"subscriptions": TERMS}, r"outcome.how: involuntary is told by failed payments or by a reason"),
        ({"kind": "subscription_end", "payment": "login"}, {"subscriptions": TERMS}, r"outcome.payment: it tells how a service ended; say `how`"),
        ({"kind": "subscription_end", "how": "involuntary", "payment": "bills"}, {"subscriptions": TERMS}, r"outcome.payment: no stream bills; streams: login"),
        ({"kind": "subscription_end"}, {"subscriptions": TERMS | {"reason": "why"}}, r"data.yaml: subscriptions: give both or neither: `reason`"),
        ({"kind": "subscription_end"}, {"subscriptions": TERMS | {"involuntary": ["unpaid"]}}, r"data.yaml: subscriptions: give both or neither"),
        ({"kind": "contraction"}, {}, r"without `attribute` it reads the value of the subscriptions"),
        ({"kind": "growth"}, {"subscriptions": TERMS}, r"name data.yaml: subscriptions.value, or give an attribute"),
        ({"kind": "contraction", "ratio": 1}, {}, r"outcome.ratio: should be less than 1; found 1"),
        ({"kind": "growth", "ratio": 0.9}, {}, r"outcome.ratio: should be greater than or equal to 1; found 0.9"),
        ({"kind": "contraction", "attribute": "seets"}, {"customers": {"attributes": SEATS}}, r"outcome.attribute: seets is no attribute of type number with `changes`; allowed: seats"),
        ({"kind": "growth", "attribute": "size"}, {"customers": {"attributes": {"size": {"type": "number", "static": True}}}}, r"size is no attribute of type number with `changes`; allowed: none in data.yaml"),
        ({"kind": "upgrade", "attribute": "plan", "order": ["basic"]}, {}, r"outcome.order: .*at least 2 items"),
        ({"kind": "upgrade", "attribute": "plan", "order": ["a", "b", "a"]}, {"customers": {"attributes": {"plan": PLAN}}}, r"outcome.order: every value stands in it once"),
        ({"kind": "upgrade", "attribute": "seats", "order": ["a", "b"]}, {"customers": {"attributes": SEATS}}, r"seats is no attribute of type category"),
        ({"kind": "new_entity", "stream": "login"}, {}, r"outcome.stream: login has no entity; name its column in streams.login"),
        ({"kind": "new_entity", "stream": "logins"}, {}, r"outcome.stream: no stream logins; streams: login"),
        ({"kind": "new_entity", "streams": ["login"]}, {}, r"outcome.streams: unknown key \(did you mean stream\?\)"),
        ({"kind": "churn"}, {}, r"outcome: .*'churn'.*'inactivity'.*'contraction'"),
    ],
)  # fmt: skip
def test_a_wrong_outcome_gets_one_message(tmp_path, outcome, data, message):
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, outcome, data)
    assert re.search(message, str(caught.value)), str(caught.value)
    assert "\n" not in str(caught.value) and "Error" not in str(caught.value)


@pytest.mark.parametrize(
    ("outcome", "more", "message"),
    [
        ({"kind": "increase", "stream": "login", "measure": "count"}, {"curve": [30]}, r"curve: an increase is known only when its horizon is over"),
        ({"kind": "event", "streams": ["login"]}, {"curve": [60, 30, 30]}, r"curve: horizons ascend and differ; write \[30, 60\]"),
        ({"kind": "event", "streams": ["login"]}, {"curve": list(range(1, 14))}, r"curve: .*at most 12 items"),
        ({"kind": "event", "streams": ["login"]}, {"curve": [0]}, r"curve.0: should be greater than or equal to 1; found 0"),
        ({"kind": "event", "streams": ["login"]}, {"buying": "order"}, r"buying: unknown key"),
    ],
)  # fmt: skip
def test_a_wrong_curve_or_stream_of_buying_gets_one_message(tmp_path, outcome, more, message):
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, outcome, **more)
    assert re.search(message, str(caught.value)), str(caught.value)


@pytest.fixture
def seated(tmp_path):
    """Two companies whose seats fall in the night from March 31st to April 1st, by the clock of London."""
    moments = [datetime(2025, 1, 1), datetime(2025, 3, 31, 15, 30)]
    seats = [(who, at, n) for who in ("東京", "b") for at, n in zip(moments, (10, 5))]
    seats.append(("b", datetime(2025, 8, 1), 5))
    logins = pd.DataFrame([(who, day) for who in ("東京", "b") for day in pd.date_range("2025-01-01", "2025-09-01")])
    company.tables(
        tmp_path,
        customers=pd.DataFrame({"id": ["東京", "b"]}),
        logins=logins.set_axis(["id", "at"], axis=1),
        seats=pd.DataFrame(seats, columns=["id", "valid_from", "seats"]),
    )
    return tmp_path


@pytest.mark.parametrize(("zone", "expected"), [("Asia/Tokyo", 1.0), ("Europe/Berlin", 0.0)])
def test_a_fall_belongs_to_its_local_day(seated, zone, expected):
    data = {"timezone": zone, "customers": {"attributes": SEATS}}
    settings = loaded(seated, {"kind": "contraction", "attribute": "seats"}, data, curve=[30])
    frame = snapshot.build(settings, [date(2025, 4, 1)], labels=True).frame
    assert frame["outcome"].tolist() == [expected] * 2
    assert frame["event_day"].fillna(-1).tolist() == [expected - 1] * 2
    assert frame["followed_days"].tolist() == [122.0] * 2


def test_a_curve_adds_two_side_columns_and_no_curve_none(seated):
    data = {"customers": {"attributes": SEATS}}
    outcome = {"kind": "growth", "attribute": "seats"}
    days = [date(2025, 3, 1), date(2025, 8, 20)]
    plain = snapshot.build(loaded(seated, outcome, data), days, labels=True)
    curved = snapshot.build(loaded(seated, outcome, data, curve=[30, 60]), days, labels=True)
    listed = snapshot.build(loaded(seated, outcome, data, curve=[30, 60]), days, labels=False)
    assert [name for name in curved.frame if name not in plain.frame] == ["event_day", "followed_days"]
    pd.testing.assert_frame_equal(curved.frame.drop(columns=["event_day", "followed_days"]), plain.frame)
    assert curved.features == plain.features and not {"event_day", "outcome"} & set(listed.frame)
    assert curved.frame["followed_days"].tolist() == [153.0, 153.0, -19.0, -19.0]


def test_the_reason_of_an_end_is_read_from_its_column(seated):
    ends = [("東京", "card_expired"), ("b", "moved away")]
    rows = [{"id": who, "start": date(2025, 1, 1), "end": date(2025, 4, 10), "why": why} for who, why in ends]
    company.tables(seated, terms=[*rows, {**rows[0], "id": "b", "start": date(2025, 9, 1), "end": None, "why": None}])
    data = {"subscriptions": TERMS | {"reason": "why", "involuntary": ["card_expired", "unpaid"]}}
    settings = loaded(seated, {"kind": "subscription_end", "how": "involuntary"}, data)
    frame = snapshot.build(settings, [date(2025, 4, 1)], labels=True).frame.set_index("customer_id")
    assert frame["outcome"].to_dict() == {"東京": 1.0, "b": 0.0}


def test_a_history_without_a_change_says_so(seated):
    company.tables(seated, seats=[{"id": "nobody", "valid_from": date(2025, 1, 1), "seats": 1}])
    settings = loaded(seated, {"kind": "growth", "attribute": "seats"}, {"customers": {"attributes": SEATS}})
    with pytest.raises(DataError, match="seats: no change of a known customer"):
        snapshot.build(settings, [date(2025, 4, 1)], labels=True)


def test_a_reason_that_is_not_named_leaves_no_trace_in_what_a_model_knows_of_the_tables():
    data = asked(KINDS["end"]).data
    assert data.subscriptions and "reason" in data.meaning()["subscriptions"]
    plain = data.subscriptions.model_copy(update={"reason": None, "involuntary": ()})
    meaning = data.model_copy(update={"subscriptions": plain}).meaning()["subscriptions"]
    assert "reason" not in meaning and "involuntary" not in meaning
    assert isinstance(Data.model_validate(data.model_dump()), Data)


def documented():
    text = Path("docs/data.md").read_text(encoding="utf-8")
    section = text[text.index("## Outcomes") :]
    return re.findall(r"^outcome: .*$", section[: section.index("\n|")], re.MULTILINE)


SHOP = {
    "customers": {"attributes": SEATS | {"plan": PLAN}},
    "subscriptions": TERMS | {"renewal": "renewal", "value": "value"},
    "streams": {name: {"table": "x.parquet", "at": "at", "value": "x", "entity": "y"} for name in ("order", "upgrade", "payment_failed")},
}  # fmt: skip


@pytest.mark.parametrize("line", documented())
def test_every_outcome_of_the_documentation_is_sayable(tmp_path, line):
    path = company.configs(tmp_path, SHOP, {"outcome": None})
    path.write_text(path.read_text(encoding="utf-8") + line + "\n", encoding="utf-8")
    assert config.load(path, SnapshotConfig).outcome.kind in line


def test_every_kind_is_documented():
    kinds = {re.search(r"kind: (\w+)", line)[1] for line in documented()}
    assert kinds == {asked(outcome).outcome.kind for outcome in KINDS.values()} | {"increase"}
