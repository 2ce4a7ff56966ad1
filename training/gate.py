"""Who may become champion."""

from training.config import Gate
from training.info import Info
from training.versus import Versus


def decide(new: Info, gate: Gate, current: Info | None, against: Versus | None = None) -> tuple[bool, str]:
    """Whether a bundle takes the champion's place, and why.

    Grade C (the best rule): only where no graded model is placed. A or B: at least ``min_grade``. Beside a graded
    champion, where both could be compared (``against``) on enough outcomes: surely not worse by more than .01 in
    average precision, for an equal, fresher model wins. Else: not below the grade of the champion.
    """
    placed = current.grade if current else None
    if new.grade == "C":
        if placed in ("A", "B"):
            return False, f"grade C: the champion of grade {placed} stays"
        return True, "grade C: the best rule is served, labelled as such"
    if new.grade > gate.min_grade:
        return False, f"grade {new.grade}, and gate.min_grade is {gate.min_grade}"
    if placed in ("A", "B") and against and against.enough:
        verdict = "champion" if against.not_worse else f"the champion of grade {placed} stays, it may be better"
        return against.not_worse, f"grade {new.grade}, {against}: {verdict}"
    if placed and new.grade > placed:
        return False, f"grade {new.grade}: the champion of grade {placed} stays"
    return True, f"grade {new.grade}: champion"
