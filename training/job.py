"""One recipe judged: chosen on earlier dates, graded once on later ones."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property

import numpy as np
import pandas as pd

from features import facts
from features.errors import ConfigError
from features.holdout import held_out
from features.ready import table as ready
from features.ready.config import Table
from features.snapshot import Snapshot, build, dates, latest
from training import cross, metrics
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
from training.stages import Stages
from training.value import Lifetime, amounts, check
from training.worth.lifetime import learn

FEW, TOO_FEW = 50, 20


@dataclass(frozen=True)
class Evaluation:
    """What a recipe did on later dates.

    selection, tests: figures per fold and candidate. scored: the test rows with the ``score`` of the chosen
    candidate and the ``rule`` score; empty when nothing could be graded. every: the same rows once per candidate,
    as of ``evaluate.score``, when candidates were compared. chosen: candidate or None; rule: name of the best rule or
    None. contacts: the team's capacity in one period, over all owners.
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
    every: pd.DataFrame = field(default_factory=pd.DataFrame)
    lifetime: Lifetime | None = None

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


@dataclass(frozen=True)
class Made(Snapshot):
    """The labelled snapshot, and the lifetime fitted on the same tables where ``value.amount`` asks for one."""

    lifetime: Lifetime | None = None


def snapshot(config: TrainConfig, say: Say, today: date | None = None) -> Made:
    """The labelled snapshot of every as-of date. Raises DataError, also when ``value.amount`` is not in it."""
    lifetime = None
    if isinstance(config.data, Table):
        made = ready.snapshot(config, say)
        every = made.frame["as_of"].unique().tolist()
    else:
        known = facts.read(config.data, today=today)
        for late in known.late:
            say(f"WARNING {late}")
        every = dates(config, known)
        made = build(config.model_copy(update={"buying": config.value.buying}), every, labels=True, known=known)
        lifetime = _lifetime(config, known, every, say)
    check(made.frame, config.value)
    say(f"snapshot: {len(made.frame):,} rows, {len(made.features)} features, {len(every)} as-of dates")
    return Made(made.frame, made.features, made.left_out, lifetime)


def _lifetime(config: TrainConfig, known: facts.Facts, every: Sequence[date], say: Say) -> Lifetime | None:
    """What customers who stay are expected to spend, learnt on the newest date."""
    if config.value.buying is None or not every:
        return None
    found = learn(config, config.value.buying, known, every[-1])
    say(f"lifetime: {found.repeat:,} of {found.customers:,} customers bought again")
    if found.finding == "related":
        say(f"WARNING lifetime: spend and frequency go together (correlation {found.correlation:.2f})")
    return found


def newest(config: TrainConfig, today: date) -> pd.DataFrame:
    """The rows of the newest list, without outcomes."""
    if isinstance(config.data, Table):
        raw = ready.read(config.data)
        return ready.make(ready.today(raw, raw.dates[-1])).snapshot.frame
    known = facts.read(config.data, today=today)
    return build(config, [latest(config, known)], labels=False, known=known).frame


@dataclass(frozen=True)
class Prepared:
    """What training needs of a snapshot, as arrays: the table itself can be let go."""

    rows: Rows
    contacts: int
    fingerprint: str
    lifetime: Lifetime | None = None


def prepare(config: TrainConfig, made: Snapshot) -> Prepared:
    """The mature rows of a labelled snapshot, with the amount of each. Raises DataError for a wrong column."""
    lifetime = made.lifetime if isinstance(made, Made) else None
    amount = amounts(made.frame, config.value, lifetime)
    held = held_out(made.frame["unit"].tolist(), config.holdout)
    table = rows(made.frame, made.features, amount=amount, held_out=held)
    return Prepared(table, contacts(config, made.frame), made.fingerprint, lifetime)


def evaluate(
    config: TrainConfig, made: Snapshot | Prepared, say: Say, compare: bool = False, stages: Stages | None = None
) -> Evaluation:
    """Choose and grade. With ``compare`` every candidate is scored on the test dates, for reading only.

    Raises DataError when the data are too short for one fold, or the chosen candidate cannot be fitted; ConfigError
    when no feature can be a rule.
    """
    own = made if isinstance(made, Prepared) else prepare(config, made)
    table = own.rows
    with one_thread():
        alone = cross.applies(config)
        plan = Folds((), ()) if alone else folds(table.dates, config.span_days, config.as_of.test_dates)
        if not numbers(table.columns):
            raise ConfigError("exclude: no feature is left that a rule could rank by; keep a recency or a count")
        if not table.varies:
            return _nothing(config, own, plan)
        return _evaluate(config, own, plan, say, compare, stages or Stages())


def contacts(config: TrainConfig, frame: pd.DataFrame) -> int:
    """The team's capacity in one period, over all owners in the frame."""
    owners = frame["owner"].nunique() if config.capacity.by == "owner" else 1
    return config.capacity.contacts * max(owners, 1)


def _nothing(config: TrainConfig, own: Prepared, plan: Folds) -> Evaluation:
    which = "no customer" if not own.rows.outcome.any() else "every customer"
    reason = f"{which} has the outcome on the {len(own.rows.dates)} mature dates; nothing can be learnt or placed"
    empty = pd.DataFrame()
    nobody = (None, None, empty, empty, empty)
    return Evaluation(
        config, own.rows, own.contacts, own.fingerprint, plan, *nobody, ungraded(reason), lifetime=own.lifetime
    )


def _evaluate(config: TrainConfig, own: Prepared, plan: Folds, say: Say, compare: bool, stages: Stages) -> Evaluation:
    table, settings = own.rows, config.settings
    candidates = allowed(config.candidates, table.customers_with_outcome)
    if cross.applies(config):
        return _crossed(config, own, candidates, say, stages)
    tests = splits(table, plan.test, say)
    with stages("selection"):
        selection = select(table, choosing(table, plan, tests, say), candidates, settings, say)
    chosen, rule = best(selection, rule=False), best(selection, rule=True) or _first_rule(table)
    say(f"chosen: {chosen or 'no candidate'}; best rule: {rule}")
    long = scored = found = pd.DataFrame()
    if tests:
        fitted = selection.loc[~selection["rule"], "candidate"].unique().tolist() if len(selection) else []
        with stages("test"):
            long = score(table, tests, fitted if compare else [chosen] if chosen else [], rule, settings, say)
        scored, found = _side_by_side(long, chosen, rule), figures(long, config.candidates, own.contacts)
    with stages("grade"):
        verdict = _verdict(table, candidates, scored, chosen)
    told = (plan, chosen, rule, selection, found, scored, verdict, long if compare else pd.DataFrame())
    return Evaluation(config, table, own.contacts, own.fingerprint, *told, lifetime=own.lifetime)


def _crossed(config: TrainConfig, own: Prepared, candidates: list[str], say: Say, stages: Stages) -> Evaluation:
    """All rows speak of one day: chosen and graded by cross-validation over customers, and so at most a B."""
    say("the table holds one day: grading by cross-validation over customers; a later date was never seen")
    with stages("test"):
        found = cross.crossed(own.rows, candidates, config.settings, say)
    rule = found.rule or _first_rule(own.rows)
    say(f"chosen: {found.chosen or 'no candidate'}; best rule: {rule}")
    tests = figures(found.long, config.candidates, own.contacts) if len(found.long) else pd.DataFrame()
    verdict = cross.capped(_verdict(own.rows, candidates, found.scored, found.chosen))
    told = (Folds((), ()), found.chosen, rule, found.selection, tests, found.scored, verdict, found.long)
    return Evaluation(config, own.rows, own.contacts, own.fingerprint, *told, lifetime=own.lifetime)


def choosing(table: Rows, plan: Folds, tests: Sequence[Split], say: Say) -> list[Split]:
    chosen = splits(table, plan.selection, say)
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
