"""One recipe judged: chosen on earlier dates, graded once on later ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property

import numpy as np
import pandas as pd

from features import facts
from features.errors import ConfigError
from features.snapshot import Snapshot, build, dates
from training import metrics
from training.config import TrainConfig
from training.evaluate import (
    Say,
    Split,
    best,
    figures,
    grouped_splits,
    score,
    select,
    splits,
)
from training.fit import one_thread
from training.folds import Folds, folds
from training.grade import Grade, grade, ungraded
from training.info import Metric
from training.rows import Rows, rows
from training.rules import numbers
from training.value import amounts

FEW, TOO_FEW = 50, 20


@dataclass(frozen=True)
class Evaluation:
    """What a recipe did on later dates.

    selection, tests: figures per fold and candidate. scored: the test rows with the ``score`` of the chosen
    candidate and the ``rule`` score; empty when nothing could be graded. chosen: candidate or None; rule:
    name of the best rule or None. contacts: the team's capacity in one period, over all owners.
    """

    config: TrainConfig
    rows: Rows
    contacts: int
    fingerprint: str
    folds: Folds
    chosen: str | None
    rule: str | None
    selection: pd.DataFrame
    tests: pd.DataFrame
    scored: pd.DataFrame
    grade: Grade

    @property
    def served(self) -> str | None:
        """What the bundle holds: the chosen candidate, or the best rule under grade C."""
        return self.rule if self.grade.letter == "C" else self.chosen

    @property
    def served_scores(self) -> np.ndarray:
        """Out-of-time scores of what is served, (n,)."""
        return self.scored["rule" if self.grade.letter == "C" else "score"].to_numpy()

    @cached_property
    def metrics(self) -> dict[str, Metric]:
        """Figures of what is served over all test rows, with 95% intervals over units."""
        if self.scored.empty or self.served is None:
            return {}
        figured = metrics.pooled(self.scored["outcome"].to_numpy(), self.served_scores, self.scored["unit"].to_numpy())
        return {
            name: Metric(value=round(value, 6), low=round(low, 6), high=round(high, 6))
            for name, (value, low, high) in figured.items()
        }


def snapshot(config: TrainConfig, say: Say, today: date | None = None) -> Snapshot:
    """The labelled snapshot of every as-of date. Raises DataError, also when ``value.amount`` is not in it."""
    known = facts.read(config.data, today=today)
    for late in known.late:
        say(f"WARNING {late}")
    every = dates(config, known)
    made = build(config, every, labels=True, known=known)
    amounts(made.frame, config.value)
    say(f"snapshot: {len(made.frame):,} rows, {len(made.features)} features, {len(every)} as-of dates")
    return made


def evaluate(config: TrainConfig, made: Snapshot, say: Say, compare: bool = False) -> Evaluation:
    """Choose and grade. With ``compare`` every candidate is scored on the test dates, for reading only.

    Raises DataError when the data are too short for one fold, ConfigError when no feature can be a rule.
    """
    with one_thread():
        table = rows(made.frame, made.features)
        plan = folds(table.dates, config.span_days, config.as_of.test_dates)
        if not numbers(table.columns):
            raise ConfigError("exclude: no feature is left that a rule could rank by; keep a recency or a count")
        capacity = contacts(config, made.frame)
        if not table.varies:
            return _nothing(config, table, capacity, made.fingerprint, plan)
        return _evaluate(config, table, capacity, made.fingerprint, plan, say, compare)


def contacts(config: TrainConfig, frame: pd.DataFrame) -> int:
    """The team's capacity in one period, over all owners in the frame."""
    owners = frame["owner"].nunique() if config.capacity.by == "owner" else 1
    return config.capacity.contacts * max(owners, 1)


def _nothing(config: TrainConfig, table: Rows, contacts: int, fingerprint: str, plan: Folds) -> Evaluation:
    which = "no customer" if not table.outcome.any() else "every customer"
    reason = f"{which} has the outcome on the {len(table.dates)} mature dates; nothing can be learnt or placed"
    empty = pd.DataFrame()
    nobody = (None, None, empty, empty, empty)
    return Evaluation(config, table, contacts, fingerprint, plan, *nobody, ungraded(reason))


def _evaluate(
    config: TrainConfig, table: Rows, contacts: int, fingerprint: str, plan: Folds, say: Say, compare: bool
) -> Evaluation:
    candidates = allowed(config.candidates, table.customers_with_outcome)
    tests = splits(table, plan.test)
    selection = select(table, _choosing(table, plan, tests, say), candidates, say)
    chosen, rule = best(selection, rule=False), best(selection, rule=True) or _first_rule(table)
    say(f"chosen: {chosen or 'no candidate'}; best rule: {rule}")
    if not tests:
        scored, found = pd.DataFrame(), pd.DataFrame()
    else:
        everyone = list(candidates) if compare else [chosen] if chosen else []
        long = score(table, tests, everyone, rule, say)
        scored, found = _side_by_side(long, chosen, rule), figures(long, config.candidates, contacts)
    verdict = _verdict(table, candidates, scored, chosen)
    return Evaluation(config, table, contacts, fingerprint, plan, chosen, rule, selection, found, scored, verdict)


def _choosing(table: Rows, plan: Folds, tests: Sequence[Split], say: Say) -> list[Split]:
    chosen = splits(table, plan.selection)
    if chosen:
        return chosen
    say("no date is mature before the first test date: choosing by cross-validation over customers instead")
    return grouped_splits(table, tests[0].train if tests else np.arange(len(table)))


def allowed(candidates: Sequence[str], customers_with_outcome: int) -> list[str]:
    """Small data: under 50 customers with an outcome only logistic competes, under 20 only the rules."""
    if customers_with_outcome < TOO_FEW:
        return []
    return [name for name in candidates if name == "logistic" or customers_with_outcome >= FEW]


def _first_rule(table: Rows) -> str:
    return table.columns[numbers(table.columns)[0]]["name"]


def _side_by_side(long: pd.DataFrame, chosen: str | None, rule: str) -> pd.DataFrame:
    ruled = long[long["candidate"] == rule].rename(columns={"score": "rule"}).reset_index(drop=True)
    if chosen:
        ruled["score"] = long.loc[long["candidate"] == chosen, "score"].to_numpy()
    return ruled.drop(columns="candidate")


def _verdict(table: Rows, candidates: Sequence[str], scored: pd.DataFrame, chosen: str | None) -> Grade:
    if not candidates:
        count = table.customers_with_outcome
        return ungraded(f"{count} customers with an outcome: under {TOO_FEW} only rules compete")
    if chosen is None or scored.empty:
        return ungraded("too few dates with both outcomes, in test and in train before: nothing can be graded")
    return grade(scored)
