"""A table of one day has no later date: five parts of the customers, each scored by a recipe that never saw it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from features.ready.config import Table
from features.snapshot_config import SnapshotConfig
from training.evaluate import Say, Split, best, grouped_splits, score, select
from training.grade import Grade
from training.rows import Rows
from training.settings import Settings

FOLDS = 5
UNSEEN = "a later date was never seen: a table of one day can show no decay, and earns a B at most"


@dataclass(frozen=True)
class Crossed:
    """selection: figures per split and candidate or rule. long: as of ``evaluate.score``, in one fold.

    chosen, rule: what was best over all splits. scored: the rows with the ``score`` of the candidate that was chosen
    without them, and the score of the ``rule``.
    """

    chosen: str | None
    rule: str | None
    selection: pd.DataFrame
    long: pd.DataFrame
    scored: pd.DataFrame


def applies(config: SnapshotConfig) -> bool:
    """Whether the data are of one day, so that only customers can be held out."""
    return isinstance(config.data, Table) and config.data.cross_section


def splits(rows: Rows) -> list[Split]:
    """Five parts of the units, each held out once; none where one of them holds one outcome only."""
    names, codes = np.unique(rows.unit, return_inverse=True)
    part = (np.random.default_rng(0).permutation(len(names)) % FOLDS)[codes]
    every = [Split(f"customers {k + 1}/{FOLDS}", *_apart(part == k)) for k in range(FOLDS)]
    tell = all(len(np.unique(rows.outcome[own])) == 2 for split in every for own in (split.train, split.test))
    return every if tell else []


def _apart(held: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.flatnonzero(~held), np.flatnonzero(held)


def crossed(rows: Rows, candidates: Sequence[str], settings: Settings, say: Say) -> Crossed:
    """Choose a candidate inside four parts, by cross-validation over their customers, and score the fifth with it.

    The rule is the best over all parts, which is to its advantage.
    """
    outer = splits(rows)
    selections = [_select(rows, split, candidates, settings, say) for split in outer]
    selection = pd.concat(selections, ignore_index=True) if selections else pd.DataFrame()
    chosen, rule = best(selection, rule=False), best(selection, rule=True)
    if not outer:
        return Crossed(chosen, rule, selection, pd.DataFrame(), pd.DataFrame())
    fitted = [name for name in candidates if all((own["candidate"] == name).any() for own in selections)]
    tables = [score(rows, [split], fitted, rule, settings, say) for split in outer]
    sides = [_beside(own, best(found, rule=False), rule) for own, found in zip(tables, selections, strict=True)]
    return Crossed(chosen, rule, selection, _one_list(tables), _one_list(sides))


def _select(rows: Rows, split: Split, candidates: Sequence[str], settings: Settings, say: Say) -> pd.DataFrame:
    inner = grouped_splits(rows, split.train)
    named = [replace(own, name=f"{split.name}, {own.name.removeprefix('customers ')}") for own in inner]
    return select(rows, named, candidates, settings, say)


def _beside(long: pd.DataFrame, chosen: str | None, rule: str | None) -> pd.DataFrame:
    """The rows once: their score by the rule and, where there is one, by the chosen candidate."""
    ruled = long[long["candidate"] == rule].rename(columns={"score": "rule"}).reset_index(drop=True)
    if chosen:
        ruled["score"] = long.loc[long["candidate"] == chosen, "score"].to_numpy()
    return ruled.drop(columns="candidate")


def _one_list(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """All parts as the one list they would be, in the order of the rows."""
    whole = pd.concat(tables, ignore_index=True).assign(fold=f"customers 1-{FOLDS}")
    return whole.sort_values("row", kind="stable", ignore_index=True)


def capped(found: Grade) -> Grade:
    """The grade, at most a B: cross-validation cannot show what time does to a model."""
    return replace(found, letter="B", reasons=(UNSEEN,)) if found.letter == "A" else found
