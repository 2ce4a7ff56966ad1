"""What must hold before a list is published. Each check gives one sentence when it fails."""

from collections.abc import Iterator
from datetime import date, timedelta

import numpy as np
import pandas as pd

from features.catalogue import Feature
from features.checks import health
from features.data_config import Data
from features.facts import Facts
from training.bundle import Bundle, Info

ADDITIVE = 1e-9
QUIET_DAYS = 3
EMPTIER, ENOUGH = 0.2, 20


def of_schema(info: Info, data: Data, features: tuple[Feature, ...]) -> Iterator[str]:
    """The data must mean today what they meant in training."""
    for name in ("timezone", "history_days"):
        trained, now = getattr(info, name), getattr(data, name)
        if trained != now:
            yield f"schema: {name} was {trained} in training, is {now} now; set it back or train again"
    used = {column["source"] for column in info.features}
    used |= set(info.population.seen.streams) if info.population.seen else set()
    now = data.meaning()
    for path, trained in info.meaning.items():
        matters = "." not in path or path.rpartition(".")[2] in used
        if matters and now.get(path) != trained:
            yield f"schema: data.yaml: {path} says something else than in training; set it back or train again"
    kinds = {feature.name: feature.kind for feature in features}
    for column in info.features:
        found = kinds.get(column["name"])
        if found != column["kind"]:
            found = found or "missing"
            yield f"schema: the feature {column['name']} was a {column['kind']} and is {found}; train again"


def of_rows(frame: pd.DataFrame) -> Iterator[str]:
    """There must be customers, each once."""
    if frame.empty:
        yield "rows: no customer is at risk on this date; check the population and the date"
    twice = frame["customer_id"][frame["customer_id"].duplicated()]
    if len(twice):
        yield f"rows: {len(twice)} customers stand twice; make the id column of the customers unique"


def of_feeds(info: Info, known: Facts, as_of: date, newest: date) -> Iterator[str]:
    """The tables must reach the date, and no stream the model looks at may have stopped."""
    if as_of > newest + timedelta(days=QUIET_DAYS):
        yield f"feed: the data end before {newest}; load newer data or ask for --as-of {newest}"
    used = {column["source"] for column in info.features}
    for finding in health.feeds(known, as_of):
        if finding.level == "error" and finding.about in used:
            yield f"feed: {finding.text}"


def of_columns(bundle: Bundle, frame: pd.DataFrame) -> Iterator[str]:
    """No column of a ready-made table may have lost its values, or have others than it had in training."""
    if len(frame) < ENOUGH:
        return
    shares = np.isnan(bundle.matrix(frame)).mean(axis=0)
    for column, share in zip(bundle.info.features, shares.tolist()):
        trained = bundle.reference.features[column["name"]].nulls
        if share > trained + EMPTIER:
            what = "empty or of no known category" if column["kind"] == "category" else "empty"
            yield f"drift: {column['name']}: {share:.0%} of the rows are {what}, {trained:.0%} were in training; " + (
                "look at the table, or train again"
            )


def of_scores(score: np.ndarray, gap: np.ndarray) -> Iterator[str]:
    """Scores must be probabilities that tell customers apart, and reasons must add up."""
    if not np.isfinite(score).all() or ((score < 0) | (score > 1)).any():
        yield "scores: some are no probabilities; train again"
    elif len(score) > 1 and np.ptp(score) == 0:
        yield "spread: every customer has the same score; check the feeds, or train again"
    if (gap > ADDITIVE).any():
        yield f"reasons: they miss the score by {gap.max():.1e}; train again"
