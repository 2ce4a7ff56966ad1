"""Learn the curve of what is served, and judge it on later dates."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from itertools import pairwise

import numpy as np
import pandas as pd

from features.errors import ConfigError, DataError
from features.outcome import Inactivity
from training import metrics
from training.calibration import Calibrator, calibrate
from training.columns import Column
from training.config import TrainConfig
from training.curve import Curve
from training.evaluate import Say, fit_named, inputs
from training.fit import CANDIDATES, ENOUGH, PARTS, Fit, fit_number, parts
from training.grade import LIMITS
from training.models import Served
from training.rows import Rows
from training.settings import Settings

FEW = 20
FIGURES = ("predicted", "observed", "ece", "ece_of_a_perfect_model", "allowed", "roc_auc")
INTERVAL: Column = {
    "name": "curve_interval", "source": "curve", "measure": "interval", "days": None, "family": "curve",
    "kind": "number", "unit": "count", "label": {"en": "Interval", "ja": "区間"}, "categories": None,
}  # fmt: skip


@dataclass(frozen=True)
class Horizons:
    """What a curve is asked for.

    days: ascending, counted from as_of + gap; own: the one of the score; silent: whether the score is that of no event;
    lag: gap + grace + settle days.
    """

    days: tuple[int, ...]
    own: int
    silent: bool
    lag: int

    @classmethod
    def of(cls, config: TrainConfig) -> "Horizons":
        """Those of the model's YAML. Raises ConfigError when the score's own horizon is not among them."""
        days, own = config.curve, config.outcome.horizon_days
        if own not in days:
            raise ConfigError(
                f"curve: {list(days)} is without outcome.horizon_days ({own}), the horizon of the score, through which "
                f"every curve passes; write {sorted({*days, own})}"
            )
        return cls(days, own, isinstance(config.outcome, Inactivity), config.span_days - own)


def happened(rows: Rows, horizon: int) -> np.ndarray:
    """Whether the event came within the horizon, (n,) 1 or 0; NaN where it was not followed for so long."""
    return np.where(rows.side["followed_days"] >= horizon, rows.side["event_day"] < horizon, np.nan)


def known_on(rows: Rows, day: date, lag: int) -> Rows:
    """The rows with what was seen of them before that day; ``lag`` = gap + grace + settle.

    Example, lag 40: on July 1st a row as of April 1st is followed for 91 - 40 = 51 days, enough for a horizon of 30
    days and not for one of 60.
    """
    age = (np.datetime64(day) - rows.day).astype(np.int64)
    followed = np.minimum(rows.side["followed_days"], age - lag)
    return replace(rows, side={**rows.side, "followed_days": followed})


def check(rows: Rows, days: Sequence[int]) -> None:
    """Raise DataError when no row was followed to the last of the horizons."""
    longest = max(0.0, rows.side["followed_days"].max(initial=0))
    if longest < days[-1]:
        raise DataError(
            f"curve: no row was followed for {days[-1]} days after its gap, the longest for {longest:.0f}; "
            "shorten the curve or bring more history"
        )


def person_periods(rows: Rows, days: Sequence[int]) -> tuple[Rows, np.ndarray]:
    """One row for each row and interval that it entered, (m,), and the number of the interval, also its last column.

    A row enters an interval when it was followed to its end and its event had not come before. An event inside an
    interval that was followed only in part does not count: rows like it without an event cannot, and the hazard would
    be too high. Example, horizons 30 and 60: followed for 45 days, event on day 40: one row, of the first interval,
    without the event. Raises DataError when no row was followed to the last horizon.
    """
    event, followed = rows.side["event_day"], rows.side["followed_days"]
    check(rows, days)
    bounds = list(pairwise((0, *days)))
    entered = [np.flatnonzero((followed >= end) & ~(event < start)) for start, end in bounds]
    outcome = np.concatenate([event[own] < end for own, (_, end) in zip(entered, bounds)]).astype(np.float64)
    number = np.repeat(np.arange(len(days)), [len(own) for own in entered])
    every = replace(rows, matrix=rows.matrix[:, :0]).take(np.concatenate(entered))
    matrix, columns = _stacked(rows.matrix, entered), [*rows.columns, INTERVAL]
    return replace(every, matrix=matrix, columns=columns, outcome=outcome), number


def _stacked(matrix: np.ndarray, entered: Sequence[np.ndarray]) -> np.ndarray:
    """The rows of each interval, one interval below the other, and its number; copied once, for there are many."""
    ends = np.cumsum([len(own) for own in entered])
    stacked = np.empty((ends[-1], matrix.shape[1] + 1))
    for k, own in enumerate(entered):
        part = stacked[ends[k] - len(own) : ends[k]]
        part[:, :-1], part[:, -1] = matrix[own], k
    return stacked


def fit_curve(rows: Rows, asked: Horizons, name: str, settings: Settings) -> Curve:
    """The curve beside the score of this name, by a model of the same kind: a candidate's, or a rule's of one number.

    Raises DataError when no row was followed to the last horizon.
    """
    periods, interval = person_periods(rows, asked.days)
    margin, model = np.full(len(periods), np.nan), None
    if periods.varies and name in CANDIDATES:
        margin, model = _fitted(periods, interval, len(asked.days), CANDIDATES[name](periods, settings))
    elif periods.varies:
        own = inputs(name, rows)
        model = fit_number(own[0], periods).model
        margin = model.margin(periods.matrix[:, own])
    calibrators = [_calibrator(margin, periods, interval == k) for k in range(len(asked.days))]
    return Curve(asked.days, asked.own, asked.silent, model, tuple(calibrators))


def _fitted(rows: Rows, interval: np.ndarray, count: int, fit: Fit) -> tuple[np.ndarray, Served]:
    """Margins of units left out, NaN where no more were needed, and the model of all rows: as for the score."""
    part, margin = parts(rows.unit), np.full(len(rows), np.nan)
    for third in range(PARTS):
        inside, outside = np.flatnonzero(part != third), np.flatnonzero(part == third)
        if len(outside) and len(np.unique(rows.outcome[inside])) == 2:
            margin[outside] = fit(inside).margin(rows.matrix[outside])
        seen = ~np.isnan(margin)
        events, others = (np.bincount(interval[seen], one[seen], count) for one in (rows.outcome, 1 - rows.outcome))
        if min(events.min(), others.min()) >= ENOUGH:
            break
    return margin, fit(None)


def _calibrator(margin: np.ndarray, rows: Rows, own: np.ndarray) -> Calibrator:
    """From margin to hazard in one interval; with few events, or few without, one hazard for everybody."""
    seen = own & ~np.isnan(margin)
    outcome = rows.outcome[seen]
    if min(outcome.sum(), (1 - outcome).sum()) >= FEW:
        return calibrate(margin[seen], outcome, rows.unit[seen])
    events, others = rows.outcome[own].sum() + 0.5, (1 - rows.outcome[own]).sum() + 0.5
    return Calibrator(0.0, float(np.log(events) - np.log(others)))


def judgeable(rows: Rows, asked: Horizons, horizon: int) -> list[date]:
    """Dates on which the curve can be judged up to this horizon, oldest first.

    They were followed for so long, and on them earlier rows had been: those with an outcome of the score, both ways.
    """
    found, followed = [], rows.side["followed_days"]
    for day in rows.dates:
        then = known_on(rows, day, asked.lag).side["followed_days"]
        train = rows.outcome[then >= asked.own]
        if followed[rows.on([day])].min() >= horizon <= then.max() and len(np.unique(train)) == 2:
            found.append(day)
    return found


def out_of_time(rows: Rows, asked: Horizons, name: str, settings: Settings, count: int, say: Say) -> pd.DataFrame:
    """Curves of the last ``count`` dates, each by a score and a curve that knew only what was seen before it.

    One row per test row and horizon: fold, horizon, customer_id, unit, outcome, score (the curve there). Horizons that
    no date can judge are left out, and it is said.
    """
    dates = {horizon: judgeable(rows, asked, horizon) for horizon in asked.days}
    judged = tuple(horizon for horizon in asked.days if dates[horizon])
    for horizon in sorted(set(asked.days) - set(judged)):
        say(f"curve: {horizon} days cannot be judged: no date was followed for so long after others that were")
    tables = [pd.DataFrame(columns=["fold", "horizon", "customer_id", "unit", "outcome", "score"])]
    for day in dates[judged[-1]][-count:] if judged else []:
        known, test = known_on(rows, day, asked.lag), rows.take(rows.on([day]))
        train = known.take(np.flatnonzero(known.side["followed_days"] >= asked.own))
        matrix = test.matrix[:, inputs(name, rows)]
        score = fit_named(name, train, settings).score(matrix)
        risks = fit_curve(train, replace(asked, days=judged), name, settings).risks(matrix, score)
        tables += [_scored(test, day, asked, horizon, risks[:, k]) for k, horizon in enumerate(judged)]
        say(f"{day}  curve of {name}: {', '.join(map(str, judged))} days (test)")
    return pd.concat(tables[1:] or tables, ignore_index=True)


def _scored(test: Rows, day: date, asked: Horizons, horizon: int, risk: np.ndarray) -> pd.DataFrame:
    event = happened(test, horizon)
    return pd.DataFrame({
        "fold": day.isoformat(), "horizon": horizon, "customer_id": test.customer, "unit": test.unit,
        "outcome": 1 - event if asked.silent else event, "score": risk,
    })  # fmt: skip


def calibration(scored: pd.DataFrame, asked: Horizons) -> pd.DataFrame:
    """Per horizon, from the table of ``out_of_time``: how many dates and rows, mean predicted and observed share, ECE,
    that of a perfect model (95th percentile), the ECE allowed (grade B's) and ROC AUC; NaN without rows.
    """
    return pd.DataFrame([_figures(horizon, scored[scored["horizon"] == horizon]) for horizon in asked.days])


def _figures(horizon: int, part: pd.DataFrame) -> dict[str, float]:
    plain = {"horizon": horizon, "dates": part["fold"].nunique(), "rows": len(part)}
    if part.empty:
        return plain | dict.fromkeys(FIGURES, np.nan)
    outcome, score = (part[name].to_numpy(np.float64) for name in ("outcome", "score"))
    error, perfect = metrics.ece(outcome, score), metrics.ece_of_a_perfect_model(score)
    auc = metrics.roc_auc(outcome, score)
    found = (float(score.mean()), float(outcome.mean()), error, perfect, LIMITS["B"] + perfect, auc)
    return plain | dict(zip(FIGURES, found, strict=True))
