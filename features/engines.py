"""Three engines behind one door: DuckDB in this process, a PostgreSQL server, a Spark. Imported when first used."""

import codecs
import csv
import glob
import gzip
import io
import os
import re
import subprocess
import sys
import warnings
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import ibis
import pyarrow as pa
import pyarrow.csv
from ibis.expr.types import Table

from features.data_config import Data, Spark, workspace
from features.errors import ConfigError, DataError

FILES = (".parquet", ".csv", ".csv.gz")
CHUNK = 16 << 20
NOT_UTF8 = "is not UTF-8; save it as UTF-8 (Excel: CSV UTF-8)"


class Duckdb:
    """Parquet and CSV files, globs of them, and tables in DuckDB files."""

    def __init__(self, data: Data):
        assert data.root is not None
        self.folder = data.root.folder()
        # Nobody relies on the order of rows; a cache of files would not notice one that was written anew.
        settings = {"preserve_insertion_order": False, "enable_external_file_cache": False}
        self.connection = ibis.duckdb.connect(**settings)
        self.attached: dict[str, str] = {}

    def table(self, name: str) -> Table:
        if ".duckdb:" in name:
            file, _, inner = name.rpartition(":")
            path = self._existing(name, file)[0]
            if path not in self.attached:
                self.attached[path] = f"file_{len(self.attached)}"
                self.connection.attach(path, self.attached[path], read_only=True)
            return self.connection.table(inner, database=(self.attached[path], "main"))
        paths = self._existing(name, name)
        return self.files(name, paths)

    def files(self, name: str, paths: list[str], **options: str) -> Table:
        """Some files of a table. Raises DataError on a CSV file that is empty or not UTF-8, or on a line that has not
        as many cells as the header.
        """
        if not name.endswith((".csv", ".csv.gz")):
            return self.connection.read_parquet(paths, **options)
        _refuse_empty(name, paths[0])
        dialect = {"all_varchar": True, "header": True, "skip": 0, "delim": _separator(paths[0]), "quote": '"'}
        try:
            return self.connection.read_csv(paths, **dialect, escape='"', **options)
        except Exception:
            for path in paths:
                _refuse_undecodable(name, path)
                _refuse_ragged(name, path)
            raise

    def _existing(self, name: str, file: str) -> list[str]:
        if not file.endswith((*FILES, ".duckdb")):
            raise DataError(f"{name}: unknown kind of table; allowed: *.parquet, *.csv, *.csv.gz, file.duckdb:table")
        paths = sorted(glob.glob(str(self.folder / file)))
        if not paths:
            raise DataError(f"{name}: no such file in {self.folder}; check data.yaml: root and the table's name")
        return paths


def _opened(path: str) -> Any:
    return gzip.open(path) if path.endswith(".gz") else open(path, "rb")


def _separator(path: str) -> str:
    with _opened(path) as file:
        return max(",;\t|", key=file.readline().decode("utf-8", "replace").count)


def _named(name: str, path: str) -> str:
    """The table, and which of its files where it is a glob."""
    return name if name.endswith(Path(path).name) else f"{name}: {Path(path).name}"


def _refuse_empty(name: str, path: str) -> None:
    """Raise DataError when the first file, whose header is that of the table, holds nothing."""
    with _opened(path) as file:
        if not file.read(1 << 10).removeprefix(codecs.BOM_UTF8).strip():
            raise DataError(f"{_named(name, path)} is empty; write it again, with a header and rows")


def _refuse_undecodable(name: str, path: str) -> None:
    """Raise DataError when a CSV file is not UTF-8."""
    with _opened(path) as file, io.TextIOWrapper(file, "utf-8", newline="") as text:
        try:
            while text.read(CHUNK):
                pass
        except UnicodeDecodeError:
            raise DataError(f"{_named(name, path)} {NOT_UTF8}") from None


def _refuse_ragged(name: str, path: str) -> None:
    """Raise DataError when a line of a CSV file has not as many cells as its header."""
    with _opened(path) as file, io.TextIOWrapper(file, "utf-8", "replace", newline="") as text:
        lines = csv.reader(text, delimiter=_separator(path))
        header = len(next(lines, []))
        for cells in lines:
            if cells and len(cells) != header:
                where = f"{name}: line {lines.line_num} of {Path(path).name}"
                raise DataError(
                    f"{where} has {len(cells)} cells, the header has {header}; mend the line, or put a cell that "
                    "holds the separator in quotes"
                )


class Postgres:
    """Tables and views of a PostgreSQL database, ``table`` or ``schema.table``, in read-only transactions."""

    def __init__(self, data: Data):
        assert data.engine.postgres is not None
        address = data.engine.postgres.address()
        psycopg = _library("psycopg", "psycopg[binary]", "postgres")
        try:
            psycopg.conninfo.conninfo_to_dict(address)
        except psycopg.ProgrammingError:  # its text may repeat a password
            raise ConfigError(
                f"engine.postgres.env: {data.engine.postgres.env} holds no address of a PostgreSQL database; "
                "write postgresql://user:password@host:5432/database"
            ) from None
        connection = psycopg.connect(address, autocommit=True, connect_timeout=10)
        connection.execute("set default_transaction_read_only = on")
        self.connection = ibis.postgres.from_connection(connection)
        weakref.finalize(self.connection, connection.close)

    def table(self, name: str) -> Table:
        schema, _, inner = name.rpartition(".")
        return self.connection.table(inner, database=schema or None)


class SparkEngine:
    """Files or folders of them below the root, by name or glob, and tables of Spark's catalogue."""

    def __init__(self, data: Data):
        assert data.engine.spark is not None
        self.root = None if data.root is None else data.root.place()
        with pandas_unsaid():
            self.session = _session(data.engine.spark, workspace(data))
            self.connection = ibis.pyspark.connect(self.session)
        self.views = 0

    def table(self, name: str) -> Table:
        if not name.endswith(FILES):
            return self._zoned(name)
        if self.root is None:
            raise DataError(f"{name}: a file, but data.yaml has no root; add root, or name a table of the catalogue")
        path = f"{self.root.rstrip('/')}/{name}"
        csv = {"header": True, "escape": '"', "multiLine": True, "mode": "FAILFAST", "enforceSchema": False}
        read = self.session.read
        frame = read.parquet(path) if name.endswith(".parquet") else read.options(**csv).csv(path)
        self.views += 1
        frame.createOrReplaceTempView(f"file_{id(self)}_{self.views}")
        return self._zoned(f"file_{id(self)}_{self.views}")

    def _zoned(self, name: str) -> Table:
        """Ibis tells no zone of a Spark column; the instants get theirs, wall-clock times stay without."""
        *schema, inner = name.split(".")
        table = self.connection.table(inner, database=tuple(schema) or None)
        kinds = {field.name: field.dataType.typeName() for field in self.session.table(name).schema}
        instants = [column for column, kind in kinds.items() if kind == "timestamp"]
        return table.mutate(**{column: table[column].cast("timestamp('UTC')") for column in instants})


KINDS: dict[str, Callable[[Data], Any]] = {"duckdb": Duckdb, "postgres": Postgres, "spark": SparkEngine}


def _library(module: str, package: str, engine: str) -> ModuleType:
    try:
        return __import__(module)
    except ImportError:
        raise ConfigError(f"engine.{engine}: {module} is not installed; install {package} with pip") from None


def _session(spark: Spark, folder: Path) -> Any:
    """The Spark session of this process; started quietly, and only when there is none yet."""
    pyspark = _library("pyspark", "pyspark", "spark")
    from pyspark.logger import PySparkLogger
    from pyspark.sql import SparkSession

    for name in ("SQLQueryContextLogger", "DataFrameQueryContextLogger"):
        PySparkLogger.getLogger(name).disabled = True  # it prints the Java trace of every error
    active = SparkSession.getActiveSession()
    if ".connect." in type(active).__module__:  # its builder does not know it again
        return active
    if active is not None or pyspark.SparkContext._active_spark_context is not None:
        return SparkSession.builder.getOrCreate()
    settings: dict[str, Any] = {key: str(value) for key, value in spark.config.items()}
    if spark.remote or os.environ.get("SPARK_REMOTE"):
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)  # remote: "local[2]" starts a server here
        builder = SparkSession.builder.remote(spark.remote) if spark.remote else SparkSession.builder
        return builder.config(map=settings).getOrCreate()
    return _started(pyspark, spark.master or os.environ.get("MASTER") or "local[*]", settings, folder)


def _started(pyspark: Any, master: str, settings: dict[str, Any], folder: Path) -> Any:
    """A session with a driver in this process. Java says nothing on the terminal; workers write below ``folder``."""
    from pyspark.java_gateway import launch_gateway
    from pyspark.sql import SparkSession

    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    os.environ.setdefault("SPARK_HOME", str(Path(pyspark.__file__).parent))
    os.environ.setdefault("SPARK_WORKER_DIR", str(folder.resolve() / "spark"))
    usual = {"spark.app.name": "tsunagi", "spark.ui.enabled": "false", "spark.log.level": "OFF"}
    if master.startswith("local"):
        os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
        usual |= {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}
    conf = pyspark.SparkConf().setMaster(master).setAll(list((usual | settings).items()))
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    pyspark.SparkContext._ensure_initialized(gateway=launch_gateway(conf, quiet))
    return SparkSession.builder.config(conf=conf).getOrCreate()


@contextmanager
def pandas_unsaid() -> Iterator[None]:
    """Without PySpark's word on pandas, which we never hand to it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "PySpark does not yet fully support pandas", FutureWarning)
        yield


def read(table: Table, whole: bool = False) -> Iterator[pa.RecordBatch]:
    """The rows of a query in pieces; ``whole``: small enough to be sent at once."""
    backend = table.get_backend()
    if whole and backend.name == "pyspark":
        return iter(backend._session.sql(backend.compile(table)).toArrow().to_batches())
    if backend.name == "duckdb":  # one core is for whoever takes the pieces
        threads = int(os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1)
        backend.con.execute(f"set threads = {threads if whole else max(1, threads - 1)}")
    return READERS[backend.name](table, table.schema().to_pyarrow())


def _from_duckdb(table: Table, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    backend = table.get_backend()
    query = backend.compile(table)
    return _explained(iter(backend.raw_sql(query).arrow(1 << 20)), backend, query)


def _explained(batches: Iterator[pa.RecordBatch], backend: Any, query: str) -> Iterator[pa.RecordBatch]:
    """The batches. Where one thread fails, the others are interrupted, and one of them may be heard first: asked again
    by one thread, the query says what is wrong.
    """
    try:
        yield from batches
    except Exception as error:
        if "INTERRUPT Error" in str(error):
            backend.con.execute("set threads = 1")
            for _ in backend.raw_sql(query).arrow(1 << 20):
                pass
        raise


def _from_postgres(table: Table, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """COPY as CSV: a null is empty, a text is in quotes where it must be; one message of the server is one row."""
    backend = table.get_backend()
    read = pa.csv.ReadOptions(column_names=schema.names)
    parse = pa.csv.ParseOptions(newlines_in_values=True)
    types = {"column_types": schema, "null_values": [""], "true_values": ["t"], "false_values": ["f"]}
    convert = pa.csv.ConvertOptions(**types, strings_can_be_null=True, quoted_strings_can_be_null=False)
    with backend.con.cursor() as cursor, cursor.copy(f"copy ({backend.compile(table)}) to stdout (format csv)") as rows:
        for chunk in _chunks(rows):
            try:
                made = pa.csv.read_csv(pa.BufferReader(chunk), read, parse, convert)
            except pa.ArrowInvalid as error:
                raise _told_plainly(error, schema.names) from None
            yield from made.to_batches()


def _told_plainly(error: pa.ArrowInvalid, names: list[str]) -> pa.ArrowInvalid:
    """The server has moments that no other engine has: infinity, years before Christ and after 9999."""
    found = re.search(r"column #(\d+): .* to (timestamp|date)[^:]*: invalid value '([^']*)'", str(error))
    if not found:
        return error
    where, what = names[int(found[1])], found[3]
    return pa.ArrowInvalid(f"{where}: {what} is no date or time stamp of the years 1 to 9999; use null instead")


def _chunks(rows: Any) -> Iterator[bytearray]:
    """Whole rows, some megabytes at a time."""
    held = bytearray()
    for row in rows:
        held += row
        if len(held) >= CHUNK:
            yield held
            held = bytearray()
    if held:
        yield held


def _from_spark(table: Table, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Every batch travels as one binary row, one partition after the other; nothing else streams from Spark."""
    backend = table.get_backend()

    def packed(parts: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for part in parts:
            sink = pa.BufferOutputStream()
            with pa.ipc.new_stream(sink, part.schema) as writer:
                writer.write_batch(part)
            yield pa.RecordBatch.from_arrays([pa.array([sink.getvalue().to_pybytes()], pa.binary())], ["batch"])

    frame = backend._session.sql(backend.compile(table))
    with pandas_unsaid():
        lines = frame.mapInArrow(packed, "batch binary").toLocalIterator()
    for row in lines:
        yield from pa.ipc.open_stream(row["batch"])


READERS = {"duckdb": _from_duckdb, "postgres": _from_postgres, "pyspark": _from_spark}
