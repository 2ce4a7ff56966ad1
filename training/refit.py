"""The graded recipe refitted on every mature date: the bundle that is served."""

from importlib.metadata import version

import numpy as np

from features import segments
from training.bundle import Bundle, seal
from training.columns import Column
from training.curve import Curve
from training.evaluate import Say, fit_named, inputs
from training.fit import one_thread
from training.hazard import Horizons, fit_curve
from training.info import Distribution, Info, Kind, Reference
from training.job import Evaluation
from training.spread import fit_spread


def refit(evaluation: Evaluation, say: Say) -> Bundle | None:
    """The recipe of what is served, refitted on all mature dates; None when there is nothing to serve."""
    name, table = evaluation.served, evaluation.rows
    if name is None:
        return None
    say(f"refitting {name} on {len(table.dates)} dates, {len(table):,} rows")
    with one_thread():
        fitted, own = fit_named(name, table, evaluation.config.settings), inputs(name, table)
        columns = [table.columns[position] for position in own]
        graded = len(evaluation.scored) > 0
        scores = evaluation.served_scores if graded else fitted.score(table.matrix[:, own])
        reference = Reference(
            base_margin=fitted.model.base_margin,
            scores=np.quantile(scores, np.linspace(0, 1, 1001)).tolist(),
            features={table.columns[i]["name"]: _distribution(table.columns[i], table.matrix[:, i]) for i in own},
        )
        info = _info(evaluation, fitted.model.kind, columns, _cuts(evaluation, say))
        spread = fit_spread(name, table, evaluation.config.settings)
        if spread is None:
            say("no interval around the scores: too few customers with and without the outcome")
        curve = _curve(evaluation, say)
        return seal(info, fitted.model, fitted.calibrator, reference, curve, spread)


def _curve(evaluation: Evaluation, say: Say) -> Curve | None:
    config, name = evaluation.config, evaluation.served
    if not config.curve or name is None:
        return None
    say(f"fitting the curve: {', '.join(map(str, config.curve))} days")
    return fit_curve(evaluation.rows, Horizons.of(config), name, config.settings)


def _cuts(evaluation: Evaluation, say: Say) -> segments.Cuts | None:
    """The quintiles behind the customers' segments; None where the features they are made of are left out."""
    config, rows = evaluation.config, evaluation.rows
    recipe = segments.recipe(config.data, config.windows.days)
    if recipe is None:
        return None
    values = config.data.streams[recipe.stream].value is not None
    wanted = segments.columns(recipe.stream, recipe.days, monetary=values)
    there = {column["name"]: position for position, column in enumerate(rows.columns)}
    missing = [column for column in wanted.values() if column not in there]
    if missing:
        say(f"no segments in the lists: `exclude` leaves out {', '.join(missing)}")
        return None
    return segments.fit({role: rows.matrix[:, there[column]] for role, column in wanted.items()}, recipe)


def _distribution(column: Column, values: np.ndarray) -> Distribution:
    known = values[~np.isnan(values)]
    nulls = round(1 - len(known) / len(values), 6)
    if column["kind"] == "category":
        names = column["categories"] or []
        shares = np.bincount(known.astype(np.int64), minlength=len(names)) / len(values)
        return Distribution(nulls=nulls, shares=dict(zip(names, shares.round(6).tolist(), strict=True)))
    deciles = np.quantile(known, np.linspace(0, 1, 11)).tolist() if len(known) else []
    return Distribution(nulls=nulls, deciles=deciles)


def _info(evaluation: Evaluation, kind: Kind, columns: list[Column], cuts: segments.Cuts | None) -> Info:
    config, table = evaluation.config, evaluation.rows
    settings = ("model", "population", "outcome", "grace_days", "windows", "value", "capacity", "holdout")
    return Info(
        **{name: getattr(config, name) for name in settings},
        data=config.data.name,
        lifetime=evaluation.lifetime,
        kind=kind,
        grade=evaluation.grade.letter,
        rule=evaluation.rule,
        features=columns,
        history_days=config.data.history_days,
        timezone=config.data.timezone,
        meaning=config.data.meaning(),
        base_rate=round(float(table.outcome.mean()), 6),
        metrics=evaluation.metrics,
        segments=cuts,
        fingerprint=evaluation.fingerprint,
        customers_with_outcome=table.customers_with_outcome,
        versions={name: version(name) for name in ("lightgbm", "numpy", "pandas", "scikit-learn")},
    )
