"""The three data sets of configs/ give one content hash on every engine: days, sums, entities, outcomes, attributes."""

import io
import json
import os
from pathlib import Path

import psycopg
import pyarrow as pa
import pyarrow.csv as csv
import pyarrow.parquet as parquet
import pytest
import yaml

from features import config, snapshot
from features.config import read
from features.data_config import Root
from features.snapshot_config import SnapshotConfig
from tests.engines.world import ADDRESS, ENGINES, SQL

ROOT = Path(__file__).parents[2]


SETS = ["relax", "grocery", "saas"]


@pytest.fixture(scope="session")
def company(request, tmp_path_factory):
    """The YAML of one data set, with the folder of its tables, and its content hash on DuckDB."""
    name = request.param
    data = read(ROOT / "configs" / name / "data.yaml")
    if name == "relax":
        request.getfixturevalue("datasets")
    if name == "saas":
        data["root"] = str(request.getfixturevalue("simulated"))
    model = read(ROOT / "configs" / name / "churn.yaml") | {"as_of": {"every": "month", "test_dates": 2}}
    folder = tmp_path_factory.mktemp(name)
    return folder, data, model, content(folder, data, model)


def content(folder: Path, data: dict, model: dict) -> str:
    (folder / "data.yaml").write_text(yaml.safe_dump(data, allow_unicode=True), encoding="utf-8")
    (folder / "churn.yaml").write_text(yaml.safe_dump(model, allow_unicode=True, default_flow_style=None), "utf-8")
    settings = config.load(folder / "churn.yaml", SnapshotConfig)
    return snapshot.build(settings, snapshot.dates(settings), labels=True).fingerprint


def loaded(folder: Path, data: dict) -> dict:
    """The same tables in PostgreSQL, under the names of their files."""
    text = json.dumps(data)
    with psycopg.connect(os.environ[ADDRESS], autocommit=True) as connection:
        for path in sorted(folder.glob("*.parquet")):
            if f'"{path.name}"' not in text:
                continue
            table = f"{folder.name}_{path.stem}".lower().replace("-", "_")
            rows = plain(parquet.read_table(path))
            columns = ", ".join(f'"{field.name}" {SQL[field.type]}' for field in rows.schema)
            connection.execute(f'drop table if exists "{table}"; create table "{table}" ({columns})')
            lines = io.BytesIO()
            csv.write_csv(rows, lines)
            with connection.cursor().copy(f'copy "{table}" from stdin (format csv, header)') as copy:
                copy.write(lines.getvalue())
            text = text.replace(f'"{path.name}"', f'"{table}"')
    return json.loads(text) | {"engine": ENGINES["postgres"]}


def plain(rows: pa.Table) -> pa.Table:
    """Only types that PostgreSQL has."""
    kinds = {pa.int32(): pa.int64(), pa.int8(): pa.int64(), pa.int16(): pa.int64(), pa.float32(): pa.float64()}
    kinds |= {pa.large_string(): pa.string()}
    types = [kinds.get(field.type, field.type) for field in rows.schema]
    types = [pa.timestamp("us", kind.tz) if pa.types.is_timestamp(kind) else kind for kind in types]
    return rows.cast(pa.schema([(field.name, kind) for field, kind in zip(rows.schema, types, strict=True)]))


@pytest.mark.parametrize("company", SETS, indirect=True)
def test_postgres_gives_the_same_content(company, postgres):
    folder, data, model, expected = company
    tables = Root.model_validate(data["root"] if isinstance(data["root"], dict) else {"path": data["root"]}).folder()
    assert content(folder, loaded(tables, data), model) == expected


@pytest.mark.parametrize("company", [*SETS[:2], pytest.param("saas", marks=pytest.mark.soak)], indirect=True)
def test_spark_gives_the_same_content(company, spark):
    folder, data, model, expected = company
    assert content(folder, data | {"engine": ENGINES["spark"]}, model) == expected
