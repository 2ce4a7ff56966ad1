"""The golden run, and what it leaves behind."""

import io
import json
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import yaml

from serving.lists import daily
from tests.golden import regenerate
from training import tracking
from training.bundle import save

SUFFIXES = {".pkl", ".pickle", ".p", ".joblib", ".dill", ".cloudpickle", ".sav", ".npy", ".npz", ".pt", ".pth"}
HEADERS = tuple(bytes([0x80, protocol]) for protocol in range(2, 6))


@pytest.fixture(scope="module")
def walked(tmp_path_factory) -> tuple[Path, dict]:
    """The workspace of the golden run, and its list."""
    home = tmp_path_factory.mktemp("walked")
    return home / "saas", regenerate.walk(home)


def test_the_list_is_the_golden_one(walked):
    """If the change is meant: ``python -m tests.golden.regenerate``, and commit the diff with the code."""
    assert walked[1] == json.loads(regenerate.LIST.read_text("utf-8"))


def pickled(name: str, content: bytes) -> bool:
    """Whether a file is a pickle, is named like one, or is an archive that holds one."""
    if Path(name).suffix in SUFFIXES or content.startswith(HEADERS):
        return True
    if not zipfile.is_zipfile(io.BytesIO(content)):
        return False
    with zipfile.ZipFile(io.BytesIO(content)) as inside:
        return any(pickled(one, inside.read(one)) for one in inside.namelist())


def pickles(home: Path) -> list[Path]:
    """The pickles among all files but the database, and the MLmodel files that name one."""
    kept = [path for path in home.rglob("*") if path.is_file() and path.suffix != ".db"]
    models = [path for path in kept if path.name == "MLmodel"]
    assert models and [path for path in kept if path.name == "manifest.json" and "mlartifacts" in path.parts]
    found = [path for path in kept if pickled(path.name, path.read_bytes())]
    return found + [path for path in models if not _is_code_alone(path)]


def _is_code_alone(path: Path) -> bool:
    """Whether a registered model is a file of Python beside its bundle, and no ``python_model`` object."""
    flavors = yaml.safe_load(path.read_text("utf-8"))["flavors"]
    pyfunc = flavors["python_function"]
    code = path.with_name(Path(pyfunc["model_code_path"]).name)
    return set(flavors) == {"python_function"} and "python_model" not in pyfunc and code.is_file()


def test_no_pickle_in_what_a_training_leaves(walked):
    assert pickles(walked[0]) == []


def test_no_pickle_where_a_rule_is_served(ravenstack):
    assert pickles(ravenstack[1].config.home) == []


def test_no_pickle_in_the_registry_of_boosted_trees(world_of, tmp_path):
    bundle = daily.champions(world_of("saas").config)["churn"]
    assert bundle.info.kind == "lightgbm"
    save(bundle, tmp_path / "run" / "bundle")
    tracking.record(tmp_path / "home", "trees", tmp_path / "run", params={}, tags={}, figures={}, series={})
    assert list((tmp_path / "home").rglob("model.txt")) and pickles(tmp_path / "home") == []


def test_the_search_for_pickles_finds_them():
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as inside:
        inside.writestr("part", pickle.dumps([1]))
    array = io.BytesIO()
    np.save(array, np.array([{}], dtype=object))
    assert all(pickled("model", pickle.dumps({"a": 1}, protocol)) for protocol in range(2, 6))
    assert pickled("model", archive.getvalue()) and pickled("model.joblib", b"") and pickled("a.npy", array.getvalue())
    assert not pickled("model.txt", b"tree\nversion=v4\n")
