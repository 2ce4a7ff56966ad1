"""A training kept: its files, the same bundle again from its run, the registry down, the wrong config."""

import json
import os
import shutil

import pytest

from features.config import load
from features.data_config import workspace
from tests.company import configs, tables
from tests.unit.test_training_door import pytestmark as quiet
from tests.unit.test_training_door import said
from tests.unit.test_training_job import TRAINING, company, written
from training.__main__ import main
from training.bundle import champion
from training.bundle import load as load_bundle
from training.config import TrainConfig

pytestmark = quiet
DOWN = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kept")
    tables(folder, **company())
    data = {"name": "kept", "streams": {"ticket": {"table": "tickets.parquet", "at": "at"}}}
    changes = {"as_of": {"every": "28d", "test_dates": 3, "first": "2025-03-03"}, "candidates": ["logistic"]}
    return configs(folder, data, {**TRAINING, **changes})


@pytest.fixture(scope="module")
def first(path):
    """The JSON answer of the first training: the champion."""
    import contextlib
    import io

    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        assert main(["train", str(path), "--json"]) == 0
    return json.loads(out.getvalue().splitlines()[-1])


def home(path):
    return workspace(load(path, TrainConfig).data)


def test_a_run_says_how_long_each_stage_took_and_keeps_its_card(path, first):
    import mlflow

    client = mlflow.MlflowClient(f"sqlite:///{home(path).resolve() / 'mlflow.db'}")
    metrics = client.get_run(first["run_id"]).data.metrics
    for stage in ("snapshot", "checks", "rows", "selection", "test", "grade", "refit", "worth"):
        assert metrics[f"seconds_{stage}"] == pytest.approx(first["seconds"][stage], abs=0.001)
    assert 0.05 < metrics["peak_gigabytes"] < 50
    kept = {item.path for item in client.list_artifacts(first["run_id"], "report")}
    assert {f"report/{name}" for name in ("card.json", "card.html", "card-ja.html", "report-ja.html")} <= kept
    version = client.get_model_version("kept-churn", first["registered"])
    assert "**Grade A" in version.description


@pytest.mark.parametrize("named", [True, False])
def test_a_training_from_a_run_gives_the_very_bundle_again(path, first, named, capsys):
    words = [str(path)] if named else []
    assert main(["train", *words, "--from-run", first["run_id"], "--json"]) == 0
    answer = json.loads(said(capsys)[0][-1])
    assert answer["version"] == first["version"]
    assert answer["again"] == f"the same bundle as then, byte for byte: {first['version']}"


def test_a_run_that_is_not_there_or_asked_for_with_changes_is_one_message(path, first, capsys):
    assert main(["train", str(path), "--from-run", "0" * 32]) == 2
    assert f"run {'0' * 32}: not a training that is recorded here" in said(capsys)[1]
    assert main(["train", str(path), "--from-run", first["run_id"], "--set", "holdout=0.2"]) == 2
    assert "leave --set out" in said(capsys)[1]
    assert main(["train"]) == 2
    assert "give CONFIG" in said(capsys)[1]


def test_with_the_registry_down_nothing_is_registered_and_everything_is_kept(path, first, capsys, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    before = load_bundle(champion(home(path), "churn")).version
    monkeypatch.setenv("MLFLOW_TRACKING_URI", DOWN)
    assert main(["train", str(path), "--set", "holdout=0.2"]) == 2
    error = said(capsys)[1]
    left = next((home(path) / "unregistered").iterdir())
    assert (
        "start it, or unset MLFLOW_TRACKING_URI" in error
        and left.name == f"churn-{load_bundle(left / 'bundle').version}"
    )
    assert error.splitlines()[-1].startswith(f"error: {DOWN}: MLflow cannot use it")
    assert f"are kept in {left}" in error and f"register {path} {left}" in error
    assert load_bundle(champion(home(path), "churn")).version == before
    kept = load_bundle(left / "bundle")
    assert kept.info.holdout == 0.2 and (left / "report-ja.html").is_file()
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert main(["register", str(path), str(left), "--json"]) == 0
    answer = json.loads(said(capsys)[0][-1])
    assert answer["promoted"] and load_bundle(champion(home(path), "churn")).version == kept.version
    assert main(["register", str(path), str(left)]) == 2 and not left.exists()
    assert "run.json is missing" in said(capsys)[1]


def test_kept_files_of_another_model_are_not_registered(path, first, tmp_path, capsys):
    other = written(tmp_path, company(), model="other")
    found = home(path) / "bundles" / os.listdir(home(path) / "bundles")[0]
    shutil.copytree(found, tmp_path / "kept" / "bundle")
    assert main(["register", str(other), str(tmp_path / "kept")]) == 2
    assert "holds the model kept/churn, and the config is of tiny/other" in said(capsys)[1]
    assert main(["register", str(path), str(tmp_path / "kept")]) == 2
    assert "run.json is missing or damaged" in said(capsys)[1]


def test_a_tampered_bundle_is_not_registered(path, first, tmp_path, capsys):
    found = home(path) / "bundles" / os.listdir(home(path) / "bundles")[0]
    shutil.copytree(found, tmp_path / "kept" / "bundle")
    with (tmp_path / "kept" / "bundle" / "calibrator.json").open("a") as file:
        file.write(" ")
    assert main(["register", str(path), str(tmp_path / "kept")]) == 2
    assert "calibrator.json was changed" in said(capsys)[1]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("slices=[plan]", "slices: no column plan; name attributes or features of the model"),
        ("curve=[30,900]", "curve: no row was followed for 900 days after its gap"),
    ],
)
def test_what_the_report_cannot_tell_is_refused_before_anything_is_fitted(path, first, override, message, capsys):
    assert main(["train", str(path), "--set", override]) == 2
    error = said(capsys)[1]
    assert message in error and "selection" not in error


def test_versions_whose_bundles_hold_other_files_can_be_compared(path, first, capsys):
    assert main(["train", str(path), "--set", "curve=[28,30]", "--json"]) == 0
    second = json.loads(said(capsys)[0][-1])["registered"]
    for one, other in ((first["registered"], second), (second, first["registered"])):
        assert main(["compare", str(path), one, other, "--json"]) == 0
        assert json.loads(said(capsys)[0][-1])["versions"].keys() == {one, other}
