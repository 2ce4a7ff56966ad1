"""Events of users roll up into the features of their account."""

from datetime import date

import numpy as np
import pandas as pd
import pytest

from features import config, snapshot
from features.errors import ConfigError
from features.snapshot_config import SnapshotConfig
from tests import company

ACCOUNTS = ["acme", "bolt"]
USERS = [("u1", "acme"), ("u2", "acme"), ("u3", "bolt"), ("u4", "bolt"), ("u5", None)]
LOGIN = {"id": "account_id", "entity": "user_id", "users": True}
LOOKUP = {"lookup": {"table": "users.parquet", "on": "user_id", "take": "account_id"}}


def settings(folder, login=LOGIN | LOOKUP, **customers):
    """Accounts; users with their account; logins that name the user alone, all of January 2025."""
    rows = [("u1", day) for day in (3, 4, 5, 6)] + [("u2", day) for day in (20, 29)]
    rows += [("u3", 30), ("u3", 30), ("u4", 31), ("u5", 31), ("nobody", 31)]
    company.tables(
        folder,
        customers=pd.DataFrame({"id": ACCOUNTS, "seats": [4, 0]}),
        users=pd.DataFrame(USERS, columns=["user_id", "account_id"]),
        logins=pd.DataFrame([(user, pd.Timestamp(2025, 1, day, 9)) for user, day in rows], columns=["user_id", "at"]),
    )
    return config.load(company.configs(folder, {"streams": {"login": login}, "customers": customers}), SnapshotConfig)


def test_users_roll_up_into_the_account_the_lookup_names(tmp_path):
    made = snapshot.build(settings(tmp_path), [date(2025, 2, 1)], labels=False)
    assert {f.name: f.family for f in made.features if "user" in f.name} == {
        "login_new_users_7d": "login_user_id",
        "login_new_users_28d": "login_user_id",
        "login_key_user_quiet": "login_user_id",
    }
    rows = made.frame.set_index("customer_id")
    wanted = ["login_count_28d", "login_distinct_7d", "login_distinct_28d", "login_new_users_7d", "login_new_users_28d"]
    assert rows.loc["acme", wanted].tolist() == [5, 1, 2, 0, 1]
    assert rows.loc["bolt", wanted].tolist() == [3, 2, 2, 2, 2]
    assert rows["login_key_user_quiet"].to_dict() == {"acme": 26, "bolt": 1}


def test_an_account_column_of_the_events_themselves_gives_way_to_the_lookup(tmp_path):
    made = settings(tmp_path)
    logins = pd.read_parquet(tmp_path / "logins.parquet").assign(account_id="bolt")
    company.tables(tmp_path, logins=logins)
    rows = snapshot.build(made, [date(2025, 2, 1)], labels=False).frame.set_index("customer_id")
    assert rows["login_count_28d"].to_dict() == {"acme": 5, "bolt": 3}


def test_seats_used_is_users_per_seat(tmp_path):
    attributes = {"seats": {"type": "number", "static": True}}
    own = settings(tmp_path, attributes=attributes, seats={"stream": "login"})
    made = snapshot.build(own, [date(2025, 2, 1)], labels=False)
    used = made.frame.set_index("customer_id")["seats_used"]
    assert used["acme"] == 0.5 and np.isnan(used["bolt"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"login": {"users": True}}, "streams.login: users: name the column of the user in `entity`"),
        ({"login": LOGIN | {"kind": "rating", "value": "v"}}, "users: a rating has no active users"),
        ({"seats": {"stream": "login"}}, "customers.seats.attribute: no attribute seats of type number; add it"),
        ({"seats": {"stream": "visit"}}, "customers.seats.stream: no stream of behaviour visit; allowed: login"),
        ({"login": {"entity": "user_id"}, "seats": {"stream": "login"}}, "customers.seats.stream: say `users: true`"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_way_out(tmp_path, changes, message):
    with pytest.raises(ConfigError, match=message):
        settings(tmp_path, **changes)
