"""Every candidate on every fold: one tidy table of scores, one of figures."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from training import metrics
from training.fit import PARTS, Fitted, NoFit, fit_candidate, fit_margin, fit_number, parts
from training.folds import Fold
from training.rows import Rows
from training.rules import numbers
from training.settings import Settings

Say = Callable[[str], None]
Stage = Literal["selection", "test"]


@dataclass(frozen=True)
class Split:
    """Train and test positions in the rows; ``name`` is the test date or the part of the units held out."""

    name: str
    train: np.ndarray
    test: np.ndarray


def splits(rows: Rows, folds: Sequence[Fold], say: Say) -> list[Split]:
    """The folds as positions, without those whose train or test rows all have the same outcome."""
    every = [Split(f.test.isoformat(), rows.on(f.train), rows.on([f.test])) for f in folds]
    for split in every:
        if not _tells(rows, split):
            say(f"WARNING {split.name} is left out: in its train or test rows everybody, or nobody, has the outcome")
    return [split for split in every if _tells(rows, split)]


def grouped_splits(rows: Rows, inside: np.ndarray) -> list[Split]:
    """Cross-validation by unit within these positions, for data too short for selection folds."""
    part = parts(rows.unit[inside])
    every = [Split(f"customers {k + 1}/{PARTS}", inside[part != k], inside[part == k]) for k in range(PARTS)]
    return [split for split in every if _tells(rows, split)]


def _tells(rows: Rows, split: Split) -> bool:
    return all(len(np.unique(rows.outcome[part])) == 2 for part in (split.train, split.test))


def select(
    rows: Rows, chosen: Sequence[Split], candidates: Sequence[str], settings: Settings, say: Say
) -> pd.DataFrame:
    """Figures of every candidate and every rule on every selection split, one row each.

    A candidate that cannot be fitted on one of them is left out, and it is said why.
    """
    found, failed = [], set[str]()
    for split in chosen:
        train, test = rows.take(split.train), rows.take(split.test)
        for position in numbers(rows.columns):
            margin = fit_number(position, train).model.margin(test.matrix[:, [position]])
            found.append(_figures("selection", split.name, rows.columns[position]["name"], True, test, margin))
        for candidate in candidates:
            if candidate in failed:
                continue
            try:
                margin = fit_margin(candidate, train, settings).margin(test.matrix)
            except NoFit as error:
                say(f"WARNING {split.name}  {error}; the others compete without it")
                failed.add(candidate)
                continue
            found.append(_figures("selection", split.name, candidate, False, test, margin))
            say(_line(split, candidate, found[-1]["average_precision"], "selection"))
    return pd.DataFrame([figure for figure in found if figure["candidate"] not in failed])


def best(figures: pd.DataFrame, rule: bool) -> str | None:
    """The candidate or rule with the best mean average precision over the folds; on ties the first."""
    rows = figures[figures["rule"] == rule] if len(figures) else figures
    if rows.empty:
        return None
    return str(rows.groupby("candidate", sort=False)["average_precision"].mean().idxmax())


def score(
    rows: Rows, tests: Sequence[Split], candidates: Sequence[str], rule: str | None, settings: Settings, say: Say
) -> pd.DataFrame:
    """Calibrated scores of the candidates and one rule on the test folds, one row per candidate and test row.

    Columns: candidate, fold, row (position in ``rows``), customer_id, unit, outcome, score. Raises DataError when one
    of them cannot be fitted.
    """
    tables = []
    for split in tests:
        train, test = rows.take(split.train), rows.take(split.test)
        for candidate in (*candidates, *([rule] if rule else [])):
            scores = fit_named(candidate, train, settings).score(test.matrix[:, inputs(candidate, rows)])
            tables.append(_scores(candidate, split, test, scores))
            say(_line(split, candidate, metrics.average_precision(test.outcome, scores), "test"))
    return pd.concat(tables, ignore_index=True)


def fit_named(name: str, rows: Rows, settings: Settings) -> Fitted:
    """The candidate, or the rule of the column of this name, fitted and calibrated."""
    if name in ("logistic", "lightgbm"):
        return fit_candidate(name, rows, settings)
    return fit_number(inputs(name, rows)[0], rows)


def inputs(name: str, rows: Rows) -> list[int]:
    """Positions of the columns that a candidate or rule reads."""
    every = list(range(len(rows.columns)))
    return every if name in ("logistic", "lightgbm") else [i for i in every if rows.columns[i]["name"] == name]


def figures(scored: pd.DataFrame, candidates: Sequence[str], contacts: int) -> pd.DataFrame:
    """Figures of every candidate on every test fold, from the table of ``score``; ``contacts``: the capacity."""
    found = []
    for (fold, candidate), part in scored.groupby(["fold", "candidate"], sort=False):
        outcome, scores = part["outcome"].to_numpy(), part["score"].to_numpy()
        figure = {"stage": "test", "fold": fold, "candidate": candidate, "rule": candidate not in candidates}
        level = {"mean_score": scores.mean(), "drift": scores.mean() - outcome.mean()}
        level |= {"brier": metrics.brier(outcome, scores), "log_loss": metrics.log_loss(outcome, scores)}
        reached = metrics.at_capacity(outcome, scores, contacts)
        found.append({**figure, **_ranking(outcome, scores), **level, **reached})
    return pd.DataFrame(found)


def _line(split: Split, name: str, precision: float, stage: Stage) -> str:
    return f"{split.name}  {name}: average precision {precision:.3f} ({stage})"


def _figures(stage: Stage, fold: str, name: str, rule: bool, test: Rows, margin: np.ndarray) -> dict:
    return {"stage": stage, "fold": fold, "candidate": name, "rule": rule, **_ranking(test.outcome, margin)}


def _ranking(outcome: np.ndarray, score: np.ndarray) -> dict[str, float]:
    return {
        "rows": len(outcome),
        "base_rate": float(outcome.mean()),
        "average_precision": metrics.average_precision(outcome, score),
        "roc_auc": metrics.roc_auc(outcome, score),
    }


def _scores(candidate: str, split: Split, test: Rows, scores: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame({
        "candidate": candidate, "fold": split.name, "row": split.test, "customer_id": test.customer, "unit": test.unit,
        "outcome": test.outcome, "score": scores,
    })  # fmt: skip
