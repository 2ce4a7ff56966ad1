"""The benchmark: every engine answers the same question with the same rows, and bad input is one line."""

import json
import socket
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from benchmarks import __main__ as runner
from benchmarks import compare, events, peers, report, soak, windows, work
from benchmarks.report import Figure
from features import catalogue
from features.errors import DataError

ROOT = Path(__file__).parents[2]
JUNE = date(2025, 6, 1)
EDGES = [
    (1000, datetime(2025, 6, 1), "ticket"),
    (1001, datetime(2025, 5, 31, 23, 59, 59), "ticket"),
    (1002, datetime(2025, 5, 25), "payment"),
    (1003, datetime(2025, 5, 24, 23, 59, 59), "payment"),
    (1004, datetime(2025, 3, 3), "feature_use"),
    (1005, datetime(2025, 3, 2, 23, 59, 59), "feature_use"),
    (1006, datetime(2025, 5, 20), "export"),
]


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    """2,000 events of 60 customers, and some on the edges of the windows of June 1st."""
    path = tmp_path_factory.mktemp("benchmark") / "events.parquet"
    events.write(path, 2_000, 60)
    customer, ts, event = zip(*EDGES, strict=True)
    columns = [customer, ts, pa.array(event).dictionary_encode(), [float("12.345678")] * len(EDGES)]
    edges = pa.table([pa.array(c).cast(kind) for c, kind in zip(columns, events.SCHEMA.types)], schema=events.SCHEMA)
    pq.write_table(pa.concat_tables([pq.read_table(path), edges]).unify_dictionaries(), path)
    return path


@pytest.fixture(scope="module", params=[12, 52])
def number(request) -> int:
    return request.param


@pytest.fixture(scope="module")
def ours(file, number) -> pa.Table:
    return whole(windows.tables, file, number)


def whole(engine: work.Engine, file: Path, number: int) -> pa.Table:
    """All rows of an answer."""
    parts = (part.select([*work.KEYS, *work.columns()]) for part in engine(file, work.as_of_dates(number)))
    return pa.concat_tables(parts, promote_options="permissive")


def refusal(capsys, monkeypatch, module, *words: object) -> str:
    """The one line with which a door refuses."""
    monkeypatch.setattr(sys, "argv", [module.__name__, *map(str, words)])
    try:
        code = module.main()
    except SystemExit as stopped:
        code = stopped.code
    said = capsys.readouterr()
    assert (code, said.out, said.err.count("\n")) == (2, "", 1), said.err
    return said.err


def by_loops(file: Path, as_of: date) -> dict[int, dict[str, float | None]]:
    """The 52 columns of every customer on one date, counted event by event."""
    rows: dict[int, dict[str, float | None]] = {}
    days: dict[tuple[int, str], set[date]] = {}
    for event in pq.read_table(file).to_pylist():
        day, stream, who = event["ts"].date(), event["event"], event["customer_id"]
        if stream not in work.STREAMS or not as_of - timedelta(days=90) <= day < as_of:
            continue
        age = (as_of - day).days
        empty = {name: None if name.endswith("recency") else 0 for name in work.columns()}
        row = rows.setdefault(who, empty)
        row[f"{stream}_recency"] = min(age, row[f"{stream}_recency"] or age)
        for window in (w for w in work.DAYS if age <= w):
            row[f"{stream}_count_{window}d"] += 1
            row[f"{stream}_sum_{window}d"] += round(event["value"] * 1e6)
            days.setdefault((who, f"{stream}_days_{window}d"), set()).add(day)
    for (who, name), some in days.items():
        rows[who][name] = len(some)
    sums = [name for name in work.columns() if "_sum_" in name]
    return {who: row | {name: row[name] / 1e6 for name in sums} for who, row in rows.items()}


@pytest.mark.parametrize("peer", ["polars", "duckdb", "pandas"])
def test_every_peer_gives_our_rows(peer, file, number, ours):
    assert compare.differences(ours, whole(peers.PEERS[peer], file, number)) == []


def test_our_rows_are_those_counted_event_by_event(file):
    rows = whole(lambda path, _: windows.tables(path, [JUNE]), file, 12)
    assert set(rows["as_of"].cast(pa.date32()).to_pylist()) == {JUNE}
    expected = by_loops(file, JUNE)
    assert {1000, 1005, 1006}.isdisjoint(expected) and {1001, 1002, 1003, 1004} <= set(expected)
    numbers = {
        name: [None if v != v else v for v in rows[name].cast(pa.float64()).to_pylist()] for name in work.columns()
    }
    found = {
        int(who): {name: numbers[name][i] for name in numbers} for i, who in enumerate(rows["customer_id"].to_pylist())
    }
    assert found == expected


def test_our_engine_is_asked_for_the_52_columns_and_no_other(file):
    asked = catalogue.features(windows.config(file))
    assert {feature.name for feature in asked} == set(work.columns()) and len(asked) == 52


def test_the_dates_are_month_starts_or_weeks():
    months, weeks = work.as_of_dates(12), work.as_of_dates(52)
    assert (len(months), months[0], months[-1]) == (12, date(2025, 2, 1), date(2026, 1, 1))
    assert {day.day for day in months} == {1}
    assert (len(weeks), weeks[0], weeks[-1]) == (52, date(2025, 1, 8), date(2025, 12, 31))


@pytest.fixture
def small() -> pa.Table:
    """An answer of two rows, of a customer with one and one with no event of each stream."""
    keys = {"customer_id": pa.array([1, 2], pa.int32()), "as_of": pa.array([JUNE, JUNE])}
    return pa.table(keys | {name: pa.array([1.0, None if "recency" in name else 0.0]) for name in work.columns()})


def changed(table: pa.Table, name: str, values: list, kind: pa.DataType | None = None) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, pa.array(values, kind))


def test_answers_are_equal_in_any_order_and_with_any_null(small):
    text = small.set_column(0, "customer_id", small["customer_id"].cast(pa.string()))
    assert compare.differences(text, small.take([1, 0])) == []
    assert compare.differences(changed(small, "login_recency", [1.0, float("nan")]), small) == []


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("login_count_7d", [1.0, 1.0]),
        ("ticket_days_90d", [2.0, 0.0]),
        ("payment_recency", [1.0, 0.0]),
        ("payment_recency", [None, None]),
        ("login_sum_7d", [1.000001, 0.0]),
        ("login_sum_7d", [1.0, 1e-9]),
    ],
)
def test_one_changed_value_is_found(small, name, values):
    (line,) = compare.differences(small, changed(small, name, values))
    assert line.startswith(f"{name}: 1 rows differ, first customer ")


def test_a_sum_may_be_off_by_the_rounding_of_its_own_type(small):
    ours, rounded = changed(small, "login_sum_7d", [10_000.0004, 0.0]), [10_000.0, 0.0]
    assert compare.differences(ours, changed(small, "login_sum_7d", rounded, pa.float32())) == []
    assert len(compare.differences(ours, changed(small, "login_sum_7d", rounded, pa.float64()))) == 1


def test_missing_and_other_rows_are_found(small):
    assert compare.differences(small, small.slice(1)) == ["2 rows against 1"]
    other = changed(small, "customer_id", [1, 3])
    assert compare.differences(small, other) == ["the customers or dates of the rows differ"]


def test_the_comparison_says_no_with_exit_code_1(small, tmp_path, monkeypatch, capsys):
    pq.write_table(small, tmp_path / "a.parquet")
    pq.write_table(small.slice(1), tmp_path / "b.parquet")
    for other, code in (("a", 0), ("b", 1)):
        monkeypatch.setattr(sys, "argv", ["compare", str(tmp_path / "a.parquet"), str(tmp_path / f"{other}.parquet")])
        assert compare.main() == code
    assert capsys.readouterr().out == "equal: 2 rows, 52 columns\n2 rows against 1\n"


def test_the_checksum_sees_values_and_nulls_but_no_order(ours):
    def checksum(*parts: pa.Table) -> str:
        return str(work.consume(iter(parts), None)["checksum"])

    ours = ours.sort_by([("login_count_90d", "descending")])
    rows, first = checksum(ours), ours.slice(0, 1)
    shuffled = ours.take(np.random.default_rng(0).permutation(len(ours)))
    assert checksum(*(shuffled.slice(i, 100) for i in range(0, len(ours), 100))) == rows
    one_more = pc.add(first["ticket_count_7d"], 1)
    counted = first.set_column(first.column_names.index("ticket_count_7d"), "ticket_count_7d", one_more)
    assert checksum(counted, ours.slice(1)) != rows
    assert checksum(changed(first, "login_recency", [None], pa.float64()), ours.slice(1)) != rows


def test_every_row_is_written_part_by_part(file, tmp_path):
    said = work.consume(peers.polars(file, work.as_of_dates(12)), tmp_path / "out.parquet")
    written = pq.read_table(tmp_path / "out.parquet")
    assert (said["rows"], said["columns"]) == (written.num_rows, 52)
    assert written.column_names == ["customer_id", "as_of", *work.columns()]


def test_the_same_seed_makes_the_same_events(tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        events.write(tmp_path / name, 5_000, 50, seed=seed)
    a, b, c = (pq.read_table(tmp_path / name) for name in "abc")
    assert a.equals(b) and not a.equals(c)
    assert a.schema.equals(events.SCHEMA)


def test_events_have_their_shares_customers_and_year(tmp_path):
    events.write(tmp_path / "events.parquet", 50_000, 300)
    frame = pq.read_table(tmp_path / "events.parquet").to_pandas()
    shares = frame["event"].value_counts(normalize=True)
    assert all(abs(shares[name] - share) < 0.01 for name, share in events.SHARES.items())
    assert set(frame["customer_id"]) <= set(range(300))
    assert frame["customer_id"].value_counts().iloc[0] > 3 * len(frame) / 300
    assert (frame["ts"].min().date(), frame["ts"].max().date()) == (date(2025, 1, 1), date(2025, 12, 31))
    assert abs(frame["value"].mean() - 20) < 0.5


def test_events_larger_than_a_chunk_are_all_written(tmp_path, monkeypatch):
    monkeypatch.setattr(events, "CHUNK", 1_000)
    events.write(tmp_path / "events.parquet", 2_500, 50)
    table = pq.read_table(tmp_path / "events.parquet")
    assert table.num_rows == 2_500
    assert not table.slice(0, 500).equals(table.slice(1_000, 500))


def test_a_year_of_days_and_one_further(tmp_path):
    events.write_year(tmp_path, 1_000, 20)
    files = sorted(tmp_path.iterdir())
    assert [path.stem for path in files] == [str(date(2025, 1, 1) + timedelta(days=i)) for i in range(365)]
    assert sum(pq.read_metadata(path).num_rows for path in files) == 1_000
    assert events.write_further(tmp_path, 1_000, 20) == date(2026, 1, 1)
    for path in (files[150], tmp_path / "2026-01-01.parquet"):
        days = {ts.date().isoformat() for ts in pq.read_table(path)["ts"].to_pylist()}
        assert days == {path.stem}


def test_the_whole_benchmark_in_small(tmp_path):
    words = ["--size", "2000", "--check", "2e3", "--dates", "12", "--peers", "polars", "--folder", str(tmp_path)]
    done = subprocess.run([sys.executable, "-m", "benchmarks", *words], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "figures.json").read_text())
    assert found["equal"] == ["polars"]
    assert {"cpu", "cores", "memory_gb", "python", "polars"} <= set(found["machine"])
    ours, theirs = found["figures"]
    assert (ours["engine"], theirs["engine"]) == ("tsunagi", "polars")
    assert ours["rows"] == theirs["rows"] > 100
    assert ours["seconds"] > 0 and ours["cpu"] > 0 and 20e6 < ours["peak"] < 4e9
    assert f"| 2,000 | 12 | {ours['rows']:,} | tsunagi |" in done.stdout
    assert "Equal row by row with ours: polars." in done.stdout


def test_online_answers_are_those_of_the_batch(tmp_path):
    done = subprocess.run([sys.executable, "-m", "benchmarks.online"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    few, many = (json.loads(line) for line in done.stdout.splitlines())
    assert few["events"] >= 2_000 and few["features"] == 52 < many["features"]
    assert 0 < few["least_ms"] <= few["median_ms"] <= few["p99_ms"]


def test_the_report_gives_ratios_and_growth():
    few = [
        Figure("tsunagi", 2_000_000, 12, 10, 2.0, 3.5, 10**9, "a"),
        Figure("polars", 2_000_000, 12, 10, 5.0, 9.0, 2 * 10**9, "b"),
    ]
    many = Figure("tsunagi", 20_000_000, 12, 100, 12.0, 20.0, 15 * 10**8, "c")
    named = {"cpu": "a processor", "cores": 2, "memory_gb": 8.0, "system": "Linux", "python": "3.11.7"}
    text = report.as_text([*few, many], ["polars"], named)
    assert "| 2 M | 12 | 10 | polars | 5.0 | 2.5 × | 9.0 | 2.00 |" in text
    assert "- tsunagi, 12 dates, 2 M to 20 M events (10 ×): 6.0 × the time, 1.5 × the memory" in text
    assert text.endswith("Machine: a processor, 2 cores, 8.0 GB, Linux; python 3.11.7.")


def test_a_descriptor_that_stays_open_is_growth_and_a_callers_connection_is_none(tmp_path):
    own = psutil.Process()
    with socket.create_server(("127.0.0.1", 0)) as listening, ExitStack() as held:
        port = listening.getsockname()[1]

        def minute(seconds):
            return [replace(soak.sampled(own, port, 0.0), seconds=seconds + at) for at in (1.0, 30.0, 59.0)]

        before = minute(60)
        for _ in range(5):
            held.enter_context(socket.create_connection(("127.0.0.1", port)))
            held.enter_context(listening.accept()[0])
        calls = [one.connections for one in (*before, *minute(120))]
        assert calls == [0, 0, 0, 5, 5, 5]
        assert soak.growth([*before, *minute(300)], 6)["more_descriptors"] == 5  # the callers' own ends
        for number in range(3):
            held.enter_context((tmp_path / str(number)).open("w"))
        assert soak.growth([*before, *minute(300)], 6)["more_descriptors"] == 8


def test_memory_grows_from_the_first_sixth_to_the_end():
    samples = [soak.Sample(10.0 * at, 100.0 + at, 60, 8) for at in range(37)]
    found = soak.growth(samples, 6)
    assert found == {"megabytes": 133.5, "memory_growth": round(133.5 / 108.5 - 1, 4), "more_descriptors": 0}


def test_engines_that_disagree_on_the_rows_are_not_reported(file, tmp_path, monkeypatch):
    fewer = tmp_path / "fewer.parquet"
    pq.write_table(pq.read_table(file).slice(0, 100), fewer)
    own = runner.engine
    monkeypatch.setattr(
        runner, "engine", lambda name, path, *rest: own(name, fewer if name == "duckdb" else path, *rest)
    )
    with pytest.raises(DataError, match="different numbers of rows"):
        runner.side_by_side(file, 2_000, 12, ("polars", "duckdb"), 1)


@pytest.mark.parametrize(
    ("module", "words", "part"),
    [
        (windows, ["--dates", 12], "--events"),
        (windows, ["--events", "nowhere.parquet", "--dates", 12], "nowhere.parquet: no such file"),
        (windows, ["--events", __file__, "--dates", 12], "not a Parquet file"),
        (windows, ["--events", __file__, "--dates", 13], "--dates"),
        (peers, ["spark", "--events", __file__, "--dates", 12], "polars"),
        (peers, ["polars", "--events", "nowhere.parquet", "--dates", 52], "nowhere.parquet: no such file"),
        (compare, ["nowhere.parquet", "nowhere.parquet"], "nowhere.parquet"),
        (events, ["many", 10, "events.parquet"], "'many' is not a whole number"),
        (events, [10, 0, "events.parquet"], "'0' is not a whole number"),
        (events, [10, 10], "give either FILE or --daily FOLDER"),
        (events, [10, 10, "events.parquet", "--further"], "--further only with --daily"),
        (events, [10, 10, "--daily", "nowhere", "--further"], "holds no day yet"),
        (events, [10, 10, "nowhere/events.parquet"], "nowhere/events.parquet"),
        (runner, ["--peers", "spark"], "polars"),
        (runner, ["--size", "2.5"], "'2.5' is not a whole number"),
        (runner, ["--folder", __file__], "File exists"),
    ],
)
def test_bad_input_is_one_line(module, words, part, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert part in refusal(capsys, monkeypatch, module, *words)


def test_a_table_without_the_columns_is_refused(small, tmp_path, capsys, monkeypatch):
    pq.write_table(small, tmp_path / "small.parquet")
    words = ("--events", tmp_path / "small.parquet", "--dates", 12)
    assert "has no ts, event, value" in refusal(capsys, monkeypatch, windows, *words)


def test_a_failing_engine_is_named(tmp_path):
    with pytest.raises(DataError, match=r"benchmarks\.peers polars .*no such file"):
        runner.engine("polars", tmp_path / "nowhere.parquet", 12)
