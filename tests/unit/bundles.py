"""Tiny bundles on synthetic frames, for every test that needs one."""

from datetime import date

import numpy as np
import pandas as pd

from features.snapshot_config import Inactivity, Population, Windows
from training.bundle import Bundle, seal
from training.calibration import Calibrator
from training.columns import Column, encode
from training.curve import Curve
from training.info import Info, Metric, Reference
from training.models import Categories, Linear, Numbers, Rule, Trees
from training.rows import Rows
from training.spread import fit_spread
from training.value import Capacity, Value

LOGIN, TENURE = {"en": "Logins", "ja": "ログイン"}, {"en": "Customer age", "ja": "利用期間"}
PLAN, PLANS = {"en": "Plan", "ja": "プラン"}, ["basic", "free", "pro"]


def _number(name: str, source: str, measure: str, days: int | None, unit: str, label: dict[str, str]) -> Column:
    family = "tenure" if source == "customer" else source
    column = {
        "name": name,
        "source": source,
        "measure": measure,
        "days": days,
        "family": family,
        "unit": unit,
    }
    return Column(**column, kind="number", label=label, categories=None)


COLUMNS: list[Column] = [
    _number("login_recency", "login", "recency", None, "days", LOGIN),
    _number("login_count_28d", "login", "count", 28, "count", LOGIN),
    _number("tenure_days", "customer", "tenure_days", None, "days", TENURE),
    {**_number("plan", "plan", "attribute", None, "category", PLAN), "kind": "category", "categories": PLANS},
]


def frame(rows: int = 400, seed: int = 0, as_of: date = date(2026, 1, 1)) -> pd.DataFrame:
    """A snapshot frame of one as-of date: side columns, the features of COLUMNS, an outcome they explain."""
    random = np.random.default_rng(seed)
    recency = random.integers(1, 60, rows).astype(float)
    count = random.poisson(600 / (recency + 5)).astype(float)
    plan = random.choice(PLANS, rows).astype(object)
    margin = 0.08 * recency - 0.05 * count + (plan == "free") - 2.5
    recency[random.random(rows) < 0.05] = np.nan
    plan[random.random(rows) < 0.05] = None
    ids = [f"C-{number:05d}" for number in range(rows)]
    return pd.DataFrame({
        "customer_id": ids, "unit": ids, "as_of": pd.Timestamp(as_of).as_unit("s"),
        "outcome": (random.random(rows) < 1 / (1 + np.exp(-margin))).astype(float),
        "name": None, "owner": random.choice(["ann@example.com", "bob@example.com"], rows),
        "renewal": pd.Series(pd.NaT, index=range(rows), dtype="datetime64[s]"),
        "last_contact": pd.Series(pd.NaT, index=range(rows), dtype="datetime64[s]"),
        "login_recency": recency, "login_count_28d": count,
        "tenure_days": random.integers(28, 900, rows).astype(float), "plan": pd.Series(plan, dtype=object),
    })  # fmt: skip


def _info(kind: str, grade: str, columns: list[Column], changes: dict) -> Info:
    metric = Metric(value=0.8, low=0.75, high=0.85)
    content = {
        "model": "churn",
        "kind": kind,
        "grade": grade,
        "rule": "login_recency",
        "features": columns,
        "population": Population.model_validate({"seen": {"streams": ["login"], "days": 90}}),
        "outcome": Inactivity(kind="inactivity", streams=("login",), horizon_days=30),
        "windows": Windows(days=(28,)),
        "history_days": 400,
        "timezone": "UTC",
        "value": Value(amount=100.0, contact_cost=1.0),
        "capacity": Capacity(),
        "holdout": 0.1,
        "base_rate": 0.2,
        "metrics": {"roc_auc": metric},
        "fingerprint": "0" * 64,
        "versions": {},
        "customers_with_outcome": 80,
    }
    return Info(**{**content, **changes})


def _sealed(info: Info, model: Trees | Linear | Rule, calibrator: Calibrator, training: pd.DataFrame) -> Bundle:
    scores = calibrator(model.margin(encode(training, info.features)))
    quantiles = np.quantile(scores, np.linspace(0, 1, 1001)).tolist()
    return seal(info, model, calibrator, Reference(base_margin=model.base_margin, scores=quantiles, features={}))


def lightgbm_bundle(training: pd.DataFrame | None = None, **changes: object) -> Bundle:
    """Ten small trees, grade B; keyword arguments replace fields of Info."""
    import lightgbm

    training = frame() if training is None else training
    data = lightgbm.Dataset(encode(training, COLUMNS), training["outcome"], categorical_feature=[3])
    settings = {"objective": "binary", "num_leaves": 7, "max_depth": 3, "min_data_in_leaf": 10, "verbose": -1,
                "deterministic": True, "force_row_wise": True, "seed": 0}  # fmt: skip
    booster = lightgbm.train(settings, data, 10)
    info = _info("lightgbm", "B", COLUMNS, changes)
    return _sealed(info, Trees(booster.model_to_string()), Calibrator(1.2, 0.1), training)


def logistic_bundle(training: pd.DataFrame | None = None, **changes: object) -> Bundle:
    """A hand-written linear model, grade B."""
    numbers = {
        "low": 0.0,
        "high": 1000.0,
        "log": True,
        "center": 2.0,
        "scale": 1.0,
        "missing": 0.4,
        "expected": 0.1,
    }
    terms = (
        Numbers(**numbers, weight=0.9), Numbers(**numbers, weight=-0.5), Numbers(**numbers, weight=-0.1),
        Categories(weights=(0.1, 0.6, -0.5), missing=0.2, expected=0.05),
    )  # fmt: skip
    info = _info("logistic", "B", COLUMNS, changes)
    return _sealed(info, Linear(-1.0, terms), Calibrator(1.0, -0.2), frame() if training is None else training)


def rule_bundle(training: pd.DataFrame | None = None, **changes: object) -> Bundle:
    """Days quiet, grade C."""
    rule = Rule(knots=(1.0, 20.0, 60.0), margins=(-3.0, -1.0, 2.0), missing=-0.5, expected=-1.2)
    info = _info("rule", "C", COLUMNS[:1], changes)
    return _sealed(info, rule, Calibrator(1.0, 0.0), frame() if training is None else training)


def with_parts(bundle: Bundle) -> Bundle:
    """The bundle with a curve of two horizons and the spread of its recipe on 300 rows."""
    rows, columns, unit = frame(300, seed=3), bundle.info.features, np.arange(300)
    outcome, days = rows["outcome"].to_numpy(), np.zeros(300, "datetime64[D]")
    table = Rows(columns, encode(rows, columns), outcome, unit, unit.astype(object), days)
    name = columns[0]["name"] if bundle.info.kind == "rule" else bundle.info.kind
    curve = Curve((30, 60), 30, True, None, (Calibrator(0.0, 1.0), Calibrator(0.0, -1.0)))
    return seal(bundle.info, bundle.model, bundle.calibrator, bundle.reference, curve, fit_spread(name, table))
