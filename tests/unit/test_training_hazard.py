"""Curves: which rows teach which interval, what a curve may never do, and that nothing from later leaks into it."""

import json
from dataclasses import replace
from datetime import date
from functools import cache

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from features.catalogue import Feature
from features.config import load
from features.errors import ConfigError, DataError
from tests.spec.tables import rows as table_of
from tests.unit.bundles import COLUMNS, frame
from training.calibration import Calibrator
from training.config import TrainConfig
from training.curve import Curve
from training.fit import fit_candidate, one_thread
from training.hazard import Horizons, calibration, fit_curve, happened, judgeable, known_on, out_of_time, person_periods
from training.rows import Rows, rows
from training.settings import Settings

FEATURES = [Feature(**{k: v for k, v in column.items() if k != "categories"}) for column in COLUMNS]
ASKED = Horizons((30, 60, 90, 180), own=90, silent=False, lag=0)
MONTHS = [day.date() for day in pd.date_range("2024-01-01", "2025-12-01", freq="MS")]
END = date(2026, 1, 1)
QUIET, SETTINGS = (lambda _: None), Settings()


def company(days, size, end=END, lag=0, seed=0) -> Rows:
    """Customers on several dates whose daily hazard their features explain, followed until ``end``."""
    tables = []
    for number, day in enumerate(days):
        one = frame(size, seed + number, day)
        random = np.random.default_rng([seed, number])
        one["event_day"] = np.floor(random.exponential(1 / rate(one)))
        one["followed_days"] = float((end - day).days - lag)
        tables.append(one)
    table = pd.concat(tables, ignore_index=True)
    table.loc[table["event_day"] >= table["followed_days"], "event_day"] = np.nan
    table["outcome"] = np.where(table["followed_days"] >= 90, table["event_day"] < 90, np.nan)
    return rows(table, FEATURES)


def rate(one: pd.DataFrame) -> np.ndarray:
    """The true hazard per day."""
    return np.exp(0.03 * one["login_recency"].fillna(30) + (one["plan"] == "free") - 1.5) / 90


@cache
def learnt(name: str) -> tuple[Curve, Rows]:
    known = company([date(2024, 1, 1)], 4_000)
    with one_thread():
        return fit_curve(known, ASKED, name, SETTINGS), known


PERIODS = """
event | followed | first | second
      | 60       | 0     | 0
    0 | 60       | 1     |
   29 | 60       | 1     |
   30 | 60       | 0     | 1
   59 | 60       | 0     | 1
   60 | 90       | 0     | 0
      | 59       | 0     |
   40 | 45       | 0     |
   10 | 20       |       |
      | -5       |       |
  400 | 60       | 0     | 0
"""


def side(event: list, followed: list) -> Rows:
    """Rows with nothing but what was seen of them."""
    size, own = len(event), {"event_day": np.array(event, float), "followed_days": np.array(followed, float)}
    plain = np.zeros(size), np.arange(size), np.arange(size).astype(object), np.full(size, np.datetime64("2025-01-01"))
    return Rows([COLUMNS[0]], np.arange(size, dtype=float)[:, None], *plain, own)


def test_a_row_teaches_the_intervals_it_was_followed_through_until_its_event():
    cases = table_of(PERIODS)
    periods, interval = person_periods(side([c["event"] for c in cases], [c["followed"] for c in cases]), (30, 60))
    found = {(int(row), k): own for (row, k), own in zip(periods.matrix.tolist(), periods.outcome.tolist())}
    wanted = {(i, k): c[name] for i, c in enumerate(cases) for k, name in enumerate(["first", "second"])}
    assert found == {key: own for key, own in wanted.items() if own is not None}
    assert periods.columns[-1]["name"] == "curve_interval" and (periods.matrix[:, -1] == interval).all()
    assert list(periods.customer) == periods.matrix[:, 0].astype(int).tolist()


def test_what_was_known_on_a_day_is_counted_from_the_as_of_date_less_the_lag():
    """The worked example of the docstring, and a row that was not there yet."""
    own = replace(side([35.0] * 3, [500.0] * 3), day=np.array(["2025-04-01", "2025-02-01", "2025-08-01"], "M8[D]"))
    then = known_on(own, date(2025, 7, 1), lag=40)
    assert then.side["followed_days"].tolist() == [51, 110, -71]
    assert happened(then, 30).tolist()[:2] == [0, 0] and np.isnan(happened(then, 30)[2])
    assert np.isnan(happened(then, 60)).tolist() == [True, False, True] and happened(then, 60)[1] == 1


probability = st.floats(0, 1)
calibrators = st.builds(Calibrator, st.floats(0, 4), st.floats(-40, 40))


@given(st.lists(calibrators, min_size=1, max_size=5), st.data(), st.lists(probability, min_size=1), st.booleans())
@example([Calibrator(1.0, 0.0)] * 3, None, [0.0, 1.0, 5e-324, 1e-12, 1 - 2**-53], False)
@example([Calibrator(1.0, 0.0)] * 3, None, [0.0, 1.0, 5e-324, 1e-12, 1 - 2**-53], True)
def test_no_curve_crosses_and_each_passes_through_its_score(own, data, scores, silent):
    place = data.draw(st.integers(0, len(own) - 1)) if data else 1
    horizons = tuple(30 * (k + 1) for k in range(len(own)))
    curve, score = Curve(horizons, horizons[place], silent, None, tuple(own)), np.array(scores)
    risks = curve.risks(np.zeros((len(score), 3)), score)
    step = np.diff(risks, axis=1)
    assert risks.shape == (len(score), len(own)) and ((risks >= 0) & (risks <= 1)).all()
    assert (step <= 0).all() if silent else (step >= 0).all()
    assert (risks[:, place] == score).all()


def test_a_curve_is_the_proportional_one_within_the_scores_horizon_and_the_learnt_one_beyond():
    hazards, score = [0.1, 0.2, 0.05, 0.3], 0.4
    logits = tuple(Calibrator(0.0, float(np.log(h / (1 - h)))) for h in hazards)
    curve = Curve((30, 60, 90, 180), 60, False, None, logits)
    survival = [0.9, 0.9 * 0.8, 0.9 * 0.8 * 0.95, 0.9 * 0.8 * 0.95 * 0.7]
    power = np.log(1 - score) / np.log(survival[1])
    wanted = [1 - survival[0] ** power, score, 1 - (1 - score) * 0.95, 1 - (1 - score) * 0.95 * 0.7]
    assert curve.risks(np.zeros((1, 2)), np.array([score]))[0] == pytest.approx(wanted, abs=1e-12)
    silence = replace(curve, silent=True).risks(np.zeros((1, 2)), np.array([1 - score]))[0]
    assert silence == pytest.approx([1 - risk for risk in wanted], abs=1e-12)


@pytest.mark.parametrize("name", ["lightgbm", "logistic", "login_recency"])
def test_a_curve_read_back_gives_the_same_risks_and_bytes(name):
    curve, known = learnt(name)
    matrix, score = known.matrix[:50, :1] if name == "login_recency" else known.matrix[:50], np.full(50, 0.2)
    again = Curve.parse(curve.text())
    assert again.text() == curve.text() and again.flat == curve.flat == []
    assert (again.risks(matrix, score) == curve.risks(matrix, score)).all()
    one = np.vstack([curve.risks(matrix[[i]], score[[i]]) for i in range(50)])
    assert (one == curve.risks(matrix, score)).all()
    assert curve.risks(matrix[:0], score[:0]).shape == (0, 4)


def test_the_same_rows_give_the_same_bytes():
    with one_thread():
        assert fit_curve(learnt("lightgbm")[1], ASKED, "lightgbm", SETTINGS).text() == learnt("lightgbm")[0].text()


@pytest.mark.parametrize("change", [
    {"own": 45}, {"horizons": [60, 30, 90, 180]}, {"horizons": [30, 30, 90, 180]}, {"horizons": [30, 90]},
    {"calibrators": [{"a": 1.0}] * 4}, {"model": {"kind": "forest", "text": ""}}, {"model": {"kind": "logistic"}},
])  # fmt: skip
def test_a_changed_text_is_refused(change):
    content = json.loads(learnt("logistic")[0].text())
    with pytest.raises((ValueError, KeyError, TypeError)):
        Curve.parse(json.dumps(content | change))


@pytest.mark.parametrize("name", ["lightgbm", "logistic"])
def test_learnt_hazards_give_nearly_the_true_risks_of_customers_not_seen(name):
    curve, later = learnt(name)[0], frame(3_000, seed=99)
    risks = 1 - np.cumprod(1 - curve.hazards(rows(later, FEATURES).matrix), axis=1)
    truth = 1 - np.exp(-rate(later).to_numpy()[:, None] * np.array(ASKED.days))
    assert np.abs(risks.mean(axis=0) - truth.mean(axis=0)).max() < 0.03
    assert min(np.corrcoef(risks[:, k], truth[:, k])[0, 1] for k in range(4)) > 0.8


def test_rows_that_are_still_being_followed_do_not_raise_the_hazard():
    """Cut so that one date in two is half-way through the second interval: the hazard stays, at 60 days and at 30."""
    whole = company(MONTHS[:2], 6_000, seed=5)
    recent = whole.day == np.datetime64(MONTHS[1])
    cut = replace(whole, side={**whole.side, "followed_days": np.where(recent, 45.0, 90.0)})
    asked, plain = replace(ASKED, days=(30, 60, 90)), "login_recency"
    full, part = (
        fit_curve(one, asked, plain, SETTINGS).hazards(whole.matrix[:, :1]).mean(axis=0) for one in (whole, cut)
    )
    assert np.abs(part / full - 1).max() < 0.06


def test_one_horizon_is_the_score():
    asked, known = replace(ASKED, days=(90,)), learnt("logistic")[1]
    score = np.linspace(0, 1, len(known))
    assert (fit_curve(known, asked, "logistic", SETTINGS).risks(known.matrix, score)[:, 0] == score).all()


def changed(known: Rows, event: np.ndarray) -> Rows:
    return replace(known, side={**known.side, "event_day": event})


def test_an_interval_without_events_is_flat_and_nearly_without_risk():
    known = learnt("logistic")[1]
    event = known.side["event_day"]
    curve = fit_curve(changed(known, np.where(event < 30, 30.0, event)), ASKED, "logistic", SETTINGS)
    assert curve.flat == [30]
    hazard = curve.hazards(known.matrix)[:, 0]
    assert np.ptp(hazard) == 0 and hazard[0] == pytest.approx(0.5 / (len(known) + 1))
    risks = curve.risks(known.matrix, np.full(len(known), 0.3))
    assert np.isfinite(risks).all() and risks[:, 0].max() < 0.01 and (risks[:, 1] > 0.05).all()


@pytest.mark.parametrize("name", ["lightgbm", "logistic", "login_recency"])
@pytest.mark.parametrize("event", [np.nan, 3.0])
def test_everybody_or_nobody_with_the_event_gives_one_shape_for_all(event, name):
    known = learnt("logistic")[1]
    curve = fit_curve(changed(known, np.full(len(known), event)), ASKED, name, SETTINGS)
    assert curve.model is None and curve.flat == [30, 60, 90, 180]
    risks = curve.risks(known.matrix[:3], np.array([0.1, 0.5, 0.9]))
    assert (np.diff(risks, axis=1) >= 0).all() and risks[:, 2].tolist() == [0.1, 0.5, 0.9]


@pytest.mark.parametrize(("followed", "longest"), [([100.0, 120.0], "120"), ([-20.0, -3.0], "0"), ([], "0")])
def test_too_short_a_history_is_refused_with_the_longest_there_is(followed, longest):
    short = side([np.nan] * len(followed), followed)
    with pytest.raises(DataError, match=rf"no row was followed for 180 days after its gap, the longest for {longest};"):
        fit_curve(short, ASKED, "logistic", SETTINGS)


def test_a_date_is_judged_where_it_and_earlier_ones_were_followed_long_enough():
    """Lag 40: a month start t trains 180-day curves on dates 220 days before it, and is followed 220 days itself."""
    known, asked = company(MONTHS, 40, lag=40), replace(ASKED, lag=40)
    for horizon in (30, 180):
        wanted = [
            day for day in np.unique(known.day).tolist()
            if (END - day).days >= 40 + horizon and (day - MONTHS[0]).days >= 40 + max(horizon, 90)
        ]  # fmt: skip
        assert judgeable(known, asked, horizon) == wanted != []


@cache
def judged(name: str = "logistic", silent: bool = False) -> tuple[Rows, Horizons, pd.DataFrame]:
    known, asked = company(MONTHS, 400), replace(ASKED, silent=silent)
    if silent:
        known = replace(known, outcome=1 - known.outcome)
    with one_thread():
        return known, asked, out_of_time(known, asked, name, SETTINGS, 2, QUIET)


def test_nothing_seen_on_or_after_a_test_date_changes_its_curves():
    known, asked, scored = judged()
    last = date.fromisoformat(scored["fold"].max())
    age = (np.datetime64(last) - known.day).astype(int)
    event = np.where(known.side["event_day"] >= np.maximum(age, 0), np.nan, known.side["event_day"])
    event[known.day >= np.datetime64(last)] = 1.0
    other = replace(changed(known, event), outcome=np.where(age >= 90, known.outcome, 1 - known.outcome))
    with one_thread():
        again = out_of_time(other, asked, "logistic", SETTINGS, 1, QUIET)
    before = scored[scored["fold"] == str(last)].reset_index(drop=True)
    assert (again["score"] == before["score"]).all() and not (again["outcome"] == before["outcome"]).all()


@pytest.mark.parametrize("silent", [False, True])
def test_curves_are_calibrated_out_of_time_and_pass_through_the_score(silent):
    known, asked, scored = judged(silent=silent)
    figures = calibration(scored, asked)
    assert figures["horizon"].tolist() == list(asked.days) and set(figures["rows"]) == {800}
    assert (figures["ece"] <= figures["allowed"]).all()
    assert np.allclose(figures["allowed"], 0.03 + figures["ece_of_a_perfect_model"])
    assert (np.diff(figures["observed"]) < 0).all() if silent else (np.diff(figures["observed"]) > 0).all()
    last = date.fromisoformat(scored["fold"].max())
    train = known.take(np.flatnonzero((np.datetime64(last) - known.day).astype(int) >= 90))
    test = known.take(known.on([last]))
    with one_thread():
        score = fit_candidate("logistic", train).score(test.matrix)
    own = scored[(scored["fold"] == str(last)) & (scored["horizon"] == 90)]
    assert (own["score"].to_numpy() == score).all() and (own["outcome"].to_numpy() == test.outcome).all()


def test_a_rule_has_a_curve_too():
    _, asked, scored = judged("login_recency")
    figures = calibration(scored, asked)
    assert (figures["ece"] <= figures["allowed"]).all() and (figures["roc_auc"] > 0.55).all()


def test_a_horizon_that_no_date_can_judge_is_said_and_has_no_figures():
    said, known = [], company(MONTHS, 100, end=date(2024, 12, 1))
    scored = out_of_time(known, ASKED, "logistic", SETTINGS, 2, said.append)
    assert said[0].startswith("curve: 180 days cannot be judged")
    figures = calibration(scored, ASKED).set_index("horizon")
    assert figures.loc[180, "rows"] == 0 and np.isnan(figures.loc[180, "ece"]) and (figures["rows"] > 0).sum() == 3
    nothing = out_of_time(known.take(np.arange(0)), ASKED, "logistic", SETTINGS, 2, said.append)
    assert len(nothing) == 0 and (calibration(nothing, ASKED)["rows"] == 0).all()


def test_the_curve_holds_the_horizon_of_the_score():
    def asked(*days):
        return Horizons.of(load("configs/saas/churn.yaml", TrainConfig, [f"curve={list(days)}"]))

    assert asked(30, 90, 180) == Horizons((30, 90, 180), 90, False, 40)
    with pytest.raises(
        ConfigError, match=r"curve: \[30, 180\] is without outcome.horizon_days \(90\).*\[30, 90, 180\]"
    ):
        asked(30, 180)
    grocery = load("configs/grocery/churn.yaml", TrainConfig, ["curve=[14, 30]"])
    assert Horizons.of(grocery) == Horizons((14, 30), 30, True, 0)
