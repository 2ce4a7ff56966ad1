"""A bundle and a snapshot -> scores with their parts."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from features import segments
from features.catalogue import Feature
from serving import reasons
from serving.reasons import Parts, mean_slope, parts
from training.bundle import Bundle

SCORE, GAP, TEXT = "list score", "list gap", "list text"
KINDS = ("segment", "stage", "rfm")


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
    matrix = bundle.matrix(frame)
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


def scored(bundle: Bundle, features: Sequence[Feature], part: pa.Table) -> pa.Table:
    """A part of a snapshot with three more columns: SCORE, GAP, and TEXT, what a list says of the customer, as JSON.

    TEXT lacks what needs the other customers: rank, action and what they come from.
    """
    frame = part.to_pandas()
    scores = score(bundle, frame)
    texts = pa.array(_texts(bundle, features, frame, scores), pa.string())
    for name, column in ((SCORE, scores.score), (GAP, scores.gap), (TEXT, texts)):
        part = part.append_column(name, pa.array(column))
    return part


def _texts(bundle: Bundle, features: Sequence[Feature], frame: pd.DataFrame, scores: Scores) -> Iterator[str]:
    facts, names = reasons.Facts(features, frame), bundle.info.names
    columns: dict[str, list[Any]] = {name: _values(frame[name]) for name in ("customer_id", "name", "owner", "renewal")}
    columns |= {name: getattr(scores, name).tolist() for name in ("score", "margin", "percentile", "band")}
    columns |= scores.beside | _kinds(bundle, frame)
    for row, values in enumerate(zip(*columns.values())):
        families = reasons.record(scores.parts, names, facts, row)
        yield json.dumps(dict(zip(columns, values)) | {"families": families}, ensure_ascii=False, default=str)


def _kinds(bundle: Bundle, frame: pd.DataFrame) -> dict[str, list[str | None]]:
    """Segment, stage and scores of each row; None where the bundle knows no segments."""
    cuts = bundle.info.segments
    if cuts is None:
        return {name: [None] * len(frame) for name in KINDS}
    found = segments.of(frame, cuts)
    return {name: found[name].tolist() for name in KINDS}


def _values(column: pd.Series) -> list[str | date | None]:
    dates = pd.api.types.is_datetime64_dtype(column)
    return [None if pd.isna(value) else value.date() if dates else str(value) for value in column]
