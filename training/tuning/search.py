"""Settings of the candidates, found on dates before the tests; they replace those of the YAML if surely better."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from features.errors import DataError
from features.snapshot import Snapshot
from training import cross, grade, job, metrics
from training.config import TrainConfig
from training.evaluate import Say, Split, grouped_splits, splits
from training.fit import NoFit, fit_margin, one_thread
from training.folds import folds
from training.rows import Rows
from training.settings import Settings
from training.tuning.space import SPACES
from training.tuning.study import Budget, Study, opened
from training.tuning.tuned import Found, Tuned


def run(config: TrainConfig, made: Snapshot | job.Prepared, home: Path, budget: Budget, say: Say) -> Tuned:
    """Tune every candidate that competes, on the selection folds alone; the trials are kept below ``home``.

    The first trial of a study is always made in full, whatever the budget, and so is the comparison at the end. Ctrl-C
    ends the search and keeps what was found. Raises DataError when nothing can be tuned or another run is at work.
    """
    own = made if isinstance(made, job.Prepared) else job.prepare(config, made)
    budget, found, stopped = budget.started(), list[Found](), False
    with one_thread(), opened(home) as storage:
        chosen = _choosing(config, own.rows, say)
        candidates = _candidates(config, own.rows, chosen)
        for position, candidate in enumerate(candidates):
            judge = _Judge(own.rows, chosen, candidate)
            name = study_name(config, own.fingerprint, candidate)
            study = Study(storage, name, candidate, config.settings, judge.precisions, say)
            try:
                stopped = study.search(budget.share(len(candidates) - position))
            except NoFit as error:
                say(f"WARNING {error}; it is not tuned")
                continue
            if study.attempts:
                found.append(_found(study, judge))
            if stopped:
                break
    if not found:
        raise (
            KeyboardInterrupt
            if stopped
            else DataError(f"{config.model}: no candidate could be fitted; nothing is tuned")
        )
    return Tuned(config.model, tuple(found), _with(config.settings, found), tuple(s.name for s in chosen), stopped)


def study_name(config: TrainConfig, fingerprint: str, candidate: str) -> str:
    """Other rows, other folds, other settings to start from or another space: another study."""
    own = config.settings.model_dump(mode="json", include={candidate, "negatives"})
    space = {name: str(span) for name, span in SPACES[candidate].items()}
    meant = [fingerprint, config.span_days, config.as_of.test_dates, own, space]
    digest = hashlib.sha256(json.dumps(meant, sort_keys=True).encode()).hexdigest()
    return f"{config.model}-{candidate}-{digest[:16]}"


@dataclass(frozen=True)
class _Judge:
    """One candidate on the folds of the choice."""

    rows: Rows
    chosen: Sequence[Split]
    candidate: str

    def margins(self, settings: Settings) -> Iterator[tuple[Split, np.ndarray]]:
        """The margins of the test rows of every fold; a fold is fitted when it is asked for."""
        for split in self.chosen:
            model = fit_margin(self.candidate, self.rows.take(split.train), settings)
            yield split, model.margin(self.rows.matrix[split.test])

    def precisions(self, settings: Settings) -> Iterator[tuple[str, float]]:
        """(fold, average precision), oldest fold first."""
        for split, margin in self.margins(settings):
            yield split.name, metrics.average_precision(self.rows.outcome[split.test], margin)

    def compared(self, before: Settings, after: Settings) -> tuple[float, float]:
        """The mean gain over the folds and its standard error: over folds or over units, whichever is larger."""
        both = pd.concat(
            pd.DataFrame({
                "fold": split.name, "unit": self.rows.unit[split.test], "outcome": self.rows.outcome[split.test],
                "score": new, "rule": old,
            })
            for (split, old), (_, new) in zip(self.margins(before), self.margins(after))
        )  # fmt: skip
        both = both.reset_index(drop=True)
        gains = grade.per_date(both, "score") - grade.per_date(both, "rule")
        drawn_after, drawn_before = grade.drawn(both)
        over_units = float(np.nanstd(drawn_after - drawn_before))
        over_folds = float(gains.std(ddof=1) / np.sqrt(len(gains))) if len(gains) > 1 else 0.0
        return float(gains.mean()), max(over_units, over_folds)


def _choosing(config: TrainConfig, table: Rows, say: Say) -> list[Split]:
    """The folds that training chooses on: none knows an outcome of a test date."""
    if cross.applies(config):
        say("WARNING the table holds one day: tuned on four fifths of its customers, whom a grade on it sees again")
        return [own for outer in cross.splits(table)[:1] for own in grouped_splits(table, outer.train)]
    plan = folds(table.dates, config.span_days, config.as_of.test_dates)
    tests = splits(table, plan.test, say)
    chosen = job.choosing(table, plan, tests, say) if tests else []
    if not chosen:
        raise DataError(
            f"as_of: of the {len(table.dates)} mature dates none before the tests has both outcomes, on it and on the "
            "dates it may learn from, so there is nothing to tune on; use more dates or more history"
        )
    return chosen


def _candidates(config: TrainConfig, table: Rows, chosen: Sequence[Split]) -> list[str]:
    known = np.unique(np.concatenate([part for split in chosen for part in (split.train, split.test)]))
    count = len(np.unique(table.customer[known][table.outcome[known] == 1]))
    candidates = job.allowed(config.candidates, count)
    if not candidates:
        raise DataError(
            f"{config.model}: {count} customers with an outcome before the test dates, where LightGBM needs {job.FEW} "
            f"and logistic {job.TOO_FEW}: of {', '.join(config.candidates)} none competes, and rules have no settings; "
            "train without tuning, or use more history"
        )
    return candidates


def _found(study: Study, judge: _Judge) -> Found:
    attempts = tuple(study.attempts)
    best = max(attempts, key=lambda attempt: attempt.value)
    gain, error = 0.0, 0.0
    if best.number:
        gain, error = judge.compared(study.own, _updated(study.own, study.candidate, best.settings))
    return Found(study.candidate, study.name, attempts, best, gain, error)


def _with(own: Settings, found: Sequence[Found]) -> Settings:
    """The settings of the YAML, with the sections of the winners."""
    for winner in (one for one in found if one.taken):
        own = _updated(own, winner.candidate, winner.best.settings)
    return own


def _updated(own: Settings, candidate: str, section: dict) -> Settings:
    return own.model_copy(update={candidate: type(getattr(own, candidate))(**section)})
