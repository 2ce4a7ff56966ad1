"""Which version is placed, how it does beside a new one, and whether it makes way."""

from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from features.command import progress
from features.data_config import workspace
from features.errors import InputError
from training import tracking, versus
from training.bundle import Bundle, champion, load
from training.config import TrainConfig
from training.gate import decide
from training.job import Evaluation
from training.versus import Versus


def name(config: TrainConfig) -> str:
    """What the registry calls the model."""
    return f"{config.data.name}-{config.model}"


def current(home: Path, model: str) -> Bundle | None:
    """The champion; None when there is none, or none that can still be read."""
    placed = champion(home, model)
    try:
        return load(placed) if placed else None
    except InputError as error:
        progress(f"the champion cannot be read and is replaced: {error}")
        return None


def registered(home: Path, name: str, bundle: Bundle) -> str | None:
    """The newest registered version that holds this bundle."""
    found = [own for own, version in tracking.versions(home, name).items() if version == bundle.version]
    return found[-1] if found else None


def compared(home: Path, name: str, first: str, second: str, folder: Path) -> Versus | None:
    """Two versions by what each run scored out of time; None when one kept no scores or none are in common."""
    tables = []
    for own in (first, second):
        path = tracking.scores(home, name, own, folder)
        if path is None:
            return None
        tables.append(pd.read_parquet(path))
    return versus.versus(*tables)


def against(config: TrainConfig, champion: Bundle, evaluation: Evaluation) -> Versus | None:
    """The champion and a training that is not registered yet, on the rows that both scored out of time."""
    home, own = workspace(config.data), name(config)
    number = registered(home, own, champion)
    if number is None or evaluation.scored.empty:
        return None
    with TemporaryDirectory() as folder:
        path = tracking.scores(home, own, number, Path(folder))
        if path is None:
            return None
        scored = evaluation.scored[["fold", "customer_id", "unit", "outcome"]]
        return versus.versus(pd.read_parquet(path), scored.assign(score=evaluation.served_scores))


def decided(config: TrainConfig, bundle: Bundle, version: str, folder: Path) -> tuple[bool, str]:
    """The gate's word on a registered version, by dates that it and the champion had not seen where there are such."""
    home, own = workspace(config.data), name(config)
    placed = current(home, config.model)
    number = registered(home, own, placed) if placed else None
    against = None
    if placed and number and versus.comparable(placed, bundle) is None:
        against = compared(home, own, number, version, folder)
    return decide(bundle.info, config.gate, placed.info if placed else None, against)
