"""The registry: runs, parameters, figures, pictures, registered models. The only file that imports mlflow."""

import json
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from features.errors import DataError
from training.bundle import load
from training.columns import Column

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.models import ModelSignature

CHAMPION, SCORES, CONFIG = "champion", "scores.parquet", "config.json"
TRAINED_WITH = "trained_with.parquet"
BATCH, ANY = 100, 3  # 3: the deleted ones too
QUIET = {
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_CONFIGURE_LOGGING": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "GIT_PYTHON_REFRESH": "quiet",
}
REQUIREMENTS = ["lightgbm", "numpy", "pandas", "pydantic", "pyyaml", "scikit-learn"]


@dataclass(frozen=True)
class Record:
    """Where a training was recorded; ``registered`` is the registry's version number."""

    run_id: str
    registered: str | None


class NoRegistry(DataError):
    """MLflow's store or server cannot be used."""


def record(
    home: Path,
    name: str,
    folder: Path,
    params: Mapping[str, Any],
    tags: Mapping[str, str],
    figures: Mapping[str, float],
    series: Mapping[str, list[float]],
) -> Record:
    """Log one training and, when ``folder``/bundle exists, register it as ``name``.

    MLFLOW_TRACKING_URI is respected, and the run of ``mlflow run`` (MLFLOW_RUN_ID) reused with its store, where
    somebody named one; else all goes to the workspace, and the run that ``mlflow run`` began elsewhere stays empty.
    ``series`` run over the test folds. The files of ``folder`` are kept with the run. Raises NoRegistry; nothing is
    registered then, for the version comes last.
    """
    with _mlflow(home, name), _answering(home), _run() as run_id:
        import mlflow

        pairs = list(_flat(params))
        for start in range(0, len(pairs), BATCH):
            mlflow.log_params(dict(pairs[start : start + BATCH]))
        mlflow.set_tags(dict(tags))
        mlflow.log_metrics(dict(figures))
        for figure, values in series.items():
            for step, value in enumerate(values):
                mlflow.log_metric(figure, value, step=step)
        for path in sorted(path for path in folder.iterdir() if path.is_file()):
            mlflow.log_artifact(str(path), "report")
        bundle = folder / "bundle"
        return Record(run_id, _register(name, bundle, tags, _card(folder)) if bundle.is_dir() else None)


def _card(folder: Path) -> str | None:
    """What the registry says of a version: the summary of its card."""
    card = folder / "card.json"
    return json.loads(card.read_text()).get("summary") if card.is_file() else None


def restore(run_id: str, home: Path | None = None) -> tuple[str, dict[str, str]]:
    """The config of a recorded run as JSON, and its tags. Raises DataError where no workspace or server knows it."""
    root = Path(os.environ.get("TSUNAGI_WORKSPACE", "workspace"))
    homes = [home] if home else sorted(path.parent for path in root.glob("*/mlflow.db"))
    if os.environ.get("MLFLOW_TRACKING_URI"):
        homes = homes[:1] or [root]
    for own in homes:
        with _mlflow(own, None):
            import mlflow

            try:
                tags = mlflow.MlflowClient().get_run(run_id).data.tags
                return mlflow.artifacts.load_text(f"runs:/{run_id}/report/{CONFIG}"), tags
            except (mlflow.exceptions.MlflowException, OSError):
                continue
    looked = ", ".join(str(own) for own in homes) or f"no registry below {root}"
    raise DataError(f"run {run_id}: not a training that is recorded here ({looked}); `mlflow ui` lists the runs")


def crown(home: Path, name: str, registered: str) -> None:
    """Give this version the alias ``champion``."""
    with _mlflow(home, name):
        import mlflow

        mlflow.MlflowClient().set_registered_model_alias(name, CHAMPION, registered)


def crowned(home: Path, name: str) -> tuple[str, str] | None:
    """The number of the version that has the alias ``champion``, and the version of its bundle; None when none has.

    Raises NoRegistry; makes nothing where there is no registry.
    """
    if not os.environ.get("MLFLOW_TRACKING_URI") and not (home / "mlflow.db").is_file():
        raise NoRegistry(f"{home / 'mlflow.db'}: there is no registry; train first, or set MLFLOW_TRACKING_URI")
    with _mlflow(home, None), _answering(home):
        import mlflow

        try:
            found = mlflow.MlflowClient().get_model_version_by_alias(name, CHAMPION)
        except mlflow.exceptions.MlflowException as error:
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                return None
            raise
        return str(found.version), found.tags.get("version", "")


def download(home: Path, name: str, registered: str, folder: Path) -> Path:
    """The bundle of a registered version, copied below ``folder``. Raises DataError when there is none."""
    with _mlflow(home, name):
        import mlflow

        try:
            own = folder / f"version-{registered}"  # alone: the files of another version are not to mix with these
            own.mkdir(exist_ok=True)
            path = mlflow.artifacts.download_artifacts(f"models:/{name}/{registered}", dst_path=str(own))
        except mlflow.exceptions.MlflowException:
            raise DataError(f"{name} has no version {registered} in the registry; {_known(name)}") from None
    return Path(path) / "artifacts" / "bundle"


def versions(home: Path, name: str) -> dict[str, str]:
    """The registered versions: number -> the version of its bundle, oldest first."""
    with _mlflow(home, name):
        import mlflow

        every = mlflow.MlflowClient().search_model_versions(f"name='{name}'")
        return {str(own.version): own.tags.get("version", "") for own in sorted(every, key=lambda v: int(v.version))}


def scores(home: Path, name: str, registered: str, folder: Path) -> Path | None:
    """The file of a version's out-of-time scores, copied below ``folder``; None when its run kept none."""
    with _mlflow(home, name):
        import mlflow

        return _file(mlflow.MlflowClient().get_model_version(name, registered).run_id, SCORES, folder)


def _file(run_id: str | None, name: str, folder: Path) -> Path | None:
    """A file that a run kept, copied below ``folder``; None when it kept none."""
    import mlflow

    folder.mkdir(exist_ok=True)
    try:
        at = f"report/{name}"
        return Path(mlflow.artifacts.download_artifacts(run_id=run_id, artifact_path=at, dst_path=str(folder)))
    except (mlflow.exceptions.MlflowException, OSError):
        return None


@dataclass(frozen=True)
class Trained:
    """A recorded training. label: ``name version``, or ``run …`` where no version is registered; trained_with, scores:
    copies of the files that say whom it learnt from and whom it scored, None where it kept none.
    """

    label: str
    run_id: str
    trained_with: Path | None
    scores: Path | None


def trained(home: Path, data: str, folder: Path) -> Iterator[Trained]:
    """Every training of the models of a data set, its files below ``folder``. Raises NoRegistry."""
    with _mlflow(home, None), _answering(home):
        import mlflow

        client = mlflow.MlflowClient()
        versions = list(client.search_model_versions(max_results=10_000))
        own = sorted((v for v in versions if v.name.startswith(f"{data}-")), key=lambda v: (v.name, int(v.version)))
        labels = {str(v.run_id): f"{v.name} {v.version}" for v in own}
        every = [one for one in client.search_experiments(view_type=ANY) if one.name.startswith(f"{data}-")]
        for one in every:  # a study of settings has thousands of runs, and none of them learnt for a bundle
            found = client.search_runs([one.experiment_id], "tags.fingerprint LIKE '%'", ANY, max_results=10_000)
            labels = {run.info.run_id: f"run {run.info.run_id}" for run in found} | labels
        for run_id, label in labels.items():
            kept = [_file(run_id, name, folder / run_id) for name in (TRAINED_WITH, SCORES)]
            yield Trained(label, run_id, *kept)


def replaced(home: Path, run_id: str, path: Path) -> None:
    """Let a file of a run be this one from now on."""
    with _mlflow(home, None), _answering(home):
        import mlflow

        mlflow.MlflowClient().log_artifact(run_id, str(path), "report")


def _known(name: str) -> str:
    import mlflow

    versions = sorted(int(v.version) for v in mlflow.MlflowClient().search_model_versions(f"name='{name}'"))
    return f"it has {', '.join(map(str, versions))}" if versions else "train it first"


@contextmanager
def _mlflow(home: Path, name: str | None) -> Iterator[None]:
    """MLflow made quiet, on the store of the active run or else on the one of this workspace.

    name: the experiment, made where it is missing; None: only read.
    """
    for variable, value in QUIET.items():
        os.environ.setdefault(variable, value)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import logging

        for logger in ("mlflow", "alembic"):
            logging.getLogger(logger).setLevel(logging.ERROR)
        if os.environ.get("MLFLOW_RUN_ID") and os.environ.get("MLFLOW_TRACKING_URI") in _unnamed():
            for variable in ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID"):
                os.environ.pop(variable, None)
        server = os.environ.get("MLFLOW_TRACKING_URI")
        try:
            if not os.environ.get("MLFLOW_RUN_ID"):
                _reach(home.resolve(), name)
            yield
        finally:
            if server is None:  # set_tracking_uri writes it, and the next workspace must not inherit it
                os.environ.pop("MLFLOW_TRACKING_URI", None)


def _unnamed() -> tuple[str, ...]:
    """The stores, in the current folder, that ``mlflow run`` passes on where nobody named one."""
    from mlflow.store.tracking import DEFAULT_LOCAL_FILE_AND_ARTIFACT_PATH, DEFAULT_TRACKING_URI

    files = Path(DEFAULT_LOCAL_FILE_AND_ARTIFACT_PATH).absolute()
    return DEFAULT_TRACKING_URI, str(files), files.as_uri()


def _reach(home: Path, name: str | None) -> None:
    """Open the experiment. Raises NoRegistry when the store cannot be used."""
    with _answering(home):
        _experiment(home, name)


@contextmanager
def _answering(home: Path) -> Iterator[None]:
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError, OSError) as error:
        server, reason = os.environ.get("MLFLOW_TRACKING_URI"), (str(error).splitlines() or [type(error).__name__])[0]
        if server:
            short = reason.partition(" failed with exception")[0]
            raise NoRegistry(
                f"{server}: MLflow cannot use it ({short}); start it, or unset MLFLOW_TRACKING_URI"
            ) from None
        raise NoRegistry(f"{home / 'mlflow.db'}: MLflow cannot use it ({reason}); check it, or move it away") from None


def _experiment(home: Path, name: str | None) -> None:
    """The experiment of this model, on the server of MLFLOW_TRACKING_URI or else in the workspace."""
    import mlflow

    artifacts, server = None, os.environ.get("MLFLOW_TRACKING_URI")
    if server:
        mlflow.set_tracking_uri(server)
    else:
        home.mkdir(parents=True, exist_ok=True)
        mlflow.set_tracking_uri(f"sqlite:///{home / 'mlflow.db'}")
        artifacts = (home / "mlartifacts").as_uri()
    if name is None:
        return
    if mlflow.get_experiment_by_name(name) is None:
        mlflow.create_experiment(name, artifact_location=artifacts)
    mlflow.set_experiment(name)


@contextmanager
def _run() -> Iterator[str]:
    """The id of a new run, or of the one ``mlflow run`` began: start_run takes it up by MLFLOW_RUN_ID."""
    import mlflow

    with mlflow.start_run() as run:
        yield run.info.run_id


def _register(name: str, bundle: Path, tags: Mapping[str, str], card: str | None) -> str:
    import mlflow

    logged = mlflow.pyfunc.log_model(
        name="model",
        python_model=str(Path(__file__).with_name("pyfunc.py")),
        artifacts={"bundle": str(bundle)},
        signature=_signature(load(bundle).info.features),
        pip_requirements=REQUIREMENTS,
    )
    client = mlflow.MlflowClient()
    if not client.search_registered_models(f"name='{name}'"):
        client.create_registered_model(name)
    uri = f"models:/{logged.model_id}"
    made = client.create_model_version(
        name, uri, logged.run_id, tags=dict(tags), description=card, model_id=logged.model_id
    )
    return str(made.version)


def _signature(columns: list[Column]) -> "ModelSignature":
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema, TensorSpec

    kinds = {"number": "double", "category": "string"}
    inputs: list[ColSpec | TensorSpec] = [
        ColSpec(kinds[column["kind"]], column["name"], required=False) for column in columns
    ]
    return ModelSignature(Schema(inputs), Schema([ColSpec("double", "score")]))


def _flat(section: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    for key, value in section.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def record_study(
    home: Path, name: str, study: str, figures: Mapping[str, float], trials: Sequence[Mapping[str, Any]]
) -> str:
    """Log a study of settings as one run and each of its trials as a child of it; returns the id of the run.

    trials: number, state, settings, and the average precision by fold. A study that was recorded before goes on in its
    run, to which new trials alone are added.
    """
    with _mlflow(home, name):
        import mlflow

        client, outer = mlflow.MlflowClient(), os.environ.get("MLFLOW_RUN_ID")
        experiment = (client.get_run(outer).info if outer else mlflow.set_experiment(name)).experiment_id
        there = client.search_runs([experiment], f"tags.study = '{study}'", max_results=50_000)
        known = {run.data.tags.get("trial"): run.info.run_id for run in there}
        tags = {"study": study} | ({"mlflow.parentRunId": outer} if outer else {})
        parent = known.get(None) or client.create_run(experiment, tags=tags, run_name=f"tune {study}").info.run_id
        for trial in trials:
            if str(trial["number"]) not in known:
                _trial(client, experiment, study, parent, trial)
        for figure, value in figures.items():
            client.log_metric(parent, figure, value)
        client.set_terminated(parent)
        return parent


def _trial(client: "MlflowClient", experiment: str, study: str, parent: str, trial: Mapping[str, Any]) -> None:
    tags = {"study": study, "trial": str(trial["number"]), "state": trial["state"], "mlflow.parentRunId": parent}
    run = client.create_run(experiment, tags=tags, run_name=f"trial {trial['number']}").info.run_id
    for key, value in _flat(trial["settings"]):
        client.log_param(run, key, value)
    for step, value in enumerate(trial["folds"].values()):
        client.log_metric(run, "average_precision", value, step=step)
    client.set_terminated(run, "FAILED" if trial["state"] == "failed" else "FINISHED")
