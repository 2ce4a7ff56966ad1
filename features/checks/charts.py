"""The pictures of a check: folds, outcomes, silent customers, events per week. Numerals only, so no font is missed."""

import base64
import io
from collections.abc import Callable, Mapping
from datetime import date, timedelta
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.dates import date2num
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter, StrMethodFormatter

from features.calendar import as_of_dates, day_of
from features.checks import quality
from features.checks.health import weeks
from features.checks.quality import Report

BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#767676"
SILENT_DAYS = (7, 28, 90)
_STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "tsunagi",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "hatch.linewidth": 0.8,
}


def folds(report: Report, mature: list[date]) -> str:
    """One line per test date: train dates, the wait until their outcomes are known, the test date and its horizon."""
    config, tests = report.config, mature[-report.config.as_of.test_dates :]

    def draw(axes: Axes) -> None:
        for row, test in enumerate(tests):
            _fold(axes, row, quality.trains(config, mature, test), test, report)
        axes.set_yticks(range(len(tests)), [str(test) for test in tests])
        axes.set_ylim(len(tests) - 0.4, -0.6)
        last = tests[-1] + timedelta(days=config.span_days)
        _dates(axes, min(mature), last)
        axes.grid(axis="x", color="#dddddd", linewidth=0.6)

    return svg(draw, 7.6, 0.7 + 0.42 * len(tests))


def _fold(axes: Axes, row: int, trains: list[date], test: date, report: Report) -> None:
    outcome, at = report.config.outcome, _number(test)
    if trains:
        places = [_number(day) for day in trains]
        axes.barh(row, places[-1] - places[0], left=places[0], height=0.16, color=BLUE, alpha=0.35)
        axes.plot(places, [row] * len(places), "s", color=BLUE, markersize=4.5)
        hatched: dict[str, Any] = {"facecolor": "white", "edgecolor": GREY, "hatch": "////", "linewidth": 0.6}
        axes.barh(row, report.config.span_days, left=places[-1], height=0.3, zorder=0, **hatched)
    framed: dict[str, Any] = {"facecolor": "white", "edgecolor": ORANGE, "linewidth": 1.4}
    axes.barh(row, outcome.horizon_days, left=at + outcome.gap_days, height=0.5, zorder=1, **framed)
    axes.plot([at], [row], "D", color=ORANGE, markersize=6, zorder=3)


def stream(report: Report, name: str) -> str:
    """Events per week; a line where the volume dropped or the feed fell silent."""
    begins, counts = weeks(report.known, name)
    told = [finding for finding in report.findings if finding.about == name and finding.check in ("feeds", "volume")]
    marks = [str(finding.values.get("since") or finding.values.get("last") or "") for finding in told]

    def draw(axes: Axes) -> None:
        days = np.array([_number(day_of(begin)) for begin in begins])
        axes.fill_between(days, counts, step="post", color=BLUE, alpha=0.25, linewidth=0)
        axes.step(days, counts, where="post", color=BLUE, linewidth=1)
        for mark in filter(None, marks):
            axes.axvline(_number(date.fromisoformat(mark)), color=ORANGE, linewidth=1.6, linestyle="--")
        top = max(int(counts.max()), 1) if len(counts) else 1
        axes.set_yticks([0, top], ["0", f"{top:,}"])
        axes.set_ylim(0, 1.08 * top)
        _dates(axes, *report.span, 3)

    return svg(draw, 3.1, 1.25)


def silent(report: Report) -> str | None:
    """The share of the customers at risk without an event for 7, 28 and 90 days; None where no recency is a feature."""
    assert report.made is not None
    events = [f for f in report.made.features if f.measure == "recency"]
    streams = report.config.data.streams
    own = [f.name for f in events if streams[f.source].kind == "event"] or [f.name for f in events]
    if not own or report.made.frame.empty:
        return None
    quiet = report.made.frame[own].min(axis=1).fillna(np.inf)
    shares = {d: (quiet > d).groupby(report.made.frame["as_of"]).mean() for d in SILENT_DAYS}

    def draw(axes: Axes) -> None:
        dates = [moment.date() for moment in shares[SILENT_DAYS[0]].index]
        top, free = max(1.1 * max(share.max() for share in shares.values()), 0.05), 0.0
        for days, line in zip(reversed(SILENT_DAYS), (":", "--", "-")):
            share = shares[days].to_numpy()
            axes.plot([_number(day) for day in dates], share, line, color=BLUE, linewidth=1.8, marker="o", markersize=3)
            at = (_number(dates[-1]), max(share[-1], free))
            axes.annotate(str(days), at, (7, -3), textcoords="offset points", weight="bold", annotation_clip=False)
            free = at[1] + 0.12 * top
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        axes.set_ylim(0, top)
        _dates(axes, dates[0], dates[-1])
        axes.grid(axis="y", color="#dddddd", linewidth=0.6)

    return svg(draw, 7.6, 2.2)


def outcomes(report: Report, mature: list[date]) -> str:
    """Customers with the outcome per as-of date, the share above; test dates hatched, dates not yet mature empty."""
    assert report.made is not None
    by_date = report.made.frame.groupby("as_of")["outcome"]
    had, share, tests = by_date.sum(), by_date.mean(), mature[-report.config.as_of.test_dates :]

    def draw(axes: Axes) -> None:
        places = np.arange(len(had))
        for place, (moment, count) in enumerate(had.items()):
            tested, known = moment.date() in tests, moment.date() in mature
            face: dict[str, Any] = {"facecolor": "white", "hatch": "////"} if tested else {"facecolor": BLUE}
            axes.bar(place, count, width=0.7, edgecolor=ORANGE if tested else BLUE, linewidth=1, **face)
            label = f"{share[moment]:.0%}" if known else "–"
            axes.annotate(label, (place, count), (0, 3), textcoords="offset points", ha="center", fontsize=_small(had))
        step = -(-len(had) // 7)
        axes.set_xticks(places[::step], [str(moment)[:10] for moment in had.index[::step]])
        axes.set_xlim(-0.6, len(had) - 0.4)
        axes.set_ylim(0, 1.15 * max(had.max(), 1))
        axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))

    return svg(draw, 7.6, 2.2)


def _small(bars: pd.Series) -> float:
    return 8 if len(bars) <= 26 else 5


def _number(day: date) -> float:
    return float(date2num(day))


def _dates(axes: Axes, first: date, last: date, ticks: int = 7) -> None:
    axes.set_xlim(_number(first) - 10, _number(last) + 10)
    months = as_of_dates("month", first, last)
    shown = months[:: -(-len(months) // ticks)] if months else [first]
    axes.set_xticks([_number(day) for day in shown], [str(day)[: 7 if months else 10] for day in shown])


def svg(draw: Callable[[Axes], None], width: float, height: float, more: Mapping[str, Any] | None = None) -> str:
    """The picture as the address of an SVG image; its size in inches. more: settings of matplotlib beside ours."""
    with matplotlib.rc_context(_STYLE | dict(more or {})):
        figure = Figure(figsize=(width, height), layout="constrained")
        draw(figure.subplots())
        file = io.BytesIO()
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    return "data:image/svg+xml;base64," + base64.b64encode(file.getvalue()).decode()
