"""A study: settings tried one after another on the same folds, kept in SQLite, gone on with by the next run."""

import fcntl
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.exceptions import StorageInternalError
from optuna.pruners import MedianPruner
from optuna.samplers import TPESampler
from optuna.storages import BaseStorage, RDBStorage
from optuna.trial import FrozenTrial, Trial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from features.errors import ConfigError, DataError
from training.fit import NoFit
from training.settings import Settings
from training.tuning.space import SPACES, cost, settled, space

Say = Callable[[str], None]
Judge = Callable[[Settings], Iterator[tuple[str, float]]]

FILE = "tuning.db"
WAIT = 10.0  # seconds for another program that has the file open
TIE = 0.001  # average precision that the most expensive reasons must be worth
FIRST = 5  # whole trials before the median says anything
IN_VAIN = 10  # failures one after another: it is not the settings
STATES = {TrialState.COMPLETE: "complete", TrialState.PRUNED: "pruned", TrialState.FAIL: "failed"}

ENOUGH = {"logistic": 20}  # one number needs no more trials


@dataclass(frozen=True)
class Budget:
    """When to stop. trials: of each candidate, those of earlier runs included; minutes: of this run, in all."""

    trials: int | None = None
    minutes: float | None = None
    clock: Callable[[], float] = time.monotonic
    until: float = np.inf

    def __post_init__(self) -> None:
        for name, value in (("--trials", self.trials), ("--minutes", self.minutes)):
            if value is not None and not 0 < value < np.inf:
                raise ConfigError(f"{name} {value}: must be above 0; leave it out for the default")

    def started(self) -> "Budget":
        return self if self.minutes is None else replace(self, until=self.clock() + 60 * self.minutes)

    def share(self, candidates: int) -> "Budget":
        """An equal share of the time that is left, for the next of so many candidates."""
        now = self.clock()
        return replace(self, until=now + (self.until - now) / candidates)

    @property
    def over(self) -> bool:
        return self.clock() >= self.until

    def enough(self, candidate: str, trials: int) -> bool:
        return self.over or trials >= min(self.trials or trials + 1, ENOUGH.get(candidate, trials + 1))


@dataclass(frozen=True)
class Attempt:
    """A finished trial. state: complete, pruned or failed; folds: average precision by fold, as far as it came.

    value: the mean gain over the settings of the YAML, less what the reasons cost; −∞ unless complete.
    """

    number: int
    state: str
    settings: dict[str, Any]
    folds: dict[str, float]
    value: float

    @property
    def mean(self) -> float:
        return float(np.mean(list(self.folds.values())))


@contextmanager
def opened(home: Path) -> Iterator[BaseStorage]:
    """The studies of this workspace, for one run at a time. Raises DataError when they cannot be used."""
    home.mkdir(parents=True, exist_ok=True)
    for name in ("optuna", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)
    file = home / FILE
    with _alone(file):
        try:
            storage = _storage(file)
            try:
                yield storage
            finally:
                storage.remove_session()
                storage.engine.dispose()
        except (SQLAlchemyError, StorageInternalError) as error:
            reason = str(getattr(error.__cause__ or error, "orig", error)).splitlines()[0]
            raise DataError(
                f"{file}: trials cannot be kept there ({reason}); close what else has it open, or move it "
                "away and tune again: its trials are then made anew"
            ) from None


@contextmanager
def _alone(file: Path) -> Iterator[None]:
    """The system frees the lock even when the process is killed."""
    with file.with_suffix(".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DataError(f"{file}: another tuning is running on this workspace; wait for it to end") from None
        yield


def _storage(file: Path) -> RDBStorage:
    try:
        return RDBStorage(f"sqlite:///{file}", engine_kwargs={"connect_args": {"timeout": WAIT}})
    except RuntimeError as error:  # the tables are those of another version of Optuna
        raise StorageInternalError(str(error)) from None


@dataclass(frozen=True)
class Study:
    """The trials of one candidate, kept under ``name``; ``own`` are the settings of the YAML.

    judge: yields (fold, average precision) of some settings, oldest fold first. A trial is drawn by its number and by
    the trials before it, so that a study made in two runs equals one made in one.
    """

    storage: BaseStorage
    name: str
    candidate: str
    own: Settings
    judge: Judge
    say: Say

    def search(self, budget: Budget) -> bool:
        """Make trials, the settings of the YAML first, as long as the budget lasts; whether Ctrl-C ended it.

        Raises NoFit when the settings of the YAML cannot be fitted.
        """
        start = len(self.attempts)
        try:
            while not (done := self.attempts) or not budget.enough(self.candidate, len(done)):
                if [own.state for own in done[start:][-IN_VAIN:]] == ["failed"] * IN_VAIN:
                    self.say(f"{self.candidate}: {IN_VAIN} trials failed one after another; no more are made")
                    break
                self._trial(done, budget)
        except KeyboardInterrupt:
            return True
        return False

    @property
    def attempts(self) -> list[Attempt]:
        """The trials that ended, oldest first."""
        return [_attempt(own) for own in self._study.get_trials(deepcopy=False) if own.state in STATES]

    @cached_property
    def _kept(self) -> optuna.Study:
        return optuna.create_study(
            study_name=self.name, storage=self.storage, load_if_exists=True, direction="maximize"
        )

    @cached_property
    def _study(self) -> optuna.Study:
        """The study in memory: a trial is kept when it has ended, in one piece; of one cut off nothing is left."""
        study = optuna.create_study(direction="maximize", pruner=MedianPruner(FIRST))
        study.add_trials(self._kept.get_trials())
        return study

    def _trial(self, done: list[Attempt], budget: Budget) -> None:
        trial, settings = self._drawn(len(done))
        try:
            said = self._judged(trial, settings, done[0].folds if done else None, budget)
        except NoFit as error:
            if not done:
                raise
            self._end(trial, TrialState.FAIL)
            said = f"failed: {error}"
        if said:
            self.say(f"{self.candidate} trial {len(done)}: {said}")

    def _end(self, trial: Trial, state: TrialState, value: float | None = None) -> None:
        self._kept.add_trial(self._study.tell(trial, value, state))

    def _drawn(self, number: int) -> tuple[Trial, Settings]:
        section = getattr(self.own, self.candidate)
        if number == 0:
            self._study.enqueue_trial(section.model_dump(include=set(SPACES[self.candidate])))
        self._study.sampler = TPESampler(seed=number, multivariate=True, constant_liar=False)
        trial = self._study.ask(space(self.candidate, self.own))
        settings = settled(self.candidate, self.own, trial.params) if number else self.own
        trial.set_user_attr("settings", getattr(settings, self.candidate).model_dump(exclude_none=True))
        return trial, settings

    def _judged(self, trial: Trial, settings: Settings, first: dict[str, float] | None, budget: Budget) -> str | None:
        """What came of it; None when the time is over before the last fold."""
        folds, gain = dict[str, float](), 0.0
        for fold, precision in self.judge(settings):
            folds[fold] = precision
            trial.set_user_attr("folds", folds)
            gain = float(np.mean([folds[name] - first[name] for name in folds])) if first else 0.0
            trial.report(gain, len(folds))
            if first and len(folds) < len(first):
                if trial.should_prune():
                    self._end(trial, TrialState.PRUNED)
                    return f"pruned after {fold}, gain {gain:+.4f}"
                if budget.over:
                    return None
        self._end(trial, TrialState.COMPLETE, gain - TIE * cost(self.candidate, settings))
        return f"average precision {np.mean(list(folds.values())):.4f}, gain {gain:+.4f}"


def _attempt(trial: FrozenTrial) -> Attempt:
    told = trial.user_attrs
    value = trial.value if trial.state == TrialState.COMPLETE and trial.value is not None else -np.inf
    return Attempt(trial.number, STATES[trial.state], told["settings"], told.get("folds", {}), value)
