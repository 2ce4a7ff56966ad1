"""What kind of customer this is: a lifecycle stage by fixed rules, a segment by recency, frequency and value.

**Stage**, the first that holds: ``onboarding``, a customer for less than 30 days; ``dormant``, silent for longer than
28 days and than three times the own typical gap, or never seen; ``adoption``, a customer for less than 180 days;
``mature``. Where the start is not known, the first event within the history stands for it.

**Segment**: recency, frequency and monetary value score 1 (lowest) to 5 by quintiles of the training rows; recency and
frequency together name the segment. Recency counts in weeks, for a list made on a Monday must not find everyone quiet.
The quintiles of frequency and value are those of the customers who have any; none at all scores 1. Equal numbers score
alike: where several cuts fall on one number, it gets the best of the scores they span for recency, else the middle one.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from features.config import Strict
from features.data_config import Data, Segments
from features.errors import DataError

ONBOARDING_DAYS, ADOPTION_DAYS = 30, 180
SILENT_DAYS, SILENT_GAPS = 28, 3
STAGES = ("onboarding", "adoption", "mature", "dormant")
_PASSIVE = ("hibernating", "hibernating", "slipping", "slipping", "cannot_lose")
_RECENT = ("light", "regular", "regular", "champion", "champion")
SEGMENTS = np.array([_PASSIVE, _PASSIVE, ("fading", "fading", "fading", "loyal", "loyal"), _RECENT, _RECENT])


class Cuts(Strict):
    """Where the quintiles of the training rows end: four numbers each, in weeks, events and the stream's own units."""

    stream: str
    days: int
    recency: tuple[float, ...]
    frequency: tuple[float, ...]
    monetary: tuple[float, ...] | None

    @property
    def columns(self) -> dict[str, str]:
        """The snapshot's columns they are about, by role."""
        return columns(self.stream, self.days, monetary=self.monetary is not None)


def recipe(data: Data, windows: tuple[int, ...]) -> Segments | None:
    """Which stream over which of the windows: the one named in ``customers.segments``, else the first of behaviour.

    The window nearest to ``days`` is taken. None when every stream is a rating.
    """
    events = [name for name, stream in data.behaviour().items() if stream.kind == "event"]
    if not events:
        return None
    wanted = data.customers.segments or Segments(stream=events[0])
    return Segments(stream=wanted.stream, days=min(windows, key=lambda days: abs(days - wanted.days)))


def columns(stream: str, days: int, monetary: bool) -> dict[str, str]:
    """The snapshot's columns from which recency, frequency and value are taken."""
    named = {"recency": f"{stream}_recency", "frequency": f"{stream}_count_{days}d"}
    return named | ({"monetary": f"{stream}_sum_{days}d"} if monetary else {})


def fit(values: Mapping[str, np.ndarray], chosen: Segments) -> Cuts:
    """The cuts of the training rows; values: recency (days), frequency and, where there is one, monetary, (n,) each."""
    recency = np.ceil(values["recency"][~np.isnan(values["recency"])] / 7)
    found = {name: _quintiles(own[own > 0]) for name, own in values.items() if name != "recency"}
    return Cuts(
        stream=chosen.stream,
        days=chosen.days,
        recency=_quintiles(recency),
        frequency=found["frequency"],
        monetary=found.get("monetary"),
    )


def _quintiles(values: np.ndarray) -> tuple[float, ...]:
    return tuple(np.quantile(values, (0.2, 0.4, 0.6, 0.8)).tolist()) if len(values) else (0.0,) * 4


def scores(cuts: Cuts, values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Scores 1 to 5, 5 the best, for the values of ``fit``: int64 (n,) each."""
    weeks = np.ceil(values["recency"] / 7)
    out = {"recency": np.where(np.isnan(weeks), 1, 5 - np.searchsorted(cuts.recency, weeks, "left"))}
    for name in ("frequency", "monetary"):
        own = getattr(cuts, name)
        if own is not None:
            below, upto = (np.searchsorted(own, values[name], side) for side in ("left", "right"))
            out[name] = np.where(values[name] > 0, 1 + (below + upto) // 2, 1)
    return out


def stages(tenure: np.ndarray, recency: np.ndarray, gap: np.ndarray) -> np.ndarray:
    """The stage of each row, text (n,); days as float64 (n,), NaN where not known. See the head of this file."""
    silent = ~(recency <= np.fmax(SILENT_DAYS, SILENT_GAPS * gap))
    rules = {"onboarding": tenure < ONBOARDING_DAYS, "dormant": silent, "adoption": tenure < ADOPTION_DAYS}
    return np.select(list(rules.values()), list(rules), "mature").astype(object)


def of(frame: pd.DataFrame, cuts: Cuts) -> pd.DataFrame:
    """``segment``, ``stage`` and ``rfm`` ("R5 F4 M3") of every row of a snapshot, in its order.

    Raises DataError when the snapshot lacks a column.
    """
    named = cuts.columns | {"gap": f"{cuts.stream}_gap", "since": f"{cuts.stream}_tenure"}
    for column in named.values():
        if column not in frame:
            raise DataError(f"{column}: this column is missing; the segments of the model need it: train again")
    values = {role: frame[column].to_numpy(np.float64, na_value=np.nan) for role, column in named.items()}
    tenure = values["since"]
    if "tenure_days" in frame:
        known = frame["tenure_days"].to_numpy(np.float64, na_value=np.nan)
        tenure = np.where(np.isnan(known), tenure, known)
    scored = scores(cuts, values)
    marks = [[f"{name[0].upper()}{score}" for score in own] for name, own in scored.items()]
    return pd.DataFrame({
        "segment": SEGMENTS[scored["recency"] - 1, scored["frequency"] - 1].astype(object),
        "stage": stages(tenure, values["recency"], values["gap"]),
        "rfm": [" ".join(row) for row in zip(*marks)],
    })  # fmt: skip
