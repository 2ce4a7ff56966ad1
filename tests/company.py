"""Small companies for the tests: tables and YAML files in a folder."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

DATA: dict[str, Any] = {
    "name": "tiny",
    "timezone": "UTC",
    "customers": {"table": "customers.parquet", "id": "id"},
    "streams": {"login": {"table": "logins.parquet", "at": "at"}},
}
CHURN: dict[str, Any] = {
    "data": "data.yaml",
    "population": {"seen": {"streams": ["login"], "days": 30}},
    "outcome": {"kind": "inactivity", "streams": ["login"], "horizon_days": 30},
    "as_of": {"every": "28d", "test_dates": 2},
    "windows": {"days": [7, 28]},
}


def merged(base: dict, changes: dict) -> dict:
    """A copy of ``base`` with ``changes`` in it; a value of None takes the key out."""
    out = deepcopy(base)
    for key, value in changes.items():
        if value is None:
            out.pop(key, None)
        elif isinstance(value, dict) and isinstance(out.get(key), dict):
            out[key] = merged(out[key], value)
        else:
            out[key] = value
    return out


def tables(folder: Path, **frames: Any) -> None:
    """Write each frame (or list of rows) as a Parquet file of its name."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in frames.items():
        pd.DataFrame(rows).to_parquet(folder / f"{name}.parquet", index=False)


def configs(folder: Path, data: dict | None = None, model: dict | None = None) -> Path:
    """Write data.yaml and churn.yaml; returns the path of churn.yaml."""
    folder.mkdir(parents=True, exist_ok=True)
    own = merged(DATA, {"root": str(folder)} | (data or {}))
    (folder / "data.yaml").write_text(yaml.safe_dump(own, allow_unicode=True, sort_keys=False), encoding="utf-8")
    path = folder / "churn.yaml"
    text = yaml.safe_dump(merged(CHURN, model or {}), allow_unicode=True, sort_keys=False)
    path.write_text(text, encoding="utf-8")
    return path


def logins(customers: int = 40, weeks: int = 40, first: str = "2025-01-06") -> tuple[pd.DataFrame, pd.DataFrame]:
    """A regular company: customer i logs in every (1 + i % 9) days and every fifth falls silent half way."""
    start = pd.Timestamp(first)
    rows = []
    for i in range(customers):
        days = weeks * 7 // 2 if i % 5 == 0 else weeks * 7
        rows += [(f"c{i:03}", start + pd.Timedelta(days=d, hours=9)) for d in range(i % 3, days, 1 + i % 9)]
    people = pd.DataFrame({"id": [f"c{i:03}" for i in range(customers)]})
    return people, pd.DataFrame(rows, columns=["id", "at"])
