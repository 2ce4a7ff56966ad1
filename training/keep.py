"""A training becomes a record: its files, its run in the registry, its place on disk where the gate agrees."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd

from features.command import appearing, progress
from features.config import Language
from features.data_config import workspace
from features.erased import Erased
from features.errors import DataError
from training import champions, report, tracking, trained_with
from training.bundle import Bundle, load, place, save
from training.config import TrainConfig
from training.job import Evaluation
from training.pages import page
from training.pages.material import Extras
from training.stages import Stages

RUN = "run.json"
UNREGISTERED = "unregistered"


@dataclass(frozen=True)
class Kept:
    """Where a training was recorded, and whether the gate placed its bundle."""

    run_id: str
    registered: str | None
    promoted: bool
    promotion: str


def keep(
    evaluation: Evaluation, bundle: Bundle | None, extras: Extras, stages: Stages, path: Path | None = None
) -> dict[str, Any]:
    """Record the run and place the bundle; what ``train --json`` says beyond the evaluation.

    path: of the config, to be named in what is to be typed next. Raises DataError when the registry cannot be used;
    the files then stay in the workspace, to be registered later.
    """
    config = evaluation.config
    with TemporaryDirectory() as temporary:
        folder = Path(temporary)
        with stages("report"):
            write(evaluation, bundle, extras, stages, folder)
        shown = _show(config, folder)
        kept = _registered(config, folder, path)
    served = {"version": bundle.version, "kind": bundle.info.kind} if bundle else {"version": None, "kind": None}
    said = {"promoted": kept.promoted, "promotion": kept.promotion}
    return {**served, **said, "run_id": kept.run_id, "registered": kept.registered, "report": str(shown)}


def register(config: TrainConfig, folder: Path) -> Kept:
    """Record the kept files of a training, and place its bundle where the gate agrees. Raises DataError."""
    bundle = folder / "bundle"
    if bundle.is_dir():
        info = load(bundle).info
        if (info.data or config.data.name, info.model) != (config.data.name, config.model):
            raise DataError(
                f"{folder}: holds the model {info.data}/{info.model}, and the config is of "
                f"{config.data.name}/{config.model}; give the config it was trained with"
            )
    run = _run(folder)
    recorded = tracking.record(workspace(config.data), champions.name(config), folder, **run)
    promoted, why = _promote(config, folder, recorded.registered)
    return Kept(recorded.run_id, recorded.registered, promoted, why)


def registered(config: TrainConfig, folder: Path) -> Kept:
    """``register``, and what was kept until now is kept no longer: a second time there is nothing to register."""
    kept = register(config, folder)
    if (workspace(config.data) / UNREGISTERED).resolve() in folder.resolve().parents:
        shutil.rmtree(folder)
    return kept


def _registered(config: TrainConfig, folder: Path, path: Path | None) -> Kept:
    try:
        return register(config, folder)
    except tracking.NoRegistry as error:
        left = workspace(config.data) / UNREGISTERED / json.loads((folder / RUN).read_text())["tags"]["name"]
        shutil.rmtree(left, ignore_errors=True)
        shutil.copytree(folder, left)
        raise DataError(
            f"{error}; nothing is registered, the bundle and the report are kept in {left}; when the registry is back: "
            f"python -m training register {path or 'CONFIG'} {left}"
        ) from None


def write(evaluation: Evaluation, bundle: Bundle | None, extras: Extras, stages: Stages, folder: Path) -> None:
    """The files of the run: the bundle, the facts, the folds, the pictures, the pages, the card."""
    from training import evaluate
    from training.pages import card, plots

    facts = report.summary(evaluation)
    (folder / "summary.json").write_text(json.dumps(facts, indent=1, ensure_ascii=False))
    (folder / tracking.CONFIG).write_text(evaluation.config.model_dump_json(indent=1))
    pd.concat([evaluation.selection, evaluation.tests]).to_csv(folder / "folds.csv", index=False)
    page.write(evaluation, bundle, folder, extras)
    card.write(evaluation, bundle, extras, folder)
    if bundle:
        save(bundle, folder / "bundle")
        trained_with.write(workspace(evaluation.config.data), evaluation.rows.customer, folder / tracking.TRAINED_WITH)
    if bundle and len(evaluation.scored):
        scored = evaluation.scored[["fold", "customer_id", "unit", "outcome"]].assign(score=evaluation.served_scores)
        scored = Erased.of(workspace(evaluation.config.data)).without(scored, "customer_id")  # erased while it trained
        scored.to_parquet(folder / tracking.SCORES, index=False)
    if bundle and evaluation.served and len(evaluation.scored):
        own = evaluate.inputs(evaluation.served, evaluation.rows)
        plots.pictures(evaluation.scored, bundle, evaluation.rows.matrix[:, own], evaluation.contacts, folder)
    name = bundle.version if bundle else facts["fingerprint"][:12]
    run = {
        "params": evaluation.config.model_dump(mode="json"),
        "tags": report.tags(facts, bundle) | {"name": f"{evaluation.config.model}-{name}"},
        "figures": report.figures(facts) | stages.figures(),
        "series": report.series(evaluation.tests),
    }
    (folder / RUN).write_text(json.dumps(run, indent=1, ensure_ascii=False))


def _run(folder: Path) -> dict[str, Any]:
    try:
        return json.loads((folder / RUN).read_text())
    except (OSError, ValueError):
        raise DataError(f"{folder}: {RUN} is missing or damaged; give a folder that training kept, or train") from None


def backtest(evaluation: Evaluation) -> Path:
    """Write the pages of a backtest into the workspace; returns the English one."""
    with TemporaryDirectory() as folder:
        page.write_backtest(evaluation, Path(folder))
        return _show(evaluation.config, Path(folder), "backtest", page.BACKTEST)


def _show(config: TrainConfig, folder: Path, kind: str = "report", names: Mapping[Language, str] = page.FILES) -> Path:
    """Put the pages into the workspace; returns the English one. A dot, as a model may be called churn-ja."""
    home = workspace(config.data)
    places = {"en": home / f"{kind}-{config.model}.html", "ja": home / f"{kind}-{config.model}.ja.html"}
    for lang, name in names.items():
        with appearing(places[lang], "TSUNAGI_WORKSPACE") as half:
            half.write_bytes((folder / name).read_bytes())
    return places["en"]


def _promote(config: TrainConfig, folder: Path, registered: str | None) -> tuple[bool, str]:
    home = workspace(config.data)
    if registered is None:
        return False, "there is nothing to place"
    if config.gate.promote == "never":
        return False, f"gate.promote is never; place it by hand: promote CONFIG --version {registered}"
    with TemporaryDirectory() as temporary:
        promoted, why = champions.decided(config, load(folder / "bundle"), registered, Path(temporary))
    if promoted:
        place(folder / "bundle", home, config.model, config.data.name)
        tracking.crown(home, champions.name(config), registered)
    return promoted, why


def restored(run_id: str, home: Path | None) -> tuple[TrainConfig, dict[str, str]]:
    """The config of a recorded run and its tags; ``home`` None: looked for in every workspace. Raises DataError."""
    text, tags = tracking.restore(run_id, home)
    try:
        return TrainConfig.model_validate_json(text), tags
    except ValueError as error:
        raise DataError(
            f"run {run_id}: its config is not one of this version ({str(error).splitlines()[0]}); "
            "train with its YAML instead"
        ) from None


def again(bundle: Bundle | None, fingerprint: str, tags: dict[str, str]) -> str:
    """What is the same as in the run that was restored, in words."""
    version = bundle.version if bundle else None
    if version == tags.get("version"):
        return f"the same bundle as then, byte for byte: {version}"
    if fingerprint != tags.get("fingerprint"):
        return f"another bundle than then ({version}, was {tags.get('version')}): the data have changed since"
    progress("equal data and config gave another bundle: the libraries or the processor differ")
    return f"another bundle than then ({version}, was {tags.get('version')}), from equal data"
