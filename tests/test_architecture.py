"""The shape of the house: who may import what, and that the top-level names are ours."""

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("features", "training", "serving", "simulation")
FILES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))

# Where each heavy library may be imported; a library is known to one file and its tests.
HOMES = {
    "mlflow": {"training/tracking.py", "training/pyfunc.py"},
    "bentoml": {"serving/service.py"},
    "lightgbm": {"training/models.py", "training/cluster.py"},
    "dask": {"training/cluster.py"},
    "distributed": {"training/cluster.py"},
    "optuna": {"training/tuning/study.py", "training/tuning/space.py"},
    "empulse": {"training/worth/profit.py"},
    "numba": {"features/kernel.py", "features/entity_kernel.py", "features/rollup.py", "training/kernel.py"},
    "duckdb": set(),
    "ibis": {f"features/{name}.py" for name in ("engines", "sources", "columns", "pushdown")},
    "pyspark": {"features/engines.py", "features/spark.py"},
    "psycopg": {"features/engines.py"},
    "shap": set(),
    "fastapi": set(),
    "prometheus_client": {"serving/guards/metrics.py"},
    "stamina": {"serving/stores/database.py"},
    "xlsxwriter": {"serving/http/spreadsheet.py"},
    "pickle": set(),
    "cloudpickle": set(),
    "dill": set(),
    "joblib": set(),
    "skops": set(),
}


def imported(path: Path) -> Iterator[str]:
    """The top-level name of every import in a file, lazy ones included."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.split(".")[0]


def outcome(code: str) -> str:
    """What a fresh interpreter prints."""
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_the_import_contracts_hold():
    lint = Path(sys.executable).parent / "lint-imports"
    done = subprocess.run([lint, "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("library", sorted(HOMES))
def test_a_heavy_library_has_one_home_and_a_pickle_none(library):
    users = {path.relative_to(ROOT).as_posix() for path in FILES if library in imported(path)}
    assert users <= HOMES[library]


def test_packages_say_nothing_on_import():
    assert [path for path in FILES if path.name == "__init__.py" and path.read_text().strip()] == []


def test_every_package_is_shipped():
    shipped = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["setuptools"]["packages"]
    there = {path.parent.relative_to(ROOT) for room in ROOMS for path in (ROOT / room).rglob("__init__.py")}
    assert sorted(shipped) == sorted(".".join(path.parts) for path in there)


def test_only_we_provide_our_top_level_names():
    providers = packages_distributions()
    assert {name: providers[name] for name in ROOMS if set(providers.get(name, [])) - {"tsunagi"}} == {}


def test_every_room_is_ours_where_it_is_imported_from():
    code = f"import {', '.join(ROOMS)}; print({', '.join(f'{room}.__file__' for room in ROOMS)}, sep='\\n')"
    assert outcome(code).splitlines() == [str(ROOT / room / "__init__.py") for room in ROOMS]


def test_doors_start_without_the_heavy_libraries():
    heavy = {"mlflow", "bentoml", "lightgbm", "shap", "sklearn", "matplotlib", "pyspark", "psycopg"}
    for room in ("features", "training", "serving"):
        assert heavy.isdisjoint(outcome(f"import sys, {room}.__main__; print(*sys.modules)").split()), room


def test_constraints_are_exact_versions_only():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    versions = [line.split(";")[0] for line in lines]
    assert [line for line in versions if line.count("==") != 1 or set(line) & set("/@ ")] == []
    assert versions == sorted(versions, key=str.lower)
