"""What a customer has bought so far, against plain loops over the events."""

from datetime import date

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features import buying
from features.config import load
from features.rollup import Events, daily
from features.snapshot import build
from features.snapshot_config import SnapshotConfig
from tests.company import configs, tables

HISTORY = 30


def activity(rows):
    """Daily activity of (customer, day, days until known, value in whole units)."""
    customer, day, late, value = np.array(rows, np.int64).reshape(-1, 4).T
    one = np.ones(len(customer), np.int64)
    as_32 = (column.astype(np.int32) for column in (customer, day, day + late))
    return daily(Events(*as_32, one, one, value * 1_000_000))


def plain(rows, customer, day):
    """The four columns of one key, by their definitions."""
    seen = [(d, v) for c, d, late, v in rows if c == customer and d + late < day and d >= day - HISTORY]
    days = sorted({d for d, _ in seen})
    if not days:
        return [0, np.nan, np.nan, np.nan]
    repeat = sum(v for d, v in seen if d > days[0])
    mean = repeat / (len(days) - 1) if len(days) > 1 else np.nan
    return [len(days), days[-1] - days[0], day - days[0], mean]


def columns(rows, keys):
    customer, day = np.array(sorted(keys), np.int32).reshape(-1, 2).T
    found = buying.columns(activity(rows), customer, day, HISTORY)
    assert list(found) == list(buying.COLUMNS) and all(column.dtype == np.float64 for column in found.values())
    return np.column_stack(list(found.values()))


EVENT = st.tuples(st.integers(0, 3), st.integers(-5, 50), st.sampled_from([0, 0, 0, 1, 7]), st.integers(-20, 99))
KEY = st.tuples(st.integers(0, 3), st.integers(-5, 60))


@given(st.lists(EVENT, max_size=40), st.lists(KEY, min_size=1, max_size=12, unique=True))
def test_columns_are_those_of_a_plain_loop(rows, keys):
    wanted = [plain(rows, *key) for key in sorted(keys)]
    np.testing.assert_allclose(columns(rows, keys), np.array(wanted, float), rtol=1e-12)


def test_a_first_day_known_late_changes_who_is_first():
    rows = [(0, 10, 8, 50), (0, 12, 0, 20), (0, 15, 0, 30), (0, 10, 9, 1)]
    found = columns(rows, [(0, 18), (0, 19), (0, 20)])
    assert found.tolist() == [[2, 3, 6, 30], [3, 5, 9, 25], [3, 5, 10, 25]]


def test_without_a_key_there_is_nothing():
    assert columns([(0, 1, 0, 5)], []).shape == (0, 4)
    assert columns([], [(0, 9)])[0].tolist() == pytest.approx([0, np.nan, np.nan, np.nan], nan_ok=True)


def test_a_snapshot_holds_them_beside_its_features_only_when_asked(tmp_path):
    orders = pd.DataFrame(
        {"id": ["山田", "山田", "山田", "b"], "at": pd.to_datetime(["2025-01-01", "2025-01-04", "2025-01-04", "2025-02-20"]),
         "usd": [9.5, 1.25, 2.0, 7.0]}
    )  # fmt: skip
    tables(tmp_path, customers=[{"id": "山田"}, {"id": "b"}], orders=orders)
    data = {"streams": {"login": None, "order": {"table": "orders.parquet", "at": "at", "value": "usd"}}}
    seen = {"population": {"seen": {"streams": ["order"], "days": 90}}}
    own = {**seen, "outcome": {"kind": "inactivity", "streams": ["order"], "horizon_days": 30}}
    config = load(configs(tmp_path, data, own), SnapshotConfig)
    with_them = build(config.model_copy(update={"buying": "order"}), [date(2025, 3, 1)], labels=False)
    rows = with_them.frame.set_index("customer_id")[list(buying.COLUMNS)]
    assert rows.loc["山田"].tolist() == [2, 3, 59, 3.25]
    assert rows.loc["b"].tolist() == pytest.approx([1, 0, 9, np.nan], nan_ok=True)
    without = build(config, [date(2025, 3, 1)], labels=False)
    assert not set(buying.COLUMNS) & set(without.frame)
    assert with_them.features == without.features
