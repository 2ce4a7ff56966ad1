"""Tables through Ibis: files by DuckDB, PostgreSQL, Spark. What an engine says of a failure becomes one line."""

from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa
from ibis.expr.types import Table
from ibis.expr.types import Value as Column

from features import engines
from features.data_config import Data
from features.errors import ConfigError, DataError

__all__ = ["Column", "Source", "Table", "fetch", "require"]

_SPEAKERS = {"_duckdb", "duckdb", "grpc", "ibis", "psycopg", "py4j", "pyarrow", "pyspark", "sqlglot"}
_REMEDIES = {
    "duckdb": "check data.yaml: engine",
    "postgres": "check that the server runs and that data.yaml: engine.postgres.env names its address",
    "spark": "check data.yaml: engine.spark, and that Java 17 or newer is there",
}


class Source:
    """The tables that one ``data.yaml`` names, on its engine. Reads only; every failure is a DataError that says where.

    Raises ConfigError when the engine is not installed or its settings name nothing.
    """

    def __init__(self, data: Data):
        self.data = data
        self.name = data.engine.name
        try:
            with _told(f"engine {self.name}", "be reached", _REMEDIES[self.name]):
                self.engine = engines.KINDS[self.name](data)
        except ConfigError as error:
            raise ConfigError(f"data.yaml: {error}") from None

    def table(self, name: str) -> Table:
        """A table by its name in the YAML: a file, a glob of files, ``file.duckdb:table``, or a table of a database."""
        with _told(name):
            return self.engine.table(name)

    def batches(self, table: Table, name: str) -> Iterator[pa.Table]:
        """The rows of a query in pieces, as they come, never all at once. Raises DataError when the engine cannot.

        Read one query to its end before the next one of the same source.
        """
        return _pieces(table, name)


def fetch(table: Table, name: str) -> pa.Table:
    """Run the query: for results that fit in memory. Raises DataError when the engine cannot."""
    with _told(name):
        pieces = list(_pieces(table, name, whole=True))
    return pa.concat_tables(pieces) if pieces else table.schema().to_pyarrow().empty_table()


def require(table: Table, name: str, columns: dict[str, str]) -> None:
    """Raise DataError unless the table has the columns; keys are the YAML paths that ask for them."""
    for path, column in columns.items():
        if column not in table.columns:
            there = ", ".join(table.columns)
            raise DataError(f"{path}: {name} has no column {column}; columns: {there}")


def _pieces(table: Table, name: str, whole: bool = False) -> Iterator[pa.Table]:
    with _told(name):
        schema = table.schema().to_pyarrow()
        for batch in engines.read(table, whole):
            yield pa.Table.from_batches([batch]).cast(schema)


@contextmanager
def _told(name: str, what: str = "be read", remedy: str = "check the table") -> Iterator[None]:
    """Whatever an engine raises inside becomes one line; an error of our own passes."""
    try:
        yield
    except Exception as error:
        if not isinstance(error, OSError) and type(error).__module__.split(".")[0] not in _SPEAKERS:
            raise
        if "not utf-8 encoded" in str(error):  # met in the middle of a file, long after its first lines
            raise DataError(f"{name} {engines.NOT_UTF8}") from None
        raise DataError(f"{name}: cannot {what} ({_reason(error)}); {remedy}") from None


def _reason(error: Exception) -> str:
    """The first thing an engine says, without its traces."""
    java = getattr(error, "java_exception", None)
    text = (java.getMessage() if java is not None else None) or str(error) or type(error).__name__
    lines = [*filter(None, (part.strip() for part in text.splitlines())), type(error).__name__]
    line = f"{lines[0]}: {lines[2]}" if "CSV Error on Line" in lines[0] and len(lines) > 3 else lines[0]
    return line if len(line) <= 240 else line[:239] + "…"
