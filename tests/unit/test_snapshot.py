"""The table of features: who has a row, what was known, and the same numbers on every way there."""

import os
import subprocess
import sys
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from features import config, facts, population, snapshot
from features.errors import DataError
from features.snapshot_config import SnapshotConfig
from tests import company

DAY = date(2025, 6, 1)


def settings(folder, data=None, model=None):
    return config.load(company.configs(folder, data, model), SnapshotConfig)


def at(day, **columns):
    return {"at": datetime(2025, 5, 1) + timedelta(days=day), **columns}


@pytest.fixture
def subscribed(tmp_path):
    """Five customers with subscriptions; only `active` logs in."""
    terms = pd.DataFrame(
        [
            ("active", date(2025, 1, 1), None, date(2025, 1, 1), None, 100.0, date(2025, 7, 1)),
            ("silent", date(2025, 1, 1), None, date(2025, 1, 1), None, 50.0, date(2025, 12, 1)),
            ("leaving", date(2025, 1, 1), date(2025, 6, 20), date(2025, 1, 1), date(2025, 5, 30), 10.0, None),
            ("gone", date(2025, 1, 1), date(2025, 5, 20), date(2025, 1, 1), None, 10.0, None),
            ("later", date(2025, 6, 1), None, date(2025, 5, 1), None, 10.0, None),
            ("unrecorded", date(2025, 5, 20), None, date(2025, 6, 1), None, 10.0, None),
            ("switched", date(2025, 1, 1), date(2025, 5, 20), date(2025, 1, 1), None, 10.0, None),
            ("switched", date(2025, 5, 20), None, date(2025, 5, 19), None, 30.0, date(2025, 6, 10)),
            ("private", date(2025, 1, 1), None, date(2025, 1, 1), None, 10.0, None),
        ],
        columns=["id", "start", "end", "recorded", "notice", "arr", "renewal"],
    )
    people = pd.DataFrame({"id": sorted(terms["id"].unique())})
    people["private"] = people["id"] == "private"
    company.tables(tmp_path, customers=people, logins=[at(3, id="active")], terms=terms)
    columns = {"start": "start", "end": "end", "known": "recorded", "notice": "notice", "value": "arr"}
    data = {
        "customers": {"opted_out": "private"},
        "subscriptions": {"table": "terms.parquet", **columns, "renewal": "renewal", "grace_days": 30},
    }
    outcome = {"kind": "subscription_end", "streams": None, "horizon_days": 30}
    return settings(tmp_path, data, {"population": {"seen": None, "subscription": "active"}, "outcome": outcome})


def test_the_population_is_who_was_active_by_what_was_known(subscribed):
    made = snapshot.build(subscribed, [DAY], labels=False)
    assert list(made.frame["customer_id"]) == ["active", "silent", "switched"]
    assert dict(zip(made.left_out["customer_id"], made.left_out["status"], strict=True)) == {
        "leaving": population.LEAVING,
        "private": population.OPTED_OUT,
    }


def test_a_silent_customer_has_a_row(subscribed):
    row = snapshot.build(subscribed, [DAY], labels=False).frame.set_index("customer_id").loc["silent"]
    assert row["login_count_28d"] == 0
    assert np.isnan(row["login_recency"])


def test_value_renewal_and_tenure_are_as_of_the_date(subscribed):
    frame = snapshot.build(subscribed, [DAY, date(2025, 7, 1), date(2025, 7, 2)], labels=False).frame
    rows = frame.set_index(["customer_id", "as_of"])
    assert rows.loc[("active", "2025-06-01"), "days_to_renewal"] == 30
    assert rows.loc[("active", "2025-07-01"), "days_to_renewal"] == 0
    assert np.isnan(rows.loc[("active", "2025-07-02"), "days_to_renewal"])
    assert rows.loc[("switched", "2025-06-01"), "subscription_value"] == 30
    assert rows.loc[("active", "2025-06-01"), "tenure_days"] == (DAY - date(2025, 1, 1)).days
    assert rows.loc[("active", "2025-06-01"), "renewal"] == pd.Timestamp("2025-07-01")


def test_tenure_can_be_asked_for(subscribed):
    changed = subscribed.model_copy(update={"population": subscribed.population.model_copy(update={"min_tenure_days": 152})})  # fmt: skip
    assert not len(snapshot.build(changed, [DAY], labels=False).frame)


def test_an_empty_population_is_an_empty_table(subscribed):
    made = snapshot.build(subscribed, [date(2020, 1, 1)], labels=True)
    assert len(made.frame) == 0 and made.fingerprint
    with pytest.raises(DataError, match="no as-of date"):
        snapshot.build(subscribed, [], labels=True)


def test_attributes_are_as_known_before_the_date(tmp_path):
    history = pd.DataFrame(
        [
            ("a", date(2025, 1, 1), date(2025, 1, 1), "basic", 5.0),
            ("a", date(2025, 5, 10), date(2025, 6, 5), "pro", 9.0),
            ("a", date(2025, 6, 1), date(2025, 6, 1), "max", 7.0),
            ("b", date(2025, 6, 1), date(2025, 5, 1), "basic", None),
        ],
        columns=["id", "valid_from", "known_at", "plan", "seats"],
    )
    people = [{"id": "a", "region": "関東", "vip": True}, {"id": "b", "region": None, "vip": False}]
    company.tables(tmp_path, customers=people, logins=[at(28, id="a"), at(28, id="b")], history=history)
    changes = {"table": "history.parquet", "known": "known_at"}
    attributes = {
        "plan": {"type": "category", "changes": changes},
        "seats": {"type": "number", "changes": changes},
        "region": {"type": "category", "static": True},
        "vip": {"type": "flag", "static": True},
    }
    own = settings(tmp_path, {"customers": {"attributes": attributes}})
    days = [DAY, date(2025, 6, 2), date(2025, 6, 6)]
    rows = snapshot.build(own, days, labels=False).frame.set_index(["customer_id", "as_of"])
    assert [rows.loc[("a", str(day)), "plan"] for day in days] == ["basic", "max", "max"]
    assert [rows.loc[("a", str(day)), "seats"] for day in days] == [5, 7, 7]
    assert pd.isna(rows.loc[("b", "2025-06-01"), "plan"])
    assert rows.loc[("b", "2025-06-02"), "plan"] == "basic"
    assert np.isnan(rows.loc[("b", "2025-06-02"), "seats"])
    assert list(rows.loc[("a", "2025-06-01"), ["region", "vip"]]) == ["関東", 1.0]
    assert pd.isna(rows.loc[("b", "2025-06-01"), "region"])


@pytest.mark.parametrize(
    ("attribute", "message"),
    [
        ({"type": "number", "static": True, "column": "region"}, "values are text, not numbers"),
        ({"type": "flag", "static": True, "column": "since"}, "found where a flag is needed"),
        ({"type": "number", "static": True, "column": "since"}, "found where a number is needed"),
        ({"type": "number", "static": True, "column": "none"}, "has no column none"),
        ({"type": "number", "static": True, "table": "twice.parquet", "column": "n"}, "1 customers stand in more than one row"),
    ],
)  # fmt: skip
def test_a_wrong_attribute_is_refused(tmp_path, attribute, message):
    people = [{"id": "a", "region": "x", "since": date(2025, 1, 1)}]
    company.tables(tmp_path, customers=people, logins=[at(28, id="a")], twice=[{"id": "a", "n": 1}] * 2)
    own = settings(tmp_path, {"customers": {"attributes": {"it": attribute}}})
    with pytest.raises(DataError, match=message):
        snapshot.build(own, [DAY], labels=False)


def test_contacts_are_no_feature_but_the_last_one_is_told(tmp_path):
    company.tables(tmp_path, customers=[{"id": "a"}], logins=[at(28, id="a")], calls=[at(5, id="a"), at(40, id="a")])
    own = settings(tmp_path, {"streams": {"call": {"table": "calls.parquet", "at": "at", "role": "contact"}}})
    made = snapshot.build(own, [DAY], labels=False)
    assert made.frame["last_contact"][0] == pd.Timestamp("2025-05-06")
    assert not [feature for feature in made.features if feature.source == "call"]


def test_the_dates_run_from_the_longest_window_to_the_day_after_the_data(tmp_path):
    people, rows = company.logins(customers=4, weeks=30)
    company.tables(tmp_path, customers=people, logins=rows)
    own = settings(tmp_path)
    days = snapshot.dates(own)
    assert days[0] >= date(2025, 1, 6) + timedelta(days=28)
    assert snapshot.latest(own) == date(2025, 1, 6) + timedelta(days=30 * 7)
    assert days[-1] <= snapshot.latest(own)


def _rewritten(folder: Path) -> None:
    """The same rows in another order."""
    for name in ("customers", "logins"):
        frame = pd.read_parquet(folder / f"{name}.parquet")
        frame.sample(frac=1, random_state=3).to_parquet(folder / f"{name}.parquet", index=False)


def test_the_order_of_the_rows_does_not_matter(tmp_path):
    people, rows = company.logins()
    company.tables(tmp_path, customers=people, logins=rows)
    own = settings(tmp_path)
    first = snapshot.build(own, snapshot.dates(own), labels=True)
    _rewritten(tmp_path)
    assert snapshot.build(own, snapshot.dates(own), labels=True).fingerprint == first.fingerprint
    assert first.frame["outcome"].notna().any()


DATASETS = os.environ.get("TSUNAGI_DATASETS")
SETS = ["saas", "grocery", pytest.param("relax", marks=pytest.mark.skipif(not DATASETS, reason="TSUNAGI_DATASETS"))]


@pytest.fixture(scope="session")
def folder_of(simulated):
    """The overrides with which each shipped data set is read in the tests."""
    return {"saas": [f"data.root={simulated}"], "grocery": [], "relax": []}


@pytest.mark.parametrize("name", SETS)
def test_one_content_hash_on_one_and_two_threads_twice(name, folder_of, tmp_path):
    script = (
        "import sys; from pathlib import Path; from features import config, snapshot, snapshot_config, facts;"
        "c = config.load(Path(sys.argv[1]), snapshot_config.SnapshotConfig, sys.argv[2:]); k = facts.read(c.data);"
        "print(snapshot.build(c, snapshot.dates(c, k), labels=True, known=k).fingerprint)"
    )
    hashes = set()
    for threads in (1, 2, 2):
        env = os.environ | {"OMP_NUM_THREADS": str(threads), "NUMBA_NUM_THREADS": str(threads)}
        command = [sys.executable, "-c", script, f"configs/{name}/churn.yaml", *folder_of[name]]
        hashes.add(subprocess.run(command, env=env, check=True, capture_output=True, text=True).stdout)
    assert len(hashes) == 1


@pytest.mark.parametrize("name", SETS)
def test_history_today_and_one_customer_give_equal_features(name, folder_of):
    """200 customers: the snapshot of all dates, of one date, and of those customers alone."""
    own = config.load(Path(f"configs/{name}/churn.yaml"), SnapshotConfig, folder_of[name])
    known = facts.read(own.data)
    days = snapshot.dates(own, known)
    history = snapshot.build(own, days, labels=False, known=known).frame
    today = snapshot.build(own, [days[-1]], labels=False, known=known).frame
    some = sorted(today["customer_id"].sample(200, random_state=1))
    alone = snapshot.build(own, [days[-1]], labels=False, customers=some).frame
    history = history[history["as_of"] == pd.Timestamp(days[-1])].reset_index(drop=True)
    pd.testing.assert_frame_equal(history, today, check_exact=True)
    rows = today[today["customer_id"].isin(some)].reset_index(drop=True)
    pd.testing.assert_frame_equal(rows, alone, check_exact=True)
    one = snapshot.build(own, [days[-1]], labels=False, customers=[some[7]]).frame
    pd.testing.assert_frame_equal(rows.iloc[[7]].reset_index(drop=True), one, check_exact=True)
