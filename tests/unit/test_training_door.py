"""train, backtest and promote through the door, with MLflow on SQLite."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from features.config import load
from features.data_config import workspace
from tests.company import configs, logins, tables
from tests.unit.test_training_job import TRAINING, company, written
from training import tracking
from training.__main__ import main
from training.bundle import champion, place, save
from training.bundle import load as load_bundle
from training.config import TrainConfig

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.filterwarnings(
    "ignore:The ``noload`` loader strategy is deprecated:DeprecationWarning",  # mlflow's own tables
)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    folder = tmp_path_factory.mktemp("door")
    changes = {"as_of": {"every": "28d", "test_dates": 4, "first": "2025-03-03"}}
    return written(folder, company(), **changes, gate={"promote": "never"})


@pytest.fixture(scope="module")
def trained(path):
    """What one training said: exit code and the JSON line."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "training", "train", str(path), "--json"],
        cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "2"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1]), done.stderr


def said(capsys):
    out, err = capsys.readouterr()
    return out.splitlines(), err


def test_train_says_what_it_made_and_nothing_of_others(trained):
    answer, progress = trained
    assert answer["grade"] in ("A", "B")
    assert answer["promoted"] is False
    assert set(answer["metrics"]) == {"roc_auc", "average_precision", "ece", "brier"}
    assert set(answer["metrics"]["ece"]) == {"value", "low", "high"}
    assert "arning" not in progress
    assert "mlflow" not in progress.lower()


def test_the_run_holds_parameters_figures_folds_pictures_and_the_fingerprint(trained, path):
    import mlflow

    answer, _ = trained
    config = load(path, TrainConfig)
    home = workspace(config.data)
    client = mlflow.MlflowClient(f"sqlite:///{home.resolve() / 'mlflow.db'}")
    run = client.get_run(answer["run_id"])
    assert run.data.params["outcome.horizon_days"] == "30"
    assert run.data.tags["fingerprint"] == answer["fingerprint"]
    assert run.data.metrics["roc_auc"] == answer["metrics"]["roc_auc"]["value"]
    series = f"fold_average_precision_{answer['candidate']}"
    assert len(client.get_metric_history(answer["run_id"], series)) == 4
    report = {item.path for item in client.list_artifacts(answer["run_id"], "report")}
    wanted = ("reliability.png", "gains.png", "folds.png", "families.png", "folds.csv", "summary.json")
    assert {f"report/{name}" for name in wanted} <= report
    version = client.get_model_version("tiny-churn", answer["registered"])
    assert version.tags["version"] == answer["version"]
    kept = [file for file in (home / "mlartifacts").rglob("*") if file.is_file()]
    assert kept
    assert not [
        file for file in kept if file.suffix in (".pkl", ".pickle", ".joblib") or b"\x80\x04\x95" in file.read_bytes()
    ]


def test_the_registered_pyfunc_scores_like_the_bundle(trained, path, tmp_path):
    import mlflow

    from training import tracking
    from training.job import snapshot

    answer, _ = trained
    config = load(path, TrainConfig)
    home = workspace(config.data)
    bundle = load_bundle(tracking.download(home, "tiny-churn", answer["registered"], tmp_path))
    assert bundle.version == answer["version"]
    rows = snapshot(config, lambda _: None).frame[bundle.info.names].head(20)
    scored = mlflow.pyfunc.load_model(f"models:/tiny-churn/{answer['registered']}").predict(rows)
    assert np.allclose(scored["score"], bundle.probability(bundle.margin(bundle.matrix(rows))), atol=1e-12)


def test_promote_places_a_registered_version_and_gives_it_the_alias(trained, path, capsys):
    import mlflow

    answer, _ = trained
    assert main(["promote", str(path), "--version", answer["registered"], "--json"]) == 0
    promoted = json.loads(said(capsys)[0][-1])
    home = workspace(load(path, TrainConfig).data)
    assert promoted["promoted"] is True
    assert load_bundle(champion(home, "churn")).version == answer["version"]
    version = mlflow.MlflowClient().get_model_version_by_alias("tiny-churn", "champion").version
    assert str(version) == answer["registered"]


def test_promote_of_an_unknown_version_says_which_there_are(trained, path, capsys):
    assert main(["promote", str(path), "--version", "99"]) == 2
    assert "tiny-churn has no version 99 in the registry; it has 1" in said(capsys)[1]


def test_compare_shows_figures_common_dates_and_the_list(trained, path, capsys):
    version = trained[0]["registered"]
    assert main(["compare", str(path), version, version, "--json"]) == 0
    answer = json.loads(said(capsys)[0][-1])
    assert answer["not_comparable"] is None and answer["versus"]["gain"] == 0 and answer["versus"]["dates"] == 4
    assert answer["lists"]["same"] == answer["lists"]["contacts"] > 0 == answer["lists"]["other_reason"]
    assert main(["compare", str(path), version, version]) == 0
    lines = said(capsys)[0]
    assert len([line for line in lines if line.startswith(f"version {version}: ")]) == 2
    assert lines[-1] == f"Next: python -m training promote {path} --version {version}"
    assert main(["compare", str(path), version, "99"]) == 2
    assert "no version 99 in the registry" in said(capsys)[1]


def test_an_equal_challenger_takes_the_place_and_rollback_gives_it_back(trained, path, capsys):
    home, answer = workspace(load(path, TrainConfig).data), trained[0]
    assert main(["promote", str(path), "--version", answer["registered"]]) == 0
    first = load_bundle(champion(home, "churn")).version
    assert main(["train", str(path), "--set", "gate.promote=auto", "--set", "capacity.contacts=7", "--json"]) == 0
    fresh = json.loads(said(capsys)[0][-1])
    assert "on 4 dates both had not seen: champion" in fresh["promotion"]
    assert load_bundle(champion(home, "churn")).version == fresh["version"] != first
    assert main(["rollback", str(path), "--json"]) == 0
    back = json.loads(said(capsys)[0][-1])
    assert (back["version"], back["registered"]) == (first, answer["registered"])
    assert load_bundle(champion(home, "churn")).version == first


def test_a_rollback_without_its_registry_changes_nothing(trained, path, capsys, monkeypatch):
    pointer = workspace(load(path, TrainConfig).data) / "champion-churn.json"
    before = pointer.read_bytes()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    assert main(["rollback", str(path)]) == 2
    assert "127.0.0.1:9" in said(capsys)[1] and pointer.read_bytes() == before


@pytest.mark.parametrize("store", ["sqlite:///mlflow.db", "mlruns"])
def test_under_mlflow_run_the_workspaces_registry_is_used_unless_one_was_named(tmp_path, monkeypatch, store):
    """So that promote, rollback and erase find what was trained that way."""
    monkeypatch.chdir(tmp_path)
    home = tmp_path / "home"
    monkeypatch.setenv("MLFLOW_RUN_ID", "0123456789abcdef0123456789abcdef")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / store).as_uri() if store == "mlruns" else store)
    assert tracking.versions(home, "any-churn") == {}
    assert {one.name for one in tmp_path.iterdir()} == {"home"} and (home / "mlflow.db").exists()


def test_backtest_prints_every_candidate_and_keeps_nothing(trained, path, capsys):
    assert main(["backtest", str(path)]) == 0
    lines, _ = said(capsys)
    text = "\n".join(lines)
    assert "logistic" in text
    assert "lightgbm" in text
    assert lines[-1] == f"Next: python -m training train {path}"
    assert main(["backtest", str(path), "--json"]) == 0
    folds = json.loads(said(capsys)[0][-1])["folds"]
    assert {fold["stage"] for fold in folds} == {"selection", "test"}


def test_a_c_serves_the_rule_but_never_in_place_of_a_graded_model(tmp_path, capsys):
    people, events = logins(customers=40)
    path = written(tmp_path, {"customers": people, "logins": events})
    path = configs(tmp_path, {"name": "few"}, TRAINING)
    home = workspace(load(path, TrainConfig).data)
    assert main(["train", str(path)]) == 1
    lines, _ = said(capsys)
    assert any("under 20 only rules compete" in line for line in lines)
    assert list((home / "mlartifacts").rglob("folds.csv"))
    placed = load_bundle(champion(home, "churn"))
    assert (placed.info.kind, placed.info.grade) == ("rule", "C")

    from tests.unit.bundles import lightgbm_bundle

    save(lightgbm_bundle(), tmp_path / "graded")
    place(tmp_path / "graded", home, "churn")
    assert main(["train", str(path), "--json"]) == 1
    answer = json.loads(said(capsys)[0][-1])
    assert answer["promoted"] is False
    assert answer["promotion"] == "grade C: the champion of grade B stays"
    assert load_bundle(champion(home, "churn")).info.grade == "B"


def test_no_outcome_places_nothing_and_is_no_error(tmp_path, capsys):
    people = pd.DataFrame({"id": ["a", "b"]})
    days = pd.date_range("2025-01-06", periods=200, freq="D") + pd.Timedelta(hours=9)
    tables(tmp_path, customers=people, logins=[(i, t) for i in ("a", "b") for t in days])
    frame = pd.DataFrame([(i, t) for i in ("a", "b") for t in days], columns=["id", "at"])
    tables(tmp_path, logins=frame)
    path = configs(tmp_path, {"name": "loyal"}, TRAINING)
    assert main(["train", str(path), "--json"]) == 1
    answer = json.loads(said(capsys)[0][-1])
    assert (answer["grade"], answer["version"], answer["promoted"]) == ("C", None, False)
    assert champion(workspace(load(path, TrainConfig).data), "churn") is None


@pytest.mark.parametrize("command", ["train", "backtest", "tune", "promote", "register"])
def test_help_shows_an_example(command, capsys):
    with pytest.raises(SystemExit, match="0"):
        main([command, "--help"])
    assert f"python -m training {command} configs/saas/churn.yaml" in "\n".join(said(capsys)[0])


def test_bad_input_is_one_message(tmp_path, capsys):
    assert main(["train", str(tmp_path / "none.yaml")]) == 2
    assert said(capsys)[1].startswith("error: ")


def test_a_feature_that_knows_the_future_is_not_trained_on(tmp_path, capsys):
    people, events = logins(customers=60, weeks=60)
    last = events.groupby("id")["at"].max().reindex(people["id"]).to_numpy()
    people["last_seen"] = last.astype("datetime64[s]").astype("int64").astype(float)
    tables(tmp_path, customers=people, logins=events)
    attributes = {"last_seen": {"type": "number", "static": True}}
    path = configs(tmp_path, {"name": "leaky", "customers": {"attributes": attributes}}, TRAINING)
    for command in ("train", "backtest", "tune"):
        assert main([command, str(path), "--json"]) == 1
        answer = json.loads(said(capsys)[0][-1])
        assert answer["promoted"] is False and "last_seen" in answer["reasons"][0]
    assert main(["train", str(path)]) == 1
    assert said(capsys)[0][0].startswith("refused: last_seen")
    assert not workspace(load(path, TrainConfig).data).exists()


@pytest.mark.parametrize(
    ("file", "words"), [("champion-churn.json", "champion-churn.json: damaged"), ("mlflow.db", "MLflow cannot use it")]
)
def test_a_damaged_file_of_the_workspace_is_one_message(path, trained, tmp_path, file, words):
    home = workspace(load(path, TrainConfig).data)
    (tmp_path / home.name).mkdir()
    (tmp_path / home.name / file).write_text("{" * 5_000)
    command = [sys.executable, "-m", "training", "promote", str(path), "--version", "1"]
    whole = None if file == "mlflow.db" else f"sqlite:///{home / 'mlflow.db'}"
    environment = os.environ | {"TSUNAGI_WORKSPACE": str(tmp_path)} | ({"MLFLOW_TRACKING_URI": whole} if whole else {})
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert words in done.stderr and "Traceback" not in done.stderr
    assert done.returncode == 2
