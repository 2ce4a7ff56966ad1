"""Four pictures of one training, as PNG files."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from training import metrics
from training.bundle import Bundle
from training.pages.charts import found
from training.pages.families import families


def pictures(scored: pd.DataFrame, bundle: Bundle, matrix: np.ndarray, contacts: int, folder: Path) -> None:
    """Write reliability.png, gains.png, folds.png and families.png.

    scored: test rows with fold, outcome, ``rule`` and, where a candidate was graded, ``score``. matrix: rows
    to explain.
    """
    rankings = [name for name in ("score", "rule") if name in scored]
    _draw(folder / "reliability.png", lambda axes: _reliability(axes, scored, rankings[0]))
    _draw(folder / "gains.png", lambda axes: _gains(axes, scored, rankings, contacts))
    _draw(folder / "folds.png", lambda axes: _folds(axes, scored, rankings))
    _draw(folder / "families.png", lambda axes: _families(axes, bundle, matrix))


def _draw(path: Path, draw: Callable[[Axes], None]) -> None:
    figure = Figure(figsize=(6, 4), layout="constrained")
    draw(figure.subplots())
    figure.savefig(path, dpi=110, metadata={"Software": None})


def _reliability(axes: Axes, scored: pd.DataFrame, ranking: str) -> None:
    groups = scored.groupby(metrics.bins(scored[ranking].to_numpy()))
    predicted, happened = groups[ranking].mean(), groups["outcome"].mean()
    top = max(predicted.max(), happened.max())
    axes.plot([0, top], [0, top], color="grey", linewidth=1, label="perfect")
    axes.plot(predicted, happened, marker="o", label="ten equal groups")
    axes.set(xlabel="mean score", ylabel="share with the outcome", title="Does the score mean what it says?")
    axes.legend()


def _gains(axes: Axes, scored: pd.DataFrame, rankings: list[str], contacts: int) -> None:
    for name in rankings:
        axes.plot(found(scored, name), label=_label(name))
    axes.axvline(contacts, color="grey", linestyle="--", label=f"capacity: {contacts}")
    axes.set(xlabel="customers contacted per date", ylabel="share of outcomes found", title="Gains")
    axes.legend()


def _folds(axes: Axes, scored: pd.DataFrame, rankings: list[str]) -> None:
    parts = dict(list(scored.groupby("fold")))
    for name in rankings:
        precision = [metrics.average_precision(p["outcome"].to_numpy(), p[name].to_numpy()) for p in parts.values()]
        axes.plot(list(parts), precision, marker="o", label=_label(name))
    axes.plot(list(parts), [p["outcome"].mean() for p in parts.values()], color="grey", label="base rate")
    axes.set(ylabel="average precision", title="Fold by fold", ylim=(0, None))
    axes.legend()


def _families(axes: Axes, bundle: Bundle, matrix: np.ndarray) -> None:
    shown = families(bundle, matrix).moves.head(12)[::-1]
    plain = [name if name.isascii() else f"({len(shown) - place})" for place, name in enumerate(shown.index)]
    axes.barh(plain, shown.to_numpy())  # other scripts need a font that may be missing: their rank on the page
    axes.set(xlabel="mean |contribution|, log-odds", title="What the scores are made of")


def _label(ranking: str) -> str:
    return {"score": "model", "rule": "best rule"}[ranking]
