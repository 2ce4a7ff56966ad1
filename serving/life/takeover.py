"""Before a bundle or a list is served: it is whole, graded, for these data, and scores rows as it should."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from features.catalogue import Feature
from features.errors import DataError
from serving.lists import risk_list, scoring
from serving.lists.rows import Rows
from serving.stores.records import Run
from training import bundle as bundles
from training.bundle import Bundle

GOLDEN_ROWS, NEAR = 20, 1e-9


class Misfit(DataError):
    """A good bundle that does not fit this list's features; it may fit the next list."""


@dataclass(frozen=True)
class Served:
    """One model as it is served: a bundle, the published run whose features it scores, and their rows.

    sequence: the number under which the bundle was placed. stale: the reason, a key of ``stale`` in the locale, why
    something newer may be there that is not served; None when this is the newest. refused: who had refused to be scored
    by a newer list that cannot be served itself.
    """

    bundle: Bundle
    run: Run
    rows: Rows
    sequence: int = 0
    stale: str | None = None
    refused: frozenset[str] = frozenset()

    @property
    def same(self) -> bool:
        """The list was made by this bundle, so that its published rows are its answers."""
        return self.bundle.sha256 == self.run.bundle

    @cached_property
    def head(self) -> Run:
        """What its answers say of themselves: as if the list were made by this bundle."""
        return risk_list.entry(self.bundle, self.run.as_of, self.run.started_at)

    @cached_property
    def features(self) -> dict[str, Feature]:
        """The snapshot's features by name."""
        return risk_list.features(self.run)


def verified(folder: Path, model: str, data: str) -> Bundle:
    """A whole, graded bundle of this model and data set. Raises DataError saying what it is instead."""
    bundle = bundles.load(folder)
    info = bundle.info
    if info.model != model:
        raise DataError(f"{bundle.version} holds the model {info.model}, not {model}; give a {model} bundle")
    if info.data and info.data != data:
        raise DataError(f"{bundle.version} was trained on the data set {info.data}, not {data}; train one on {data}")
    if info.grade == "C" and info.kind != "rule":
        raise DataError(f"{bundle.version} is a model of grade C, which is never served; train one of grade A or B")
    return bundle


def opened(path: Path) -> Rows:
    """The rows of a list whose file is whole: its name ends in the beginning of its SHA-256. Raises DataError."""
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    digits = path.stem.rpartition("-")[2]
    if not digits or not sha256.startswith(digits):
        raise DataError(f"{path.name} was changed; run the daily job again")
    return Rows(path)


def tried(served: Served) -> Served:
    """Score rows from all over the list before anyone asks for them. Raises Misfit, or DataError for bad numbers."""
    bundle, rows = served.bundle, served.rows
    positions: np.ndarray = np.unique(np.linspace(0, len(rows), GOLDEN_ROWS, endpoint=False).astype(np.int64))
    positions = positions[positions < len(rows)]
    try:
        scores = scoring.of(bundle, rows.matrix(positions, bundle.info.features))
    except DataError as error:
        raise Misfit(str(error)) from None
    if not (np.isfinite(scores.score) & (scores.score >= 0) & (scores.score <= 1)).all():
        raise DataError(f"{bundle.version} does not give probabilities; train again")
    if not (scores.gap <= NEAR).all():
        raise DataError(f"{bundle.version} gives reasons that do not sum to its scores; train again")
    if served.same:
        listed = np.array([rows.stored(int(position)).score for position in positions])
        if not (np.abs(listed - scores.score) <= NEAR).all():
            raise DataError(f"{bundle.version} does not give the scores it is listed with; run the daily job again")
    return served
