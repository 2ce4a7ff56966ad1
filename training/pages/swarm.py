"""How families of features move single scores: a swarm of dots per family, its own drawing. Numerals only."""

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba

from features.checks.charts import GREY, svg
from training.pages.charts import STYLE
from training.pages.families import DOTS, MOST, Families

BINS, SHADES = 90, (0.0, 0.82)  # of cividis: dark to light for every eye and printer, never too light for paper
UNKNOWN = to_rgba("white")


def swarm(families: Families) -> str:
    """A row of dots per family, largest first and numbered; across: how far it moves each of at most ``DOTS`` scores.

    The darker the dot, the lower the value of the family's leading feature; hollow: unknown or a category. The dots
    are one bitmap in the picture, so that it stays small.
    """
    step = max(1, -(-len(families.parts) // DOTS))
    parts, ranks = families.parts.iloc[::step, :MOST], families.ranks.iloc[::step, :MOST]
    reach = max(float(parts.abs().quantile(0.998).max()), 1e-6)

    def draw(axes: Axes) -> None:
        axes.axvline(0, color="black", linewidth=0.8, zorder=0)
        for row, name in enumerate(parts):
            moved = np.clip(parts[name].to_numpy(), -reach, reach)
            edges = np.where(ranks[name].isna(), GREY, "none")
            axes.scatter(
                moved, row + offsets(moved, reach), s=7, c=colours(ranks[name]), edgecolors=list(edges),
                linewidths=0.4, rasterized=True,
            )  # fmt: skip
        axes.set_yticks(range(parts.shape[1]), [str(row + 1) for row in range(parts.shape[1])])
        axes.set(ylim=(parts.shape[1] - 0.4, -0.6), xlim=(-1.05 * reach, 1.05 * reach))
        axes.grid(axis="x", zorder=0)

    return svg(draw, 7.6, 0.6 + 0.38 * parts.shape[1], STYLE | {"savefig.dpi": 150})


def offsets(moved: np.ndarray, reach: float) -> np.ndarray:
    """How far each dot stands off its row, (n,) within ±0.42: the more dots in its place, the wider the row."""
    place = np.round((moved / reach + 1) * BINS / 2).astype(int)
    rank = pd.Series(place).groupby(place).cumcount().to_numpy()
    side = np.where(rank % 2, 1, -1) * ((rank + 1) // 2)
    return 0.42 * side / max(int(np.abs(side).max()), 12)


def colours(ranks: pd.Series) -> np.ndarray:
    """(n, 4): dark to light by rank, white where there is none."""
    low, high = SHADES
    shaded = matplotlib.colormaps["cividis"](low + (high - low) * ranks.fillna(0).to_numpy())
    return np.where(ranks.isna().to_numpy()[:, None], UNKNOWN, shaded)
