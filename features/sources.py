"""Tables through Ibis on DuckDB: Parquet, CSV and DuckDB files."""

import glob
import os
from collections.abc import Sequence

import duckdb
import ibis
import pyarrow as pa
from ibis.common.exceptions import IbisError
from ibis.expr.types import Table
from ibis.expr.types import Value as Column

from features.data_config import Data
from features.errors import ConfigError, DataError

__all__ = ["Column", "Source", "Table", "fetch", "only", "require"]


class Source:
    """The tables that one ``data.yaml`` names. Reads only; every failure is a DataError that says where."""

    def __init__(self, data: Data):
        self.data = data
        try:
            self.folder = data.root.folder()
        except ConfigError as error:
            raise ConfigError(f"data.yaml: {error}") from None
        threads = os.environ.get("OMP_NUM_THREADS") or os.cpu_count() or 1
        self.connection = ibis.duckdb.connect(threads=int(threads))
        self.attached: dict[str, str] = {}

    def table(self, name: str) -> Table:
        """A table by its name in the YAML: a Parquet or CSV file or glob, or ``file.duckdb:table``."""
        try:
            if ".duckdb:" in name:
                file, _, inner = name.rpartition(":")
                path = self._existing(name, file)[0]
                if path not in self.attached:
                    self.attached[path] = f"file_{len(self.attached)}"
                    self.connection.attach(path, self.attached[path], read_only=True)
                return self.connection.table(inner, database=(self.attached[path], "main"))
            paths = self._existing(name, name)
            if name.endswith((".csv", ".csv.gz")):
                return self.connection.read_csv(paths, all_varchar=True, header=True)
            return self.connection.read_parquet(paths)
        except (duckdb.Error, IbisError) as error:
            reason = str(error).splitlines()[0]
            raise DataError(f"{name}: cannot be read ({reason}); give a Parquet, CSV or DuckDB table") from None

    def _existing(self, name: str, file: str) -> list[str]:
        if not file.endswith((".parquet", ".csv", ".csv.gz", ".duckdb")):
            raise DataError(f"{name}: unknown kind of table; allowed: *.parquet, *.csv, *.csv.gz, file.duckdb:table")
        paths = sorted(glob.glob(str(self.folder / file)))
        if not paths:
            raise DataError(f"{name}: no such file in {self.folder}; check data.yaml: root and the table's name")
        return paths


def fetch(table: Table, name: str) -> pa.Table:
    """Run the query. Raises DataError when the engine cannot."""
    try:
        return table.to_pyarrow()
    except (duckdb.Error, IbisError) as error:
        raise DataError(f"{name}: cannot be read ({str(error).splitlines()[0]}); check the file") from None


def require(table: Table, name: str, columns: dict[str, str]) -> None:
    """Raise DataError unless the table has the columns; keys are the YAML paths that ask for them."""
    for path, column in columns.items():
        if column not in table.columns:
            there = ", ".join(table.columns)
            raise DataError(f"{path}: {name} has no column {column}; columns: {there}")


def only(table: Table, customers: Sequence[str] | None) -> Table:
    """The rows of these customers, by the column ``id``; all rows when None."""
    return table if customers is None else table.filter(table["id"].isin(list(customers)))
