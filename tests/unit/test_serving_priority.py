"""Whom to contact first."""

from datetime import date

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.buying import COLUMNS
from features.errors import DataError
from features.outcome import SubscriptionEnd
from serving.lists.priority import ACTIONS, columns, held_out, plan
from tests.unit.bundles import rule_bundle
from training.value import Capacity, Value, lost
from training.worth.lifetime import Lifetime, Purchases, Spend

MONDAY = date(2026, 3, 2)


def info(**changes):
    plain = {"value": Value(amount=100.0, margin=1.0, effect=0.5, contact_cost=10.0), "holdout": 0.0}
    return rule_bundle(**{**plain, **changes}).info


def people(contacted=(), owners=None, units=None, rows=6):
    ids = [f"c{i}" for i in range(rows)]
    last = [pd.Timestamp(when) if when else pd.NaT for when in [*contacted, *[None] * (rows - len(contacted))]]
    return pd.DataFrame({
        "customer_id": ids, "unit": units or ids, "owner": owners or [None] * rows,
        "last_contact": pd.Series(last, dtype="datetime64[s]"),
    })  # fmt: skip


SCORES = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.1])


def test_gain_ranks_and_capacity_limits():
    made = plan(people(), SCORES, info(capacity=Capacity(contacts=2)), MONDAY)
    assert made["rank"].tolist() == [1, 2, 3, 4, 5, 6]
    assert made["action"].tolist() == ["contact"] * 2 + ["beyond_capacity"] * 3 + ["no_gain"]
    assert made["gain"].tolist() == pytest.approx([35, 30, 25, 20, 15, -5])
    assert made["value_at_risk"].tolist() == pytest.approx([90, 80, 70, 60, 50, 10])


@pytest.mark.parametrize(
    ("per", "contacted", "left"),
    [
        ("day", ["2026-03-01"], 3),
        ("week", ["2026-03-02", "2026-03-03"], 1),
        ("week", ["2026-03-01", "2026-02-28"], 3),
        ("month", ["2026-03-01", "2026-02-28"], 2),
        ("month", ["2026-03-01", "2026-03-02", "2026-03-03", "2026-03-03"], 0),
    ],
)
def test_contacts_already_made_in_the_running_period_count(per, contacted, left):
    thursday = date(2026, 3, 5)
    made = plan(people(contacted, rows=9), np.full(9, 0.9), info(capacity=Capacity(contacts=3, per=per)), thursday)
    assert (made["action"] == "contact").sum() == left


def test_whoever_was_contacted_lately_rests():
    made = plan(people(["2026-02-16", "2026-02-15"]), SCORES, info(capacity=Capacity(rest_days=14)), MONDAY)
    assert made["action"].tolist()[:2] == ["resting", "contact"]
    assert made["rank"][0] > made["rank"][1]


def test_each_owner_has_an_own_capacity():
    owners = ["ann", "ann", "ann", "bob", None, None]
    scores = np.full(6, 0.9)
    made = plan(people(owners=owners), scores, info(capacity=Capacity(contacts=1, by="owner")), MONDAY)
    assert made["action"].tolist() == [
        "contact",
        "beyond_capacity",
        "beyond_capacity",
        "contact",
        "contact",
        "beyond_capacity",
    ]
    assert made["rank"].tolist() == [1, 4, 5, 2, 3, 6]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["ann", "bob", "eve", None]), st.integers(0, 9), st.sampled_from([None, "2026-03-02"])
        ),
        max_size=30,
    ),
    st.integers(1, 4),
    st.sampled_from(["owner", None]),
)
def test_contacts_are_those_that_one_by_one_find_room_in_their_team(customers, contacts, by):
    owners, tenths, contacted = ([one[i] for one in customers] for i in range(3))
    frame = people(contacted, owners, rows=len(customers))
    made = plan(frame, np.array(tenths) / 10, info(capacity=Capacity(contacts=contacts, by=by, rest_days=0)), MONDAY)
    team = owners if by else [None] * len(owners)
    room = {name: contacts - sum(t == name for t, when in zip(team, contacted) if when) for name in team}
    chosen = set()
    for row in sorted(range(len(customers)), key=lambda row: (-made["gain"][row], frame["customer_id"][row])):
        free = not contacted[row] and made["gain"][row] > 0
        if free and room[team[row]] > 0:
            room[team[row]] -= 1
            chosen.add(row)
    assert set(np.flatnonzero(made["action"] == "contact")) == chosen


def test_the_hold_out_is_stable_shared_by_a_unit_and_never_contacted():
    units = [f"org{i % 40}" for i in range(400)]
    settings = info(holdout=0.2, capacity=Capacity(contacts=400))
    made = plan(people(units=units, rows=400), np.full(400, 0.9), settings, MONDAY)
    assert (made["action"][made["held_out"]] == "held_out").all() and made["held_out"].any()
    assert made.groupby(units)["held_out"].nunique().max() == 1


def test_the_hold_out_share_is_what_was_asked_and_grows_by_adding():
    ids = [f"customer {i}" for i in range(20_000)]
    small, large = held_out(ids, 0.1), held_out(ids, 0.3)
    assert abs(small.mean() - 0.1) < 0.01 and abs(large.mean() - 0.3) < 0.01
    assert large[small].all()
    assert not held_out(ids, 0.0).any()
    assert held_out(["customer 6", "customer 7"], 0.1).tolist() == small[6:8].tolist()


def test_ties_are_broken_by_customer_and_row_order_does_not_matter():
    frame = people()
    scores = np.array([0.5, 0.9, 0.5, 0.9, 0.5, 0.9])
    made = plan(frame, scores, info(), MONDAY)
    assert made["rank"].tolist() == [4, 1, 5, 2, 6, 3]
    turned = plan(frame.iloc[::-1].reset_index(drop=True), scores[::-1], info(), MONDAY)
    assert turned["rank"].tolist() == made["rank"].tolist()[::-1]


def test_actions_are_known_words():
    assert set(plan(people(), SCORES, info(), MONDAY)["action"]) <= set(ACTIONS)


MODEL = Lifetime(
    stream="order", purchases=Purchases(r=0.25, alpha=4.5, a=0.8, b=2.5), spend=Spend(p=6.25, q=3.74, v=15.44),
    customers=99, repeat=60, correlation=0.1, log_likelihood=-1.0,
)  # fmt: skip


def test_an_expected_lifetime_ranks_who_would_buy_most_and_needs_its_columns():
    own = info(value=Value(amount={"lifetime": "order", "days": 365}, effect=0.5))
    own = own.model_copy(update={"lifetime": MODEL})
    bought = pd.DataFrame([(1, 0, 200, np.nan), (9, 180, 200, 30.0)] * 3, columns=COLUMNS)
    frame = people().join(bought)
    assert set(columns(own)) == {"customer_id", "unit", "owner", "last_contact", *COLUMNS}
    made = plan(frame, np.full(6, 0.5), own, MONDAY)
    worth = MODEL.ahead(bought, 365)
    assert worth[1] > 5 * worth[0] > 0
    assert made["value_at_risk"].to_numpy() == pytest.approx(0.5 * worth)
    assert made["gain"].to_numpy() == pytest.approx(0.25 * worth)
    assert made["rank"].tolist() == [4, 1, 5, 2, 6, 3]
    with pytest.raises(DataError, match="no lifetime of order has been fitted; train again"):
        plan(frame, np.full(6, 0.5), own.model_copy(update={"lifetime": None}), MONDAY)


def test_a_contract_is_worth_what_would_have_survived():
    outcome = SubscriptionEnd(kind="subscription_end", horizon_days=90)
    value = Value(amount={"contract": "subscription_value", "days": 365}, effect=0.5)
    own = info(value=value, outcome=outcome)
    frame = people().assign(subscription_value=1000.0)
    assert columns(own)[-1] == "subscription_value"
    made = plan(frame, SCORES, own, MONDAY)
    assert made["value_at_risk"].to_numpy() == pytest.approx(SCORES * 1000 * lost(SCORES, value, outcome))
    assert made["rank"].tolist() == [1, 2, 3, 4, 5, 6]
    assert (made["value_at_risk"] < SCORES * 1000).all()
