"""The test dates as pictures: what each was trained on, and how each candidate did on it. Numerals only."""

from collections.abc import Sequence
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.dates import date2num

from features.calendar import as_of_dates
from features.checks.charts import BLUE, GREY, ORANGE, svg
from training import metrics
from training.config import TrainConfig
from training.folds import Fold, Folds
from training.pages.charts import STYLE

GREEN = "#007a5a"
DRAWS = 400
HIGHEST, TICKS = 9.0, 7
_POINTS: dict[str, Any] = {
    "logistic": {"color": BLUE, "marker": "o"},
    "lightgbm": {"color": GREEN, "marker": "D"},
    "ruled": {"color": ORANGE, "marker": "s", "linestyle": "--"},
    "level": {"color": GREY, "marker": "^"},
}


def kind(candidate: str) -> str:
    """The mark of a candidate: every rule has the same."""
    return candidate if candidate in _POINTS else "ruled"


def rolling(plan: Folds, config: TrainConfig) -> str:
    """A line per fold: train dates, the embargo until their outcomes are known, the date and its horizon.

    The selection folds come first, with hollow diamonds.
    """
    every = [(fold, True) for fold in plan.selection] + [(fold, False) for fold in plan.test]
    outcome = config.outcome

    def draw(axes: Axes) -> None:
        for place, (fold, chooses) in enumerate(every):
            _trained(axes, place, fold)
            begins = _number(fold.test) + outcome.gap_days
            axes.barh(place, outcome.horizon_days, left=begins, height=0.5, facecolor="white", edgecolor=ORANGE)
            face: dict[str, Any] = {"markerfacecolor": "white"} if chooses else {}
            axes.plot([_number(fold.test)], [place], "D", color=ORANGE, markersize=6, zorder=3, **face)
        if plan.selection and plan.test:
            axes.axhline(len(plan.selection) - 0.5, color=GREY, linewidth=0.8)
        axes.set_yticks(range(len(every)), [str(fold.test) for fold, _ in every])
        axes.set_ylim(len(every) - 0.4, -0.6)
        _months(axes, [fold for fold, _ in every], outcome.gap_days + outcome.horizon_days)
        axes.grid(axis="x")

    return svg(draw, 7.6, min(0.7 + 0.34 * len(every), HIGHEST), STYLE)


def _trained(axes: Axes, place: int, fold: Fold) -> None:
    days, test = [_number(day) for day in fold.train], _number(fold.test)
    axes.barh(place, days[-1] - days[0], left=days[0], height=0.16, color=BLUE, alpha=0.35)
    axes.plot(days, [place] * len(days), "s", color=BLUE, markersize=4)
    hatched: dict[str, Any] = {"facecolor": "white", "edgecolor": GREY, "hatch": "////", "linewidth": 0.6}
    axes.barh(place, test - days[-1], left=days[-1], height=0.3, zorder=0, **hatched)


def _months(axes: Axes, folds: Sequence[Fold], ahead: int) -> None:
    first, last = min(fold.train[0] for fold in folds), max(fold.test for fold in folds)
    axes.set_xlim(_number(first) - 10, _number(last) + ahead + 10)
    months = as_of_dates("month", first, last) or [first]
    shown = months[:: -(-len(months) // TICKS)]
    axes.set_xticks([_number(day) for day in shown], [str(day)[:7] for day in shown])


def _number(day: date) -> float:
    return float(date2num(day))


def intervals(long: pd.DataFrame) -> pd.DataFrame:
    """Average precision per fold and candidate with its 95% interval over units: value, low, high; and the base rate.

    long: candidate, fold, unit, outcome, score, as of ``evaluate.score``. Rows keep the order of the candidates.
    """
    found = []
    for (fold, candidate), own in long.groupby(["fold", "candidate"], sort=False):
        outcome = own["outcome"].to_numpy()
        ranking = metrics.Ranking.of(outcome, own["score"].to_numpy())
        draws = [ranking.average_precision(weights) for weights in metrics.resampled(own["unit"].to_numpy(), DRAWS)]
        value = float(ranking.average_precision(np.ones((1, len(outcome))))[0])
        low, high = metrics.interval(np.concatenate(draws))
        found.append({"fold": fold, "candidate": candidate, "value": value, "low": low, "high": high,
                      "base_rate": outcome.mean()})  # fmt: skip
    return pd.DataFrame(found).sort_values("fold", kind="stable", ignore_index=True)


def precisions(found: pd.DataFrame) -> str:
    """The table of ``intervals`` as points with whiskers, side by side on each fold, and the base rate."""
    folds, candidates = list(dict.fromkeys(found["fold"])), list(dict.fromkeys(found["candidate"]))
    places = pd.Series(range(len(folds)), index=folds)

    def draw(axes: Axes) -> None:
        for position, (candidate, own) in enumerate(found.groupby("candidate", sort=False)):
            look = _POINTS[kind(str(candidate))] | {"linestyle": ""}
            across = places[own["fold"]].to_numpy() + 0.14 * (position - (len(candidates) - 1) / 2)
            reach = np.abs(own[["low", "high"]].to_numpy().T - own["value"].to_numpy())
            axes.errorbar(across, own["value"], yerr=reach, capsize=3, elinewidth=1.2, **look)
        base = found.groupby("fold", sort=False)["base_rate"].first()
        axes.plot(places[base.index], base, linestyle=":", **_POINTS["level"])
        step = -(-len(folds) // TICKS)
        axes.set_xticks(range(len(folds))[::step], [fold.removeprefix("customers ") for fold in folds[::step]])
        axes.set(xlim=(-0.5, len(folds) - 0.5), ylim=(0, min(1.02, 1.12 * found["high"].max())))
        axes.grid(axis="y")

    return svg(draw, 7.6, 2.8, STYLE)
