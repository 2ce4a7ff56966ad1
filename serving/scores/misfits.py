"""What in ``changes`` a model cannot take. The input itself is never repeated, only where it stands."""

import difflib
from collections.abc import Iterator
from typing import Any

from serving.life.prepared import Prepared
from serving.problem import Detail
from serving.scores.schema import Customer
from training.columns import Column

NEVER_NEGATIVE = ("count", "days", "weeks", "share")
STEEPEST = 15.0


def of(model: Prepared, customer: Customer, path: str, hints: Iterator[int]) -> Iterator[Detail]:
    """Every entry of a row's changes that does not fit, at its place.

    hints: runs out; each unknown name takes one, for looking for the name that is nearest takes a millisecond or two.
    """
    path = f"{path}.changes"
    for place, (name, value) in enumerate(customer.changes.items(), 1):
        column = model.columns.get(name)
        if column is None:
            near = difflib.get_close_matches(name[:100], model.columns, 1) if next(hints, None) is not None else []
            hint = f"; the nearest name is {near[0]}" if near else ""
            yield Detail(path, f"entry {place}, counted from 1, is no feature of {model.served.run.model}{hint}")
            continue
        if model.follows(name) in customer.events:
            yield Detail(path, f"{name} follows from the events that are given; leave it out of changes")
        problem = _misfit(column, value)
        if problem:
            yield Detail(path, f"{name} {problem}, or null")


def _misfit(column: Column, value: Any) -> str | None:
    if value is None:
        return None
    if column["kind"] == "category":
        allowed = column["categories"] or []
        return None if value in allowed else f"is a category; allowed: {', '.join(allowed)}"
    if isinstance(value, str):
        return "is a number; give a finite number"
    if column["unit"] in NEVER_NEGATIVE and value < 0:
        return "cannot be negative; give 0 or more"
    if column["unit"] == "flag" and value not in (0, 1):
        return "is a flag; give 0 or 1"
    if column["measure"] == "trend" and abs(value) > STEEPEST:
        return f"is the logarithm of a ratio; give −{STEEPEST:g} to {STEEPEST:g}"
    return None
