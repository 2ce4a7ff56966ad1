"""One customer's raw events give the windows that the batch gives, to the bit."""

from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as parquet
import pytest

from features import config, snapshot
from features.errors import DataError
from features.online import Online
from features.snapshot_config import SnapshotConfig

ROLES = ("at", "known", "until", "value", "entity")


@pytest.fixture(scope="module")
def company(simulated) -> SnapshotConfig:
    return config.load(Path("configs/saas/churn.yaml"), SnapshotConfig, [f"data.root={simulated}"])


def raw(settings: SnapshotConfig, customer: str) -> dict[str, pa.Table]:
    """The customer's rows of every stream, as a caller would send them."""
    found = {}
    for name, spec in settings.data.streams.items():
        table = parquet.read_table(settings.data.root.folder() / spec.table)
        own = table.filter(pc.equal(table["account_id"], customer))
        for column, allowed in spec.where.items():
            values = allowed if isinstance(allowed, list) else [allowed]
            own = own.filter(pc.is_in(own[column], pa.array(values)))
        roles = {role: getattr(spec, role) for role in ROLES if getattr(spec, role)}
        found[name] = pa.table({role: own[column] for role, column in roles.items()})
    return found


def test_online_equals_the_batch(company):
    as_of = snapshot.latest(company)
    batch = snapshot.build(company, [as_of], labels=False).frame.set_index("customer_id")
    online = Online(company)
    for customer in batch.index[::40]:
        found = online.features(raw(company, customer), as_of)
        expected = batch.loc[customer, list(found)].to_numpy(np.float64)
        np.testing.assert_array_equal(np.array(list(found.values())), expected, customer)


def test_a_customer_without_events_has_empty_values(company):
    found = Online(company).features({}, date(2025, 6, 1))
    assert found["login_count_28d"] == 0 and np.isnan(found["login_recency"]) and found["ticket_open"] == 0


@pytest.mark.parametrize(
    ("events", "message"),
    [
        ({"logout": pa.table({"at": [0]})}, "logout: no such stream; streams: login, "),
        ({"login": pa.table({"entity": ["u1"]})}, "login: the events have no at; give it with each event"),
        (
            {"payment_failed": pa.table({"at": pa.array([0], pa.timestamp("us", "UTC")), "value": [float("inf")]})},
            "payment_failed: 1 values are NaN, infinite",
        ),
    ],
)
def test_bad_events_get_one_message(company, events, message):
    with pytest.raises(DataError) as caught:
        Online(company).features(events, date(2025, 6, 1))
    assert message in str(caught.value)
