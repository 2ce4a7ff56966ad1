"""What every engine reads alike, and what it says when it cannot."""

import socket

import pyarrow as pa
import pytest

from features import columns, pushdown
from features.errors import ConfigError, DataError
from features.sources import Source, fetch
from tests.engines.world import ADDRESS, data, write

TIMES = {
    "2025-03-01T15:30:00Z": 1740843000000000,
    "2025-03-02 00:30:00+0900": 1740843000000000,
    " 2025-03-02T00:30:00.1234567 +09 ": 1740843000123456,
    "2024-02-29T23:59:59.9999999z": 1709251199999999,
    "1969-12-31T23:59:59.5-03:30": 12599500000,
}
WORDS = {"2025-13-01": 1, "2025-02-29": 1, "2025-01-31T25:00:00Z": 1, "soon": 1, "2025-1-31": 1, "": 0, "1900-02-29": 1}


def read(engine, folder, column, kind, values, arrow=None):
    """The values of one column as ``columns.kind`` gives them."""
    name = write(engine, folder, "one", pa.table({"n": range(len(values)), "x": pa.array(values, arrow)}))
    table = Source(data(folder, engine)).table(name)
    arguments = (table["x"],) if kind in ("key", "text") else (table["x"], column)
    made = table.select("n", got=getattr(columns, kind)(*arguments)).order_by("n")
    return fetch(made, column)["got"]


@pytest.mark.parametrize(
    ("kind", "values", "expected"),
    [
        ("key", [1, None, -(2**63)], [1, None, -(2**63)]),
        ("key", [1.0, None, -7.0, float("nan"), float("inf")], [1, None, -7, None, None]),
        ("key", [" a\t", "", " \n", "007", "顧客　", "fov", None], ["a", None, None, "007", "顧客　", "fov", None]),
        ("text", [12.0, None], ["12", None]),
        ("number", ["1e3", " -.5 ", "", None, "0.1", "12345678.912345678"], [1000.0, -0.5, None, None, 0.1, 12345678.912345678]),
        ("number", [True, False, None], [1.0, 0.0, None]),
        ("flag", ["Yes", "f", " ", None], [1.0, 0.0, None, None]),
        ("flag", [2, 0, None], [1.0, 0.0, None]),
    ],
)  # fmt: skip
def test_a_column_means_the_same_everywhere(engine, tmp_path, kind, values, expected):
    assert read(engine, tmp_path, "x", kind, values).to_pylist() == expected


def test_text_times_are_the_same_moments_everywhere(engine, tmp_path):
    found = read(engine, tmp_path, "x", "time", [*TIMES, None])
    assert found.cast(pa.int64()).to_pylist() == [*TIMES.values(), None]
    wall = read(engine, tmp_path, "x", "time", ["2025-03-01 10:00", "2025-03-01", "2025-03-01T10:00:00.5"])
    assert [moment.isoformat() for moment in wall.to_pylist()] == ["2025-03-01T10:00:00", "2025-03-01T00:00:00", "2025-03-01T10:00:00.500000"]  # fmt: skip
    assert [str(day) for day in read(engine, tmp_path, "x", "time", ["2024-02-29", "1969-12-31"]).to_pylist()] == ["2024-02-29", "1969-12-31"]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        ("time", list(WORDS), rf"{sum(WORDS.values())} of 6 values are no time stamps"),
        ("time", ["2025-01-01T00:00:00Z", "2025-01-01T00:00:00"], "mixed time zones: 1 of 2"),
        ("number", ["1", "1,5", "ten", "1_0"], "3 values are text, not numbers"),
        ("flag", ["yes", "maybe"], "1 values are neither true nor false"),
        ("key", [1.0, 2.5], "1 ids are numbers with a fraction"),
        ("time", [1.0], "float64 found where a date or time stamp is needed"),
    ],
)
def test_a_wrong_column_gets_one_line(engine, tmp_path, capfd, kind, values, message):
    with pytest.raises(DataError, match=message) as caught:
        read(engine, tmp_path, "table: x", kind, values)
    _one_quiet_line(caught, capfd)


def test_a_missing_table_is_named(engine, tmp_path, capfd):
    source = Source(data(tmp_path, engine))
    for name in ("nowhere.parquet",) if engine == "duckdb" else ("nowhere", "no_schema.nowhere"):
        with pytest.raises(DataError, match=name) as caught:
            source.table(name)
        _one_quiet_line(caught, capfd)


def test_a_cast_that_fails_in_the_engine_is_one_line(engine, tmp_path, capfd):
    name = write(engine, tmp_path, "late", pa.table({"x": ["1", "one"]}))
    source = Source(data(tmp_path, engine))
    late = source.table(name)
    with pytest.raises(DataError, match=r"late: cannot be read") as caught:
        list(source.batches(late.select(x=late["x"].cast("int64")), "late"))
    _one_quiet_line(caught, capfd)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1e13])
def test_values_that_are_no_micro_units_are_refused(engine, tmp_path, value):
    rows = pa.table({"id": ["a", "a"], "at": pa.array([0, 1], pa.timestamp("us")), "value": [1.5, value]})
    own = data(tmp_path, engine)
    table = Source(own).table(write(engine, tmp_path, "odd", rows))
    with pytest.raises(DataError, match="odd: 1 values are NaN, infinite or over"):
        pushdown.checked(fetch(pushdown.rolled(table, own, "odd"), "odd"), "odd")
    rows = rows.set_column(2, "value", pa.array([9e12, 9e12]))
    table = Source(own).table(write(engine, tmp_path, "huge", rows))
    with pytest.raises(DataError, match="huge: their sum is over"):
        pushdown.checked(fetch(pushdown.rolled(table, own, "huge"), "huge"), "huge")


def test_batches_stream_every_row_once(engine, tmp_path):
    rows = pa.table({"n": pa.array(range(400_000)), "word": ["一", None, "", 'a"b,\n\\'] * 100_000})
    source = Source(data(tmp_path, engine))
    pieces = list(source.batches(source.table(write(engine, tmp_path, "many", rows)), "many"))
    assert pa.concat_tables(pieces).sort_by("n").equals(rows.cast(pieces[0].schema))


@pytest.mark.parametrize("engine", ["duckdb", "spark"], indirect=True)
def test_a_truncated_file_is_named(engine, tmp_path, capfd):
    name = write(engine, tmp_path, "half", pa.table({"x": list(range(100_000))}))
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"half.parquet.*cannot be read") as caught:
        fetch(Source(data(tmp_path, engine)).table(name), name)
    _one_quiet_line(caught, capfd)


def test_one_truncated_part_of_many_is_told(spark, tmp_path, capfd):
    (tmp_path / "parts.parquet").mkdir()
    for part in range(3):
        write("spark", tmp_path / "parts.parquet", f"part-{part}", pa.table({"x": list(range(100_000))}))
    broken = tmp_path / "parts.parquet" / "part-2.parquet"
    broken.write_bytes(broken.read_bytes()[:1000])
    source = Source(data(tmp_path, "spark"))
    with pytest.raises(DataError, match=r"parts.parquet.*cannot be read") as caught:
        list(source.batches(source.table("parts.parquet"), "parts.parquet"))
    _one_quiet_line(caught, capfd)


def test_a_server_that_is_not_there_is_one_line(tmp_path, monkeypatch, capfd):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        monkeypatch.setenv(ADDRESS, f"postgresql://shop:secret@127.0.0.1:{taken.getsockname()[1]}/shop")
        with pytest.raises(DataError, match=r"engine postgres: cannot be reached \(.*refused") as caught:
            Source(data(tmp_path, "postgres"))
    assert "secret" not in str(caught.value)
    _one_quiet_line(caught, capfd)


@pytest.mark.parametrize("address", ["", "my secret password"])
def test_an_address_that_is_none_is_told_without_it(tmp_path, monkeypatch, address):
    monkeypatch.setenv(ADDRESS, address)
    with pytest.raises(ConfigError, match=rf"data.yaml: engine.postgres.env: .*{ADDRESS}") as caught:
        Source(data(tmp_path, "postgres"))
    assert "secret" not in str(caught.value)


def test_a_server_that_goes_away_is_one_line(postgres, tmp_path, capfd):
    rows = pa.table({"n": pa.array(range(300)), "text": ["long " * 500] * 300})
    source = Source(data(tmp_path, "postgres"))
    table = source.table(write("postgres", tmp_path, "long", rows))
    pid = source.engine.connection.con.info.backend_pid
    many = table.cross_join(table.view().select(m="n")).cross_join(table.view().select(o="n"))
    stream = source.batches(many, "long")
    next(stream)
    postgres.psql(f"select pg_terminate_backend({pid})")
    with pytest.raises(DataError, match="long: cannot be read") as caught:
        list(stream)
    _one_quiet_line(caught, capfd)


@pytest.mark.parametrize("kind", ["timestamp", "timestamptz", "date"])
@pytest.mark.parametrize("value", ["infinity", "-infinity", "20000-01-01", "0044-03-15 BC"])
def test_a_time_that_only_postgres_has_is_one_line(postgres, tmp_path, capfd, kind, value):
    postgres.psql(f"create table beyond (x {kind}); insert into beyond values (null), ('{value}')")
    with pytest.raises(
        DataError, match=rf"beyond: cannot be read \(x: {value[:10]}.* is no date or time stamp"
    ) as caught:
        fetch(Source(data(tmp_path, "postgres")).table("beyond"), "beyond")
    postgres.psql("drop table beyond")
    _one_quiet_line(caught, capfd)


def test_the_database_is_only_read(postgres, tmp_path):
    source = Source(data(tmp_path, "postgres"))
    with pytest.raises(Exception, match="read-only"):
        source.engine.connection.con.execute("create table mine (x int)")


def test_spark_csv_and_folders_are_read_as_duckdb_reads_them(spark, tmp_path):
    (tmp_path / "t.csv").write_text(
        'id,at\n007,"2025-03-01 10:00:00"\n"a ""b"", c",\n"two\nlines",x\n', encoding="utf-8"
    )
    found = [
        fetch(Source(data(tmp_path, engine)).table("t.csv"), "t.csv").to_pylist() for engine in ("duckdb", "spark")
    ]
    assert found[0] == found[1]


def _one_quiet_line(caught, capfd):
    """One line, no trace of Java or Python, and nothing on the terminal."""
    assert "\n" not in str(caught.value) and "Traceback" not in str(caught.value) and "\tat " not in str(caught.value)
    assert capfd.readouterr() == ("", "")
