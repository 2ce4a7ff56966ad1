"""What the checks count on the engine is the same on every engine."""

import random
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from features.checks import tables
from features.data_config import Data
from tests.engines.world import data, write


def company(zoned: bool) -> pa.Table:
    """People at work from 9 to 18 o'clock, loaded twice; a tenth of the rows known three hours before they happen."""
    chance, begin = random.Random(0), datetime(2025, 1, 6, tzinfo=UTC if zoned else None)
    moments = [begin + timedelta(days=i // 20, minutes=540 + chance.randrange(540), microseconds=chance.randrange(10**6)) for i in range(1_000)]  # fmt: skip
    known = [at + timedelta(hours=-3 if i % 10 == 0 else 1) for i, at in enumerate(moments)]
    kind = pa.timestamp("us", "UTC" if zoned else None)
    rows = {
        "customer_id": [f"c{i % 7}" for i in range(1_000)],
        "at": pa.array(moments, kind),
        "known": pa.array(known, kind),
    }
    once = pa.table(rows | {"amount": [float(i % 5) for i in range(1_000)]})
    both = pa.concat_tables([once, once])
    return both.append_column("line", pa.array(range(2_000)))


@pytest.mark.parametrize("zoned", [True, False])
def test_repeats_clocks_and_zones_are_counted_alike(engine, tmp_path, zoned):
    own = data(tmp_path, engine).model_dump()
    name = write(engine, tmp_path, f"checked_{zoned}".lower(), company(zoned))
    stream = {"table": name, "id": "customer_id", "at": "at", "known": "known", "value": "amount"}
    own |= {"timezone": "Asia/Tokyo", "streams": {"sale": stream}, "customers": {"from_stream": "sale"}}
    found = {finding.code: finding for finding in tables.findings(Data.model_validate(own))}
    assert {code: finding.level for code, finding in found.items()} == {
        "same": "warning",
        "known_too_early": "error",
        "quiet_days": "warning",
    }
    assert (found["same"].values["rows"], found["known_too_early"].values["rows"]) == (1_000, 200)
    assert (found["quiet_days"].values["begin"], found["quiet_days"].values["end"]) == (3, 18)
