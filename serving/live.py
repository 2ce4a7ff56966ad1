"""What is served right now: the champion's bundle on the published snapshot, followed without a restart."""

import logging
import threading
import time
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.compute as pc
import pyarrow.parquet as parquet
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from features.catalogue import Feature
from features.errors import InputError
from serving import risk_list, scoring, store
from serving.config import ServingConfig
from serving.records import Run
from training import bundle as bundles
from training.bundle import Bundle

LOOK_AGAIN_SECONDS = 1.0
GOLDEN_ROWS = 20
log = logging.getLogger("bentoml.tsunagi")


class Rows:
    """A snapshot file, in whatever order, read one row group at a time."""

    def __init__(self, path: Path):
        self._file = parquet.ParquetFile(path)
        ids = self._file.read(["customer_id"])
        self._order = pc.sort_indices(ids, [("customer_id", "ascending")]).to_numpy()
        self._ids = ids["customer_id"].take(self._order).to_pylist()
        sizes = [self._file.metadata.row_group(i).num_rows for i in range(self._file.num_row_groups)]
        self._starts = np.concatenate([[0], np.cumsum(sizes)])

    def position(self, customer_id: str) -> int | None:
        """Where a customer's row is."""
        found = bisect_left(self._ids, customer_id)
        return int(self._order[found]) if found < len(self._ids) and self._ids[found] == customer_id else None

    def read(self, positions: Sequence[int]) -> pd.DataFrame:
        """The rows at these positions, in this order."""
        groups = np.searchsorted(self._starts, positions, side="right") - 1
        needed = np.unique(groups)
        frame = self._file.read_row_groups(needed.tolist()).to_pandas()
        before = np.concatenate([[0], np.cumsum(np.diff(self._starts)[needed])])[:-1]
        within = np.asarray(positions) - self._starts[groups] + before[np.searchsorted(needed, groups)]
        return frame.iloc[within].reset_index(drop=True)

    def __len__(self) -> int:
        return len(self._ids)


@dataclass(frozen=True)
class Served:
    """One model as it is served: a bundle, the published run whose features it scores, and their rows."""

    bundle: Bundle
    run: Run
    rows: Rows

    @cached_property
    def features(self) -> dict[str, Feature]:
        """The snapshot's features by name."""
        return risk_list.features(self.run)


class Live:
    """Looks at most once a second for a new champion or list, and swaps one reference."""

    def __init__(self, config: ServingConfig):
        self.config = config
        self.engine: Engine = store.connect(config.store_url)
        self._served: dict[str, Served] = {}
        self._seen: dict[str, tuple[Path | None, int]] = {}
        self._why_not: dict[str, str] = {}
        self._looked = -LOOK_AGAIN_SECONDS
        self._lock = threading.Lock()

    def get(self, model: str) -> Served | None:
        """What is served for a model of the config; None when nothing is ready."""
        self._look()
        return self._served.get(model)

    def why_not(self) -> dict[str, str]:
        """Model -> why it cannot be served, in words; empty when everything is ready."""
        self._look()
        with self._lock:
            return dict(self._why_not)

    def _look(self) -> None:
        with self._lock:
            if time.monotonic() - self._looked < LOOK_AGAIN_SECONDS:
                return
            for model in self.config.models:
                self._follow(model)
            self._looked = time.monotonic()

    def _follow(self, model: str) -> None:
        """Take over a new champion or list when it works; go on with the last good one when it does not."""
        self._why_not.pop(model, None)
        try:
            with Session(self.engine, expire_on_commit=False) as session:
                run = store.published(session, model)
        except SQLAlchemyError:
            self._why_not[model] = "the store cannot be read; is it there, and has `python -m serving daily` run?"
            return
        if run is None:
            self._why_not[model] = "no list is published; type `python -m serving daily CONFIG`"
            self._served.pop(model, None)
            return
        try:
            self._take(model, run, bundles.champion(self.config.home, model))
        except (InputError, OSError, ValueError) as error:
            log.warning("%s: cannot load (%s)", model, type(error).__name__)
            if model not in self._served:
                self._why_not[model] = "its bundle or features cannot be loaded; run the daily job again"

    def _take(self, model: str, run: Run, champion: Path | None) -> None:
        seen = (champion, run.id)
        if self._seen.get(model) == seen and model in self._served:
            return
        self._served[model] = self._load(run, champion)
        self._seen[model] = seen
        log.info("%s: bundle %s, list as of %s", model, self._served[model].bundle.version, run.as_of)

    def _load(self, run: Run, champion: Path | None) -> Served:
        """The champion on the list's rows; the list's own bundle while the champion does not fit them."""
        rows = Rows(self.config.home / "snapshots" / run.snapshot)
        own = self.config.home / "bundles" / run.bundle
        if champion is not None and champion != own:
            try:
                return _tried(Served(bundles.load(champion), run, rows))
            except InputError as error:
                log.warning("%s: the new champion waits for the next list (%s)", run.model, error)
        return _tried(Served(bundles.load(own), run, rows))


def _tried(served: Served) -> Served:
    """Score some rows before anyone asks for them. Raises DataError when they do not fit."""
    frame = served.rows.read(range(min(GOLDEN_ROWS, len(served.rows))))
    scores = scoring.score(served.bundle, frame)
    if not np.isfinite(scores.score).all():
        raise ValueError("the bundle does not give finite scores")
    return served
