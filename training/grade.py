"""A, B or C: how surely the recipe beats the best rule on later dates."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from training import metrics

Letter = Literal["A", "B", "C"]
SURPLUS = 0.10
BETTER_DATES = 0.75
LIMITS: dict[str, float] = {"A": 0.01, "B": 0.03}


@dataclass(frozen=True)
class Grade:
    """The letter, its reasons in words and the figures behind it."""

    letter: Letter
    reasons: tuple[str, ...]
    figures: dict[str, float]


def ungraded(reason: str) -> Grade:
    """Grade C where there is nothing to compare."""
    return Grade("C", (reason,), {})


def grade(test: pd.DataFrame) -> Grade:
    """The grade from test rows: columns fold, unit, outcome, score (of the model), rule (score of the best
    rule).

    Average precision is averaged over the test dates; its intervals are bootstrapped over units. A: the lower
    95% bound of ΔAP / (1 − AP of the rule) ≥ .10. B: the lower bound of ΔAP > 0. Both: ΔAP > 0 on three
    quarters of the dates, and calibration within the limit of the grade.
    """
    model, rule = per_date(test, "score"), per_date(test, "rule")
    drawn_model, drawn_rule = drawn(test)
    gain = drawn_model - drawn_rule
    low, high = metrics.interval(gain)
    surplus = metrics.interval(gain / np.maximum(1 - drawn_rule, 1e-9))[0]
    error, perfect = _calibration(test)
    figures = {
        "ap_model": model.mean(), "ap_rule": rule.mean(), "gain": (model - rule).mean(), "gain_low": low,
        "gain_high": high, "surplus_low": surplus, "dates": len(model), "dates_better": (model > rule).sum(),
        "ece": error, "ece_of_a_perfect_model": perfect,
    }  # fmt: skip
    return _letter({name: round(float(value), 6) for name, value in figures.items()})


def _letter(f: dict[str, float]) -> Grade:
    failed = {letter: _failures(f, letter) for letter in ("A", "B")}
    if not failed["A"]:
        return Grade("A", (f"surely better than the rule: lower bound of the surplus {f['surplus_low']:.3f}",), f)
    if not failed["B"]:
        return Grade("B", ("better than the rule, but not an A: " + "; ".join(failed["A"]),), f)
    return Grade("C", tuple(failed["B"]), f)


def _failures(f: dict[str, float], letter: str) -> list[str]:
    failures = []
    if letter == "A" and f["surplus_low"] < SURPLUS:
        failures.append(
            f"lower bound of the gain over the rule's room is {f['surplus_low']:.3f}, {SURPLUS:.2f} is needed"
        )
    if f["gain_low"] <= 0:
        failures.append(f"not surely better than the rule: gain {f['gain']:.3f}, lower bound {f['gain_low']:.3f}")
    if f["dates_better"] < BETTER_DATES * f["dates"]:
        failures.append(f"better than the rule on {f['dates_better']:.0f} of {f['dates']:.0f} dates only")
    limit = LIMITS[letter] + f["ece_of_a_perfect_model"]
    if f["ece"] > limit:
        failures.append(f"calibration failed: ECE {f['ece']:.4f}, allowed {limit:.4f}")
    return failures


def per_date(test: pd.DataFrame, column: str) -> np.ndarray:
    """Average precision of a column of scores on each date, oldest first."""
    return np.array([
        metrics.average_precision(part["outcome"].to_numpy(), part[column].to_numpy())
        for _, part in test.groupby("fold", sort=True)
    ])  # fmt: skip


def drawn(test: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Bootstrapped average precision of ``score`` and of ``rule``: the mean over dates with an outcome in the draw."""
    dates = [np.asarray(rows) for _, rows in sorted(test.groupby("fold").indices.items())]
    outcome = test["outcome"].to_numpy()
    rankings = [
        [metrics.Ranking.of(outcome[rows], test[column].to_numpy()[rows]) for column in ("score", "rule")]
        for rows in dates
    ]
    blocks: list[np.ndarray] = []
    for weights in metrics.resampled(test["unit"].to_numpy()):
        per_date = [
            [ranking.average_precision(weights[:, rows]) for ranking in pair]
            for rows, pair in zip(dates, rankings, strict=True)
        ]
        blocks.append(_mean_of_known(np.array(per_date)))
    drawn = np.concatenate(blocks, axis=1)
    return drawn[0], drawn[1]


def _mean_of_known(per_date: np.ndarray) -> np.ndarray:
    """(dates, 2, d) → (2, d), dates without an outcome in the draw left out."""
    known = ~np.isnan(per_date)
    count = known.sum(axis=0)
    return np.where(count > 0, np.where(known, per_date, 0.0).sum(axis=0) / np.maximum(count, 1), np.nan)


def _calibration(test: pd.DataFrame) -> tuple[float, float]:
    scores = test["score"].to_numpy()
    return metrics.ece(test["outcome"].to_numpy(), scores), metrics.ece_of_a_perfect_model(scores)
