"""The curves of a training's page: reliability, gains, lift, profit. Numerals only, so no font is missed."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter, StrMethodFormatter

from features.checks.charts import BLUE, GREY, ORANGE, svg
from training import metrics

if TYPE_CHECKING:
    from training.worth.profit import Profit

POINTS = 400
LINES: dict[str, Any] = {
    "score": {"color": BLUE, "linestyle": "-", "marker": "o"},
    "rule": {"color": ORANGE, "linestyle": "--", "marker": "s"},
}
STYLE = {
    "lines.linewidth": 1.8, "lines.markersize": 4.5, "grid.color": "#dddddd", "grid.linewidth": 0.6,
    "axes.axisbelow": True,
}  # fmt: skip


def reliability(outcome: np.ndarray, scores: np.ndarray) -> str:
    """Mean score against the share with the outcome in ten equal groups, and the diagonal. All (n,)."""
    groups = pd.DataFrame({"score": scores, "outcome": outcome}).groupby(metrics.bins(scores)).mean()
    top = 1.06 * max(groups.max().max(), 0.01)

    def draw(axes: Axes) -> None:
        axes.plot([0, top], [0, top], color=GREY, linewidth=1, linestyle=":")
        axes.plot(groups["score"], groups["outcome"], **LINES["score"])
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(PercentFormatter(1, decimals=0 if top > 0.06 else 1))
            axis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
        axes.set(xlim=(0, top), ylim=(0, top))
        axes.grid()

    return svg(draw, 7.6, 3.6, STYLE)


def gains(scored: pd.DataFrame, contacts: int) -> str:
    """Share of the outcomes found against customers contacted per date, mean over the dates; the capacity marked.

    scored: fold, outcome, ``rule`` and, where a candidate was graded, ``score``.
    """
    curves = {name: found(scored, name) for name in rankings(scored)}
    last = len(curves["rule"]) - 1

    def draw(axes: Axes) -> None:
        axes.plot([0, last], [0, 1], color=GREY, linewidth=1, linestyle=":")
        _curves(axes, curves, contacts, 1.05)
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.set(xlim=(0, 1.02 * max(last, contacts)), ylim=(0, 1.09))

    return svg(draw, 7.6, 3.2, STYLE)


def lift(scored: pd.DataFrame, contacts: int) -> str:
    """How many times more outcomes are found than by as many contacts at random, on the same axis as ``gains``."""
    every = {name: found(scored, name) for name in rankings(scored)}
    last = len(every["rule"]) - 1
    share = np.arange(1, last + 1) / last
    curves = {name: np.insert(curve[1:] / share, 0, np.nan) for name, curve in every.items()}
    first = max(1, last // 100)  # the few at the very top are chance
    top = 1.15 * max(1.0, *(float(np.nanmax(curve[first:])) for curve in curves.values()))

    def draw(axes: Axes) -> None:
        axes.axhline(1, color=GREY, linewidth=1, linestyle=":")
        _curves(axes, {name: np.where(np.arange(last + 1) < first, np.nan, own) for name, own in curves.items()},
                contacts, 0.96 * top)  # fmt: skip
        axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        axes.set(xlim=(0, 1.02 * max(last, contacts)), ylim=(0, top))

    return svg(draw, 7.6, 2.4, STYLE)


def profit(own: "Profit") -> str:
    """Expected and realised gain by list length; the capacity and the best cut marked."""
    shown, last = own.curve.points(POINTS), len(own.curve.expected) - 1
    both = np.stack([own.curve.expected, own.curve.realised])[:, shown]
    low, high = float(both.min()), float(both.max())
    room = max(high - low, 1e-9)

    def draw(axes: Axes) -> None:
        axes.axhline(0, color="black", linewidth=0.8)
        axes.plot(shown, own.curve.expected[shown], **LINES["score"] | {"marker": ""})
        axes.plot(shown, own.curve.realised[shown], **LINES["rule"] | {"marker": ""})
        _mark(axes, own.contacts, high + 0.12 * room, "-.")
        axes.axvline(own.best.length, color="black", linewidth=1.2, linestyle=":")
        axes.plot([own.best.length], [own.best.expected], marker="*", color="black", markersize=10, clip_on=False)
        axes.annotate(f"{own.best.length:,}", (own.best.length, low - 0.1 * room), (5, 0), textcoords="offset points")
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}" if room >= 10 else "{x:,.2f}"))
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        axes.set(xlim=(0, 1.02 * max(last, own.contacts)), ylim=(low - 0.15 * room, high + 0.18 * room))
        axes.grid()

    return svg(draw, 7.6, 3.2, STYLE)


def _curves(axes: Axes, curves: dict[str, np.ndarray], contacts: int, height: float) -> None:
    """The curves of the rankings by contacts, with the capacity."""
    shown = np.unique(np.linspace(0, len(curves["rule"]) - 1, POINTS).astype(int))
    for name, curve in curves.items():
        axes.plot(shown, curve[shown], **LINES[name] | {"marker": ""})
    _mark(axes, contacts, height, "-.")
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.xaxis.set_major_locator(MaxNLocator(7, integer=True))
    axes.grid()


def _mark(axes: Axes, at: int, height: float, line: str) -> None:
    axes.axvline(at, color="black", linewidth=1, linestyle=line)
    axes.annotate(
        f"{at:,}", (at, height), (5, -2), textcoords="offset points", weight="bold", annotation_clip=False
    )  # fmt: skip


def rankings(scored: pd.DataFrame) -> list[str]:
    """The scores there are: the model's, where a candidate was graded, and the best rule's."""
    return [name for name in ("score", "rule") if name in scored]


def found(scored: pd.DataFrame, ranking: str) -> np.ndarray:
    """The share found after 0, 1, 2, … contacts, mean over the dates; as long as the smallest date."""
    curves = []
    for _, own in scored.groupby("fold"):
        ordered = own["outcome"].to_numpy()[np.argsort(-own[ranking].to_numpy(), kind="stable")]
        curves.append(np.insert(np.cumsum(ordered) / max(ordered.sum(), 1), 0, 0.0))
    shortest = min(map(len, curves))
    return np.mean([curve[:shortest] for curve in curves], axis=0)
