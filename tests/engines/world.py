"""Tables put where each engine finds them."""

import os
from pathlib import Path

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq

from features.data_config import Data
from tests import company

ADDRESS = "TSUNAGI_TEST_DATABASE_URL"
SPARK = {"spark": {"master": "local-cluster[2,1,1024]", "config": {"spark.sql.shuffle.partitions": 2}}}
ENGINES = {"duckdb": "duckdb", "postgres": {"postgres": {"env": ADDRESS}}, "spark": SPARK}
SQL = {pa.int64(): "bigint", pa.float64(): "double precision", pa.string(): "text", pa.date32(): "date", pa.bool_(): "boolean"}  # fmt: skip
SQL |= {pa.timestamp("us"): "timestamp", pa.timestamp("us", "UTC"): "timestamptz"}


def data(folder: Path, engine: str, **changes) -> Data:
    return Data.model_validate(company.merged(company.DATA, {"root": str(folder), "engine": ENGINES[engine]} | changes))


def write(engine: str, folder: Path, name: str, rows: pa.Table) -> str:
    """Put a table where the engine finds it; returns its name for the YAML."""
    if engine != "postgres":
        pq.write_table(rows, folder / f"{name}.parquet")
        return f"{name}.parquet"
    columns = ", ".join(f'"{field.name}" {SQL[field.type]}' for field in rows.schema)
    with psycopg.connect(os.environ[ADDRESS], autocommit=True) as connection:
        connection.execute(f'drop table if exists "{name}"; create table "{name}" ({columns})')
        with connection.cursor().copy(f'copy "{name}" from stdin') as copy:
            for row in rows.to_pylist():
                copy.write_row(list(row.values()))
    return name
