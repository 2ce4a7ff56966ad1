"""The registry: runs, parameters, figures, pictures, registered models. The only file that imports mlflow."""

import json
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from features.errors import DataError
from training.columns import Column

if TYPE_CHECKING:
    from mlflow.models import ModelSignature

CHAMPION, SCORES = "champion", "scores.parquet"
BATCH = 100
QUIET = {
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_CONFIGURE_LOGGING": "false",
    "GIT_PYTHON_REFRESH": "quiet",
}
REQUIREMENTS = ["lightgbm", "numpy", "pandas", "pydantic", "pyyaml", "scikit-learn"]


@dataclass(frozen=True)
class Record:
    """Where a training was recorded; ``registered`` is the registry's version number."""

    run_id: str
    registered: str | None


def record(
    home: Path,
    name: str,
    params: Mapping[str, Any],
    tags: Mapping[str, str],
    figures: Mapping[str, float],
    folds: Mapping[str, list[float]],
    folder: Path,
    columns: list[Column],
) -> Record:
    """Log one training and, when ``folder``/bundle exists, register it as ``name``.

    The run of ``mlflow run`` (MLFLOW_RUN_ID) is reused with its own store; MLFLOW_TRACKING_URI is respected.
    ``folds`` are series over the test folds. The files of ``folder`` are kept with the run.
    """
    with _mlflow(home, name), _run() as run_id:
        import mlflow

        pairs = list(_flat(params))
        for start in range(0, len(pairs), BATCH):
            mlflow.log_params(dict(pairs[start : start + BATCH]))
        mlflow.set_tags(dict(tags))
        mlflow.log_metrics(dict(figures))
        for series, values in folds.items():
            for step, value in enumerate(values):
                mlflow.log_metric(series, value, step=step)
        for path in sorted(path for path in folder.iterdir() if path.is_file()):
            mlflow.log_artifact(str(path), "report")
        bundle = folder / "bundle"
        return Record(run_id, _register(name, bundle, columns, tags) if bundle.is_dir() else None)


def crown(home: Path, name: str, registered: str) -> None:
    """Give this version the alias ``champion``."""
    with _mlflow(home, name):
        import mlflow

        mlflow.MlflowClient().set_registered_model_alias(name, CHAMPION, registered)


def download(home: Path, name: str, registered: str, folder: Path) -> Path:
    """The bundle of a registered version, copied below ``folder``. Raises DataError when there is none."""
    with _mlflow(home, name):
        import mlflow

        try:
            path = mlflow.artifacts.download_artifacts(f"models:/{name}/{registered}", dst_path=str(folder))
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

        run_id = mlflow.MlflowClient().get_model_version(name, registered).run_id
        try:
            path = mlflow.artifacts.download_artifacts(
                run_id=run_id, artifact_path=f"report/{SCORES}", dst_path=str(folder)
            )
            return Path(path)
        except (mlflow.exceptions.MlflowException, OSError):
            return None


def _known(name: str) -> str:
    import mlflow

    versions = sorted(int(v.version) for v in mlflow.MlflowClient().search_model_versions(f"name='{name}'"))
    return f"it has {', '.join(map(str, versions))}" if versions else "train it first"


@contextmanager
def _mlflow(home: Path, name: str) -> Iterator[None]:
    """MLflow made quiet, on the store of the active run or else on the one of this workspace."""
    for variable, value in QUIET.items():
        os.environ.setdefault(variable, value)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import logging

        for logger in ("mlflow", "alembic"):
            logging.getLogger(logger).setLevel(logging.ERROR)
        server = os.environ.get("MLFLOW_TRACKING_URI")
        try:
            if not os.environ.get("MLFLOW_RUN_ID"):
                _reach(home.resolve(), name)
            yield
        finally:
            if server is None:  # set_tracking_uri writes it, and the next workspace must not inherit it
                os.environ.pop("MLFLOW_TRACKING_URI", None)


def _reach(home: Path, name: str) -> None:
    """Open the experiment. Raises DataError when the store cannot be used."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        _experiment(home, name)
    except (MlflowException, SQLAlchemyError) as error:
        where = os.environ.get("MLFLOW_TRACKING_URI") or home / "mlflow.db"
        reason = str(error).splitlines()[0]
        raise DataError(
            f"{where}: MLflow cannot use it ({reason}); check it, or move it away and train again"
        ) from None


def _experiment(home: Path, name: str) -> None:
    """The experiment of this model, on the server of MLFLOW_TRACKING_URI or else in the workspace."""
    import mlflow

    artifacts = None
    if not os.environ.get("MLFLOW_TRACKING_URI"):
        home.mkdir(parents=True, exist_ok=True)
        mlflow.set_tracking_uri(f"sqlite:///{home / 'mlflow.db'}")
        artifacts = (home / "mlartifacts").as_uri()
    if mlflow.get_experiment_by_name(name) is None:
        mlflow.create_experiment(name, artifact_location=artifacts)
    mlflow.set_experiment(name)


@contextmanager
def _run() -> Iterator[str]:
    """The id of a new run, or of the one ``mlflow run`` began: start_run takes it up by MLFLOW_RUN_ID."""
    import mlflow

    with mlflow.start_run() as run:
        yield run.info.run_id


def _register(name: str, bundle: Path, columns: list[Column], tags: Mapping[str, str]) -> str:
    import mlflow

    logged = mlflow.pyfunc.log_model(
        name="model",
        python_model=str(Path(__file__).with_name("pyfunc.py")),
        artifacts={"bundle": str(bundle)},
        signature=_signature(columns),
        pip_requirements=REQUIREMENTS,
    )
    client = mlflow.MlflowClient()
    if not client.search_registered_models(f"name='{name}'"):
        client.create_registered_model(name)
    uri = f"models:/{logged.model_id}"
    made = client.create_model_version(name, uri, logged.run_id, tags=dict(tags), model_id=logged.model_id)
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
