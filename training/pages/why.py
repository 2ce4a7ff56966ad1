"""Why a training has its grade, in English or Japanese."""

from functools import cache
from pathlib import Path
from typing import Any

import yaml

from features.config import Language
from training import grade, job, metrics
from training.job import Evaluation


@cache
def words() -> dict[Language, dict[str, Any]]:
    """Everything the page says, in both languages."""
    return yaml.safe_load(Path(__file__).with_name("words.yaml").read_text(encoding="utf-8"))


def suited(evaluation: Evaluation, said: dict[str, Any]) -> dict[str, Any]:
    """The words for a training that was chosen, or also tested, on customers held out in place of dates."""
    kinds = {"parted": chosen_by_customers(evaluation), "crossed": cross_validated(evaluation)}
    for own in (said[kind] for kind, holds in kinds.items() if holds):
        deeper = {name: said[name] | part for name, part in own.items() if isinstance(part, dict)}
        said = said | own | deeper
    return said


def passes(figures: dict[str, float], dated: bool = True) -> dict[str, dict[str, bool]]:
    """Each test of a grade, and whether these figures pass it for an A and for a B.

    ``dated``: graded on later dates; by cross-validation alone no A is given.
    """
    sure = figures["gain_low"] > 0
    often = figures["dates_better"] >= grade.BETTER_DATES * figures["dates"]
    true = {letter: figures["ece"] <= limit(figures, letter) for letter in grade.LIMITS}
    return {
        "surplus": {"A": figures["surplus_low"] >= grade.SURPLUS, "B": True},
        "gain": {"A": sure, "B": sure},
        "dates": {"A": often, "B": often},
        "ece": true,
        **({} if dated else {"dated": {"A": False, "B": True}}),
    }


def limit(figures: dict[str, float], letter: str) -> float:
    """The greatest calibration error that this letter allows."""
    return grade.LIMITS[letter] + figures["ece_of_a_perfect_model"]


def why(evaluation: Evaluation, said: dict[str, Any]) -> list[str]:
    """The reasons of the grade in words: what kept it from the next better letter, or why there was no grading."""
    found, table, said = evaluation.grade.figures, evaluation.rows, suited(evaluation, said)
    if found:
        next_better = "B" if evaluation.grade.letter == "C" else "A"
        failed = [
            test for test, passed in passes(found, not cross_validated(evaluation)).items() if not passed[next_better]
        ]
        values = found | {"surplus": grade.SURPLUS, "limit": limit(found, next_better)}
        return [said["why"][test].format(**values) for test in failed or ["passed"]]
    had = table.customers_with_outcome
    if table.varies and not job.allowed(evaluation.config.candidates, had):
        return [said["why"]["few"].format(had=had, least=job.TOO_FEW, more=job.FEW)]
    return [unscored(evaluation, said)]


def cross_validated(evaluation: Evaluation) -> bool:
    """Whether the test rows are parts of the customers, for want of later dates."""
    scored = evaluation.scored
    return len(scored) > 0 and bool(scored["fold"].str.startswith("customers ").all())


def chosen_by_customers(evaluation: Evaluation) -> bool:
    """Whether the candidates were compared on parts of the customers, for want of earlier dates."""
    chosen = evaluation.selection
    return len(chosen) > 0 and bool(chosen["fold"].str.startswith("customers ").all())


def served_calibration(evaluation: Evaluation, said: dict[str, Any]) -> list[str]:
    """Where the rule is served, how far its own scores are off: the grade speaks of the model that was judged."""
    own = evaluation.metrics.get("ece")
    if own is None or evaluation.served != evaluation.rule:
        return []
    most = grade.LIMITS["B"] + metrics.ece_of_a_perfect_model(evaluation.served_scores)
    text = said["served_ece_over" if own.value > most else "served_ece"]
    return [text.format(rule=evaluation.rule, ece=own.value, limit=most)]


def unscored(evaluation: Evaluation, said: dict[str, Any]) -> str:
    """Why no row of a test date has a score."""
    if evaluation.rows.varies:
        return said["why"]["untested" if evaluation.folds.test else "no_fold"]
    return said["why"]["everyone" if evaluation.rows.customers_with_outcome else "nobody"]
