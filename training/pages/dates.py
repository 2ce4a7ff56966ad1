"""The test dates: what each was trained on, how each candidate did on it, and the table of every fold."""

from html import escape
from typing import Any

import pandas as pd

from training.job import Evaluation
from training.pages import timeline
from training.pages.judged import DIGITS
from training.pages.markup import MARKS, empty, head, image, number, paragraph, row, section, table
from training.pages.why import cross_validated, unscored


def intervals(own: Evaluation) -> pd.DataFrame:
    """Average precision of each candidate on each test fold, as of ``timeline.intervals``; empty without test rows."""
    return timeline.intervals(compared(own)) if len(own.scored) else pd.DataFrame()


def pictures(own: Evaluation, found: pd.DataFrame) -> dict[str, str]:
    """The folds on the calendar, and the candidates on the folds, of which ``found`` has the ``intervals``."""
    drawn = {}
    if own.folds.test and not cross_validated(own):
        drawn["rolling"] = timeline.rolling(own.folds, own.config)
    if len(found):
        drawn["precisions"] = timeline.precisions(found)
    return drawn


def compared(own: Evaluation) -> pd.DataFrame:
    """Out-of-time scores of every candidate there are scores of, and of the best rule, as of ``evaluate.score``."""
    if len(own.every):
        return own.every
    names = {"score": own.chosen, "rule": own.rule}
    parts = [
        own.scored[["fold", "unit", "outcome"]].assign(candidate=name, score=own.scored[column])
        for column, name in names.items()
        if column in own.scored
    ]
    return pd.concat(parts, ignore_index=True)


def folds(own: Evaluation, drawn: dict[str, str], said: dict[str, Any]) -> str:
    """The section of both pictures; hollow marks are explained where there are any."""
    said = said if own.folds.selection else said | {"folds_key": said["folds_key_tests"]}
    parts = []
    if "rolling" in drawn:
        parts += [image(drawn["rolling"], said["folds_alt"])]
    else:
        parts += [paragraph(said["folds_none"])]
    if "precisions" not in drawn:
        why = paragraph(said["empty"].format(why=unscored(own, said)))
        return section(said, "folds", "".join([*parts, why]), key="rolling" in drawn)
    names = dict.fromkeys(compared(own)["candidate"])
    signs = {named(name, said): timeline.kind(name) for name in names} | {said["base_rate"]: "level"}
    shown = " ".join(f"{MARKS[sign]}\u00a0{escape(name)}\u3000" for name, sign in signs.items())
    parts += [f"<p>{escape(said['precisions_key'])} {shown}</p>"]
    parts += [image(drawn["precisions"], said["precisions_alt"])]
    return section(said, "folds", "".join(parts), key="rolling" in drawn)


def named(candidate: str, said: dict[str, Any]) -> str:
    """What people call a candidate, or a rule by its column."""
    return said["candidates"].get(candidate) or said["rule"].format(name=candidate)


def every(own: Evaluation, said: dict[str, Any]) -> str:
    """The figures of every fold: every candidate, and of the rules the best one."""
    folds = pd.concat([own.selection, own.tests])
    if folds.empty:
        return empty(said, "table", said["no_table"])
    shown = folds[~folds["rule"].astype(bool) | (folds["candidate"] == own.rule)]
    numbers = [name for name in said["columns"] if name in DIGITS and name in shown]
    before, rows = shown[["stage", "fold"]].shift(), []
    for fold, last in zip(shown.to_dict("records"), before.to_dict("records"), strict=True):
        kind = "other" if fold["fold"] != last["fold"] else ""
        names = (said["selection" if fold["stage"] == "selection" else "test_stage"], place(fold["fold"], said))
        values = (number(fold[name], DIGITS[name]) for name in numbers)
        rows.append(row((*names, named(fold["candidate"], said)), values, kind))
    columns = head((said["columns"][name] for name in ("stage", "fold", "candidate")),
                   (said["columns"][name] for name in numbers))  # fmt: skip
    return section(said, "table", table(columns, rows, "folds"))


def place(fold: str, said: dict[str, Any]) -> str:
    """A test date, or in words the part of the customers."""
    part = fold.removeprefix("customers ")
    return fold if part == fold else said["part"].format(part=part)


def measured(own: Evaluation, intervals: pd.DataFrame, said: dict[str, Any]) -> str:
    """The ``intervals`` as a table."""
    if intervals.empty:
        return empty(said, "measured", unscored(own, said))
    rows, last, columns = [], None, said["columns"]
    for found in intervals.to_dict("records"):
        interval = said["interval"].format(low=f"{found['low']:.3f}", high=f"{found['high']:.3f}")
        values = (f"{found['value']:.3f}", interval, f"{found['base_rate']:.1%}")
        kind = "other" if found["fold"] != last else ""
        rows.append(row((place(found["fold"], said), named(found["candidate"], said)), values, kind))
        last = found["fold"]
    numbers = (columns["average_precision"], said["interval_95"], columns["base_rate"])
    return section(said, "measured", table(head((columns["fold"], columns["candidate"]), numbers), rows, "folds"))
