"""A store that grows by any deliveries equals one built from the rows that came in time; the others are counted."""

import tempfile
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.data_config import Data
from features.sources import Source
from features.store import Store

ZONE = ZoneInfo("Europe/Berlin")
START = datetime(2025, 3, 20, tzinfo=UTC)  # the clocks of Berlin change on the 30th
COLUMNS = pa.schema(
    {
        "id": pa.string(),
        "at": pa.timestamp("us", "UTC"),
        "known": pa.timestamp("us", "UTC"),
        "kind": pa.string(),
        "value": pa.float64(),
        "user": pa.string(),
    }
)
OWN = {"table": "*.parquet", "id": "id", "at": "at", "known": "known"}
STREAMS = {
    "login": OWN | {"where": {"kind": ["seen", "paid"]}, "entity": "user"},
    "order": OWN | {"where": {"kind": "paid"}, "value": "value"},
    "nps": OWN | {"where": {"kind": "rated"}, "value": "value", "kind": "rating"},
}
moments = st.integers(0, 16 * 24).map(lambda hour: START + timedelta(hours=hour))


@st.composite
def an_event(draw):
    at = draw(moments)
    since = draw(st.sampled_from([None, 0, 1, 30, 100]))
    return {
        "id": draw(st.sampled_from(["a", "b", "顧客", None])),
        "at": draw(st.sampled_from([at] * 9 + [None])),
        "known": None if since is None else at + timedelta(hours=since),
        "kind": draw(st.sampled_from(["seen", "paid", "rated", "other"])),
        "value": draw(st.sampled_from([None, 1.5, -2.0, 0.000001])),
        "user": draw(st.sampled_from(["u", "v", None])),
    }


deliveries = st.lists(st.lists(an_event(), max_size=7), min_size=1, max_size=4)


def known_day(event: dict) -> int | None:
    """The local day, by plain dates; None without a time."""
    if event["at"] is None:
        return None
    days = [when.astimezone(ZONE).date().toordinal() for when in (event["at"], event["known"]) if when]
    return max(days)


def split(delivered: list[list[dict]], horizon: int) -> tuple[list[list[dict]], list[dict]]:
    """The rows that came in time, by delivery, and the late ones."""
    in_time, late, newest = [], [], None
    for rows in ([row for row in rows if row["kind"] != "other"] for rows in delivered):
        cut = -1 if newest is None else newest - horizon
        on_time = [row for row in rows if known_day(row) is None or known_day(row) >= cut]
        late += [row for row in rows if row not in on_time]
        in_time.append(on_time)
        days = [known_day(row) for row in on_time if known_day(row) is not None]
        newest = max([*days, *([] if newest is None else [newest])], default=None)
    return in_time, late


def store(folder: Path, horizon: int) -> Store:
    own = {"name": "tiny", "root": str(folder / "tables"), "timezone": str(ZONE), "store": {"horizon_days": horizon}}
    data = Data.model_validate(own | {"customers": {"from_stream": "login", "id": "id"}, "streams": STREAMS})
    return Store(Source(data), list(STREAMS))


def write(folder: Path, name: str, rows: list[dict]) -> None:
    (folder / "tables").mkdir(exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, COLUMNS), folder / "tables" / f"{name}.parquet")


def days(own: Store) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in own.folder.glob("*.parquet")}


@pytest.mark.parametrize("way", ["a file each", "one file that grows"])
@settings(max_examples=settings.default.max_examples // 10)
@given(delivered=deliveries, horizon=st.integers(0, 4))
def test_any_deliveries_make_the_store_of_the_rows_in_time(way, delivered, horizon):
    in_time, late = split(delivered, horizon)
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        folder = Path(name)
        patch.setenv("TSUNAGI_WORKSPACE", str(folder / "grown"))
        so_far: list[dict] = []
        for place, rows in enumerate(delivered):
            grown, so_far = store(folder, horizon), so_far + rows
            write(folder, f"{place}" if way == "a file each" else "all", rows if way == "a file each" else so_far)
            grown.update()
        assert sum(one.rows for one in grown.late) == len(late)
        assert min((one.oldest for one in grown.late), default=None) == min(map(text_of, late), default=None)
        for path in (folder / "tables").iterdir():
            path.unlink()
        write(folder, "all", [row for rows in in_time for row in rows])
        patch.setenv("TSUNAGI_WORKSPACE", str(folder / "built"))
        built = store(folder, horizon)
        built.update()
        assert days(grown) == days(built)


@settings(max_examples=settings.default.max_examples // 10)
@given(rows=st.lists(an_event(), max_size=20), cuts=st.lists(st.integers(0, 20), max_size=4))
def test_any_split_by_known_day_makes_one_store(rows, cuts):
    """Whatever came when, and whatever the order: rows that come by the day they are known are never late."""
    rows = sorted(rows, key=lambda row: known_day(row) or 0)
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        folder = Path(name)
        patch.setenv("TSUNAGI_WORKSPACE", str(folder / "grown"))
        ends = sorted({min(cut, len(rows)) for cut in cuts} | {len(rows)})
        for place, (first, end) in enumerate(zip([0, *ends], ends)):
            grown = store(folder, 0)
            write(folder, f"{place}", rows[first:end][::-1])
            grown.update()
        patch.setenv("TSUNAGI_WORKSPACE", str(folder / "built"))
        built = store(folder, 0)
        built.update()
        assert grown.late == [] and days(grown) == days(built)
        assert (grown.folder / "manifest.json").read_bytes() == (built.folder / "manifest.json").read_bytes()


def text_of(row: dict) -> str:
    return date.fromordinal(known_day(row)).isoformat()
