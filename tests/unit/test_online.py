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
from features.online import Online, table
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


def test_many_at_once_equal_the_batch_seats_and_all(company):
    as_of = snapshot.latest(company)
    batch = snapshot.build(company, [as_of], labels=False).frame.set_index("customer_id")
    people = list(batch.index[::60])
    given = [raw(company, customer) for customer in people]
    for own in given[::2]:
        own.pop("ticket")
    found = Online(company).many(given, as_of, batch.loc[people, "seats"].to_numpy(np.float64))
    for stream, values in found.values.items():
        there = [place for place, own in enumerate(given) if stream in own]
        for name, column in values.items():
            expected = batch[name].loc[[people[place] for place in there]].to_numpy(np.float64)
            np.testing.assert_array_equal(column[there], expected, name)
    assert "seats_used" in found.values["login"] and np.isfinite(found.values["login"]["seats_used"]).any()
    rows = sum(table.num_rows for own in given for table in own.values())
    assert found.visible.sum() + found.ignored.sum() == rows > 0


@pytest.mark.parametrize(
    ("text", "zone", "expected"),
    [
        ("2026-01-30", "Asia/Tokyo", "2026-01-29T15:00:00Z"),
        ("2026-01-30T10:00", "Asia/Tokyo", "2026-01-30T10:00:00Z"),
        ("2026-01-30 10:00:00.1234567", "Asia/Tokyo", "2026-01-30T10:00:00.123456Z"),
        ("2026-01-30T10:00:00+0900", "Asia/Tokyo", "2026-01-30T01:00:00Z"),
        ("2026-01-30t10:00:00z", "Asia/Tokyo", "2026-01-30T10:00:00Z"),
        ("0001-01-01T00:00:00+14:00", "UTC", None),
        (None, "UTC", None),
    ],
)
def test_a_time_is_on_the_clock_it_names(company, text, zone, expected):
    data = company.data.model_copy(update={"timezone": zone, "naive_times": "UTC"})
    spec = company.data.streams["login"].model_copy(update={"known": "known_at"})
    (moment,) = (
        table([{"at": "2026-01-30", "known": text, "entity": " u1 "}], spec, data)["known"].cast("int64").to_pylist()
    )
    if expected:
        assert moment == int(np.datetime64(expected.removesuffix("Z"), "us").astype(np.int64))
    else:
        assert (moment is None) == (text is None)


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
