"""A bundle and a snapshot -> scores with their parts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from features import segments
from features.catalogue import Feature
from serving.lists import priority
from serving.lists.layout import CATEGORY, Layout, lists
from serving.lists.risk_list import KINDS
from serving.words.reasons import Parts, mean_slope, parts
from training.bundle import Bundle

SCORE, GAP, RANKS = "list score", "list gap", "ranks: "


@dataclass(frozen=True)
class Scores:
    """n rows. ``score``: calibrated probability; ``percentile``: 0..100 among the reference scores.

    interval: low and high of each score. risks: days of a horizon -> risk of each row. None and empty where the bundle
    knows none.

    ``gap``: the larger of the distances between base + log-odds and margin, and points and score − base score.
    """

    margin: np.ndarray
    score: np.ndarray
    percentile: np.ndarray
    band: np.ndarray
    parts: Parts
    gap: np.ndarray
    interval: tuple[np.ndarray, np.ndarray] | None
    risks: dict[str, np.ndarray]

    @property
    def beside(self) -> dict[str, list[Any]]:
        """What every score carries, as n plain values: low, high, risks; None where the bundle knows none."""
        unknown: list[Any] = [None] * len(self.score)
        low, high = [side.tolist() for side in self.interval] if self.interval else (unknown, unknown)
        each = zip(*(risk.tolist() for risk in self.risks.values()))
        risks = [dict(zip(self.risks, row)) for row in each] if self.risks else unknown
        return {"low": low, "high": high, "risks": risks}


def score(bundle: Bundle, frame: pd.DataFrame) -> Scores:
    """Score every row of a snapshot. Raises DataError when the frame does not fit the bundle."""
    return of(bundle, bundle.matrix(frame))


def of(bundle: Bundle, matrix: np.ndarray) -> Scores:
    """Score every row of a matrix, (n, f), as ``Bundle.matrix`` makes it."""
    margin = bundle.margin(matrix)
    probability = bundle.probability(margin)
    base_margin, base = bundle.base_margin, bundle.base_probability
    at_base = float(bundle.calibrator.slope(np.asarray(base_margin)))
    slope = mean_slope(probability, margin, base, base_margin, at_base)
    families = [column["family"] for column in bundle.info.features]
    split = parts(bundle.contributions(matrix), families, slope)
    apart = np.abs(split.log_odds.sum(axis=1) + base_margin - margin)
    gap = np.maximum(apart, np.abs(split.points.sum(axis=1) + base - probability))
    percentile, band = bundle.percentile(probability), bundle.band(probability)
    interval, risks = bundle.interval(matrix, margin), bundle.risks(matrix, probability)
    return Scores(margin, probability, percentile, band, split, gap, interval, risks)


def layout(bundle: Bundle, features: Sequence[Feature]) -> Layout:
    """What the rows of a list of this bundle are made of."""
    families = tuple(dict.fromkeys(column["family"] for column in bundle.info.features))
    horizons = tuple(map(str, bundle.curve.horizons)) if bundle.curve else ()
    return Layout(tuple(features), families, horizons, tuple(bundle.info.names))


def scored(bundle: Bundle, features: Sequence[Feature], part: pa.Table) -> pa.Table:
    """A part of a snapshot as rows of a list, see ``Layout.schema``, and beside them, below RANKS, what ranks them."""
    frame, own = part.to_pandas(), layout(bundle, features)
    scores = score(bundle, frame)
    texts = {name: _text(part[name]) for name in ("customer_id", "name", "owner", "renewal")}
    texts |= {"band": pa.array(scores.band, pa.string()), **_kinds(bundle, frame)}
    texts |= {CATEGORY + name: _text(part[name]) for name in own.categories}
    columns = {
        **texts,
        "figures": lists(_figures(own, scores, frame)),
        "lead": lists(scores.parts.lead.astype(np.int16)),
    }
    ranking = {name: part[name] for name in priority.columns(bundle.info) if name in part.column_names}
    ranking |= {SCORE: scores.score, GAP: scores.gap}
    return pa.table(columns | {RANKS + name: column for name, column in ranking.items()})


def _figures(own: Layout, scores: Scores, frame: pd.DataFrame) -> np.ndarray:
    """(n, width): one form of zero and of nothing, so that equal rows are equal bytes."""
    low, high = scores.interval or (np.full(len(frame), np.nan),) * 2
    columns = [scores.score, scores.margin, scores.percentile, scores.parts.slope, low, high, *scores.risks.values()]
    columns += [*scores.parts.log_odds.T, *(frame[name].to_numpy(np.float64, na_value=np.nan) for name in own.numbers)]
    made = np.empty((len(frame), own.width))
    for place, column in enumerate(columns):
        made[:, place] = column
    made += 0.0
    made[np.isnan(made)] = np.nan
    return made


def _text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return (column.cast(pa.date32(), safe=False) if pa.types.is_timestamp(column.type) else column).cast(pa.string())


def _kinds(bundle: Bundle, frame: pd.DataFrame) -> dict[str, pa.Array]:
    """Segment, stage and scores of each row; null where the bundle knows no segments."""
    cuts = bundle.info.segments
    if cuts is None:
        return {name: pa.nulls(len(frame), pa.string()) for name in KINDS}
    found = segments.of(frame, cuts)
    return {name: pa.array(found[name], pa.string()) for name in KINDS}
