"""What the scores are made of: bars and a swarm of dots per family of features."""

from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
import pandas as pd

from features.config import Language
from features.errors import DataError
from training.bundle import Bundle
from training.pages.markup import empty, image, section, table
from training.pages.material import Training
from training.rows import Rows

SAMPLE, DOTS, MOST = 2_000, 1_000, 12


@dataclass(frozen=True)
class Families:
    """Contributions summed by family, in log-odds.

    moves: mean absolute contribution, largest first. parts: (rows, families in that order). ranks: likewise, the rank
    0..1 of the value of each family's leading feature among these rows; NaN where it is unknown or a category.
    """

    moves: pd.Series
    parts: pd.DataFrame
    ranks: pd.DataFrame


def families(bundle: Bundle, matrix: np.ndarray) -> Families:
    """Of at most ``SAMPLE`` rows, evenly spread over ``matrix``, (n, f) in the bundle's column order."""
    shown = matrix[:: max(1, -(-len(matrix) // SAMPLE))]
    columns = pd.DataFrame(bundle.contributions(shown))
    names = np.array([column["family"] for column in bundle.info.features], dtype=object)
    parts = columns.T.groupby(names, sort=True).sum().T
    moves = parts.abs().mean().sort_values(ascending=False, kind="stable")
    leading = {name: int(columns.loc[:, names == name].abs().mean().idxmax()) for name in moves.index}
    ranks = {name: _ranks(bundle, leading[name], shown) for name in moves.index}
    return Families(moves, parts[list(moves.index)], pd.DataFrame(ranks))


def _ranks(bundle: Bundle, position: int, matrix: np.ndarray) -> np.ndarray:
    if bundle.info.features[position]["kind"] == "category":
        return np.full(len(matrix), np.nan)
    return pd.Series(matrix[:, position]).rank(pct=True).to_numpy()


def before(champion: Bundle, rows: Rows) -> pd.Series | None:
    """The families of the champion on the same rows; None where these lack one of its features."""
    try:
        matrix = champion.matrix(_frame(rows.take(np.arange(len(rows))[:: max(1, -(-len(rows) // SAMPLE))])))
    except DataError:
        return None
    return families(champion, matrix).moves


def _frame(rows: Rows) -> pd.DataFrame:
    """The rows as a snapshot frame again: codes as the names of their categories."""
    values: dict[str, Any] = {}
    for position, column in enumerate(rows.columns):
        own = rows.matrix[:, position]
        if column["kind"] == "category":
            names = np.array([*(column["categories"] or []), None], dtype=object)
            own = names[np.where(np.isnan(own), -1, own).astype(int)]
        values[column["name"]] = own
    return pd.DataFrame(values)


def told(training: Training, lang: Language, said: dict[str, Any], why: str) -> str:
    """The section: a table of bars, then the swarm under the same numbers."""
    if training.families is None:
        return empty(said, "families", why)
    shown = training.families.moves.head(MOST)
    names, longest = labels(training, lang), max(shown.max(), 1e-12)
    rows = [
        f'<tr><td class="number">{place}</td><td>{escape(names.get(str(family), str(family)))}</td>'
        f'<td class="number">{value:.3f}</td>'
        f'<td class="bar"><b class="bar" style="width:{100 * value / longest:.1f}%"></b></td></tr>'
        for place, (family, value) in enumerate(shown.items(), 1)
    ]
    columns = [("", "number"), (said["family"], ""), (said["moves"], "number"), ("", "")]
    key = escape(said["swarm_key"]).format(**{own: f'<b class="{own}"></b>' for own in ("low", "high", "unknown")})
    swarm = f"<p>{key}</p>" + image(training.pictures["swarm"], said["swarm_alt"])
    return section(said, "families", table(columns, rows) + swarm)


def labels(training: Training, lang: Language) -> dict[str, str]:
    """Family -> what people call it, with the family's own name where several are called the same."""
    columns = [column for own in (training.extras.champion, training.bundle) if own for column in own.info.features]
    named = {column["family"]: column["label"].get(lang) or column["family"] for column in columns}
    every = list(named.values())
    return {own: f"{label} ({own})" if every.count(label) > 1 else label for own, label in named.items()}
