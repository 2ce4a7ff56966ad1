"""Who may become champion."""

from training.config import Gate
from training.info import Info


def decide(new: Info, gate: Gate, current: Info | None) -> tuple[bool, str]:
    """Whether a bundle takes the champion's place, and why.

    Grade C (the best rule): only where no graded model is placed. A or B: at least ``min_grade``, and not
    below the grade of the champion; an equal, fresher model wins.
    """
    placed = current.grade if current else None
    if new.grade == "C":
        if placed in ("A", "B"):
            return False, f"grade C: the champion of grade {placed} stays"
        return True, "grade C: the best rule is served, labelled as such"
    if new.grade > gate.min_grade:
        return False, f"grade {new.grade}, and gate.min_grade is {gate.min_grade}"
    if placed and new.grade > placed:
        return False, f"grade {new.grade}: the champion of grade {placed} stays"
    return True, f"grade {new.grade}: champion"
