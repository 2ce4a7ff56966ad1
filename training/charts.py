"""The pictures of a training's page: reliability, gains, later dates. Numerals only, so no font is missed."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter, StrMethodFormatter

from features.checks.charts import BLUE, GREY, ORANGE, svg
from training import metrics

POINTS = 400
_LINES: dict[str, Any] = {
    "score": {"color": BLUE, "linestyle": "-", "marker": "o"},
    "rule": {"color": ORANGE, "linestyle": "--", "marker": "s"},
    "base": {"color": GREY, "linestyle": ":", "marker": "^"},
}
_STYLE = {"lines.linewidth": 1.8, "lines.markersize": 4.5, "grid.color": "#dddddd", "grid.linewidth": 0.6}


def reliability(outcome: np.ndarray, scores: np.ndarray) -> str:
    """Mean score against the share with the outcome in ten equal groups, and the diagonal. All (n,)."""
    groups = pd.DataFrame({"score": scores, "outcome": outcome}).groupby(metrics.bins(scores)).mean()
    top = 1.06 * max(groups.max().max(), 0.01)

    def draw(axes: Axes) -> None:
        axes.plot([0, top], [0, top], color=GREY, linewidth=1, linestyle=":")
        axes.plot(groups["score"], groups["outcome"], **_LINES["score"])
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(PercentFormatter(1, decimals=0 if top > 0.06 else 1))
            axis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
        axes.set(xlim=(0, top), ylim=(0, top))
        axes.grid()

    return svg(draw, 7.6, 3.6, _STYLE)


def gains(scored: pd.DataFrame, contacts: int) -> str:
    """Share of the outcomes found against customers contacted per date, mean over the dates; the capacity marked.

    scored: fold, outcome, ``rule`` and, where a candidate was graded, ``score``.
    """
    curves = {name: _found(scored, name) for name in rankings(scored)}
    last = len(curves["rule"]) - 1

    def draw(axes: Axes) -> None:
        shown = np.unique(np.linspace(0, last, POINTS).astype(int))
        axes.plot([0, last], [0, 1], color=GREY, linewidth=1, linestyle=":")
        for name, curve in curves.items():
            axes.plot(shown, curve[shown], **_LINES[name] | {"marker": ""})
        axes.axvline(contacts, color="black", linewidth=1, linestyle="-.")
        axes.annotate(
            f"{contacts:,}", (contacts, 1.05), (5, -2), textcoords="offset points", weight="bold", annotation_clip=False
        )
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        axes.xaxis.set_major_locator(MaxNLocator(7, integer=True))
        axes.set(xlim=(0, 1.02 * max(last, contacts)), ylim=(0, 1.09))
        axes.grid()

    return svg(draw, 7.6, 3.2, _STYLE)


def folds(scored: pd.DataFrame) -> str:
    """Average precision of the model and of the best rule, and the base rate, on each test date."""
    lines = precisions(scored)

    def draw(axes: Axes) -> None:
        places = np.arange(len(lines))
        for name in lines:
            axes.plot(places, lines[name], **_LINES[name])
        step = -(-len(lines) // 7)
        axes.set_xticks(places[::step], list(lines.index[::step]))
        axes.set(xlim=(-0.3, len(lines) - 0.7), ylim=(0, 1.12 * lines.max().max()))
        axes.grid(axis="y")

    return svg(draw, 7.6, 2.6, _STYLE)


def rankings(scored: pd.DataFrame) -> list[str]:
    """The scores there are: the model's, where a candidate was graded, and the best rule's."""
    return [name for name in ("score", "rule") if name in scored]


def precisions(scored: pd.DataFrame) -> pd.DataFrame:
    """A row per test date, oldest first: average precision of ``score`` and ``rule``, and the ``base`` rate."""
    rows: Mapping[Any, pd.DataFrame] = dict(list(scored.groupby("fold", sort=True)))
    every = {
        fold: {
            name: metrics.average_precision(own["outcome"].to_numpy(), own[name].to_numpy()) for name in rankings(own)
        }
        | {"base": own["outcome"].mean()}
        for fold, own in rows.items()
    }
    return pd.DataFrame.from_dict(every, orient="index")


def _found(scored: pd.DataFrame, ranking: str) -> np.ndarray:
    """The share found after 0, 1, 2, … contacts, mean over the dates; as long as the smallest date."""
    curves = []
    for _, own in scored.groupby("fold"):
        ordered = own["outcome"].to_numpy()[np.argsort(-own[ranking].to_numpy(), kind="stable")]
        curves.append(np.insert(np.cumsum(ordered) / max(ordered.sum(), 1), 0, 0.0))
    shortest = min(map(len, curves))
    return np.mean([curve[:shortest] for curve in curves], axis=0)
