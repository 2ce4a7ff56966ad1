"""Features that know the future: found by what they hold, by what they tell, and by making them again without it."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date

import numpy as np
import pandas as pd
import pyarrow as pa

from features.attributes import Changing, History
from features.calendar import NEVER
from features.catalogue import Feature
from features.checks.findings import Finding
from features.facts import Facts, Part
from features.rollup import Activity
from features.snapshot import Recipe, Snapshot
from features.snapshot_config import SnapshotConfig
from features.subscriptions import Subscriptions

LEAK_AUC = 0.99
_MIN_ROWS, _MIN_LEVEL, _MIN_CHANGES = 50, 20, 20
_SECONDS, _MILLISECONDS = (5e8, 5e9), (5e11, 5e12)
SAMPLE_CUSTOMERS, SAMPLE_DATES = 1_000, 3


def of_features(made: Snapshot) -> list[Finding]:
    """Attributes that hold later times, and features that alone tell the outcome."""
    rows = made.frame[made.frame["outcome"].notna()]
    out = []
    for feature in made.features:
        later = _later_times(rows, feature) if feature.measure == "attribute" and feature.kind == "number" else 0
        if later:
            values = {"later": later, "rows": len(rows)}
            out.append(Finding("leakage", "error", feature.name, "later_times", values))
            continue
        auc = _separation(rows, rows[feature.name] if feature.kind == "number" else _as_rate(rows, feature.name))
        if auc > LEAK_AUC:
            out.append(Finding("leakage", "error", feature.name, "tells", {"auc": auc, "limit": LEAK_AUC}))
    return out or [Finding("leakage", "ok", "", "fine", {"features": len(made.features), "limit": LEAK_AUC})]


def _later_times(rows: pd.DataFrame, feature: Feature) -> int:
    """How many values, read as seconds or milliseconds since 1970, lie at or after the as-of date."""
    value = rows[feature.name].dropna()
    seconds = rows.loc[value.index, "as_of"].to_numpy().astype("datetime64[s]").astype(np.int64)
    for (low, high), unit in ((_SECONDS, 1), (_MILLISECONDS, 1_000)):
        if len(value) and value.between(low, high).all():
            return int((value.to_numpy() >= seconds * unit).sum())
    return 0


def _as_rate(rows: pd.DataFrame, name: str) -> pd.Series:
    """A category as the share with the outcome; those of few customers together: they tell any outcome by chance."""
    levels = rows[name].fillna("")
    common = levels.map(rows["customer_id"].groupby(levels).nunique()) >= _MIN_LEVEL
    return rows["outcome"].groupby(levels.where(common, "\0")).transform("mean")


def _separation(rows: pd.DataFrame, values: pd.Series) -> float:
    """ROC AUC of one feature, in whichever direction is better, averaged over the dates with enough rows."""
    found = []
    for places in rows.groupby("as_of").indices.values():
        outcome = rows["outcome"].to_numpy()[places] == 1
        positive, negative = outcome.sum(), (~outcome).sum()
        if min(positive, negative) == 0 or len(outcome) < _MIN_ROWS:
            continue
        ranks = values.iloc[places].fillna(-np.inf).rank().to_numpy()
        found.append((ranks[outcome].sum() - positive * (positive + 1) / 2) / (positive * negative))
    mean = float(np.mean(found)) if found else 0.5
    return max(mean, 1 - mean)


def of_attributes(config: SnapshotConfig, known: Facts, made: Snapshot) -> Iterator[Finding]:
    """Attributes whose changes mostly follow the outcome of their customers.

    One that is read from the outcome's own table is left out: there the change is the outcome.
    """
    outcome = {config.data.streams[name].table for name in getattr(config.outcome, "streams", ())}
    had = made.frame[made.frame["outcome"] == 1].groupby("customer_id")["as_of"].min()
    place = pd.Index(known.customers["id"]).get_indexer(had.index)
    begins = np.full(len(known.customers), NEVER, np.int64)
    begins[place] = had.to_numpy().astype("datetime64[D]").astype(np.int64) + config.outcome.gap_days
    for name, spec in config.data.customers.attributes.items():
        history = known.attributes[name]
        if not isinstance(history, Changing) or name in config.outcome.attributes:
            continue
        if spec.changes and spec.changes.table in outcome:
            continue
        if values := _changes_after(history.changes, begins):
            yield Finding("leakage", "warning", name, "changes_after", values)


def _changes_after(changes: Activity, begins: np.ndarray) -> dict[str, float]:
    """Counts, when most changes of customers with an outcome come after ``begins`` and chance does not explain it."""
    first = np.ones(len(changes.customer), bool)
    first[1:] = changes.customer[1:] != changes.customer[:-1]
    own = begins[changes.customer] < NEVER
    customer, day = changes.customer[own & ~first], changes.day[own & ~first]
    if len(day) < _MIN_CHANGES:
        return {}
    after, end = int((day >= begins[customer]).sum()), int(changes.day.max()) + 1
    start = changes.day[own & first].astype(np.int64)
    left = np.clip(end - begins[changes.customer[own & first]], 0, end - start)
    values = {"after": after, "changes": len(day), "share": after / len(day)}
    values["expected"] = float(left.sum() / max((end - start).sum(), 1))
    return values if values["share"] > max(0.8, values["expected"] + 0.3) else {}


def recomputed(config: SnapshotConfig, known: Facts, days: Sequence[date]) -> list[Finding]:
    """The features of some customers and dates once more, with everything known on or after the date deleted."""
    places = np.unique(np.linspace(0, len(days) - 1, SAMPLE_DATES).round().astype(int))
    recipes = [Recipe(config, [days[place]], False, known) for place in places]
    step = max(1, len(known.customers) // SAMPLE_CUSTOMERS)
    rows, moved, left = 0, Counter[str](), 0
    for made, again in known.each(lambda part: _twice(recipes, part, step)):
        rows, left = rows + made.num_rows, left + again.num_rows
        if made["customer_id"].equals(again["customer_id"]) and made["as_of"].equals(again["as_of"]):
            moved.update({name: count for name in made.column_names if (count := _differ(made[name], again[name]))})
        else:
            return [Finding("recomputation", "error", "", "other_rows", {"rows": rows, "left": left})]
    names = [feature.name for feature in recipes[0].features if moved[feature.name]]
    told = [Finding("recomputation", "error", name, "moved", {"moved": moved[name], "rows": rows}) for name in names]
    return told or [Finding("recomputation", "ok", "", "fine", {"rows": rows, "dates": len(places)})]


def _twice(recipes: Sequence[Recipe], part: Part, step: int) -> tuple[pa.Table, pa.Table]:
    """The rows of every ``step``-th customer of a part, as they are and from the past alone."""
    chosen = np.arange(len(part.customers)) % step == 0
    made = [recipe.piece(_past(part, chosen, NEVER))[0] for recipe in recipes]
    again = [recipe.piece(_past(part, chosen, int(recipe.days[0])))[0] for recipe in recipes]
    return pa.concat_tables(made), pa.concat_tables(again)


def _differ(one: pa.ChunkedArray, other: pa.ChunkedArray) -> int:
    left, right = one.to_pandas(), other.to_pandas()
    return int(((left != right) & ~(left.isna() & right.isna())).sum())


def _past(part: Part, chosen: np.ndarray, day: int) -> Part:
    """The facts of the chosen customers (bool, by code) that were known before the day; ends to come are not."""
    activity = {name: _activity(own, chosen, day) for name, own in part.activity.items()}
    attributes = {name: _history(own, chosen, day) for name, own in part.attributes.items()}
    terms = None if part.subscriptions is None else _terms(part.subscriptions, chosen, day)
    return Part(part.customers, terms, attributes, activity)


def _activity(activity: Activity, chosen: np.ndarray, day: int) -> Activity:
    cut = dict[str, np.ndarray]()
    for prefix in ("open_", "entity_", ""):
        kept = chosen[getattr(activity, f"{prefix}customer")] & (getattr(activity, f"{prefix}known") < day)
        own = [name for name in vars(activity) if f"{name}_".startswith(prefix) and name not in cut]
        cut |= {name: getattr(activity, name)[kept[: len(getattr(activity, name))]] for name in own}
    if len(cut["open_until"]):
        cut["open_until"] = np.where(cut["open_until"] < day, cut["open_until"], NEVER).astype(np.int32)
    return Activity(**cut)


def _history(history: History, chosen: np.ndarray, day: int) -> History:
    if isinstance(history, Changing):
        return replace(history, changes=_activity(history.changes, chosen, day))
    return history


def _terms(terms: Subscriptions, chosen: np.ndarray, day: int) -> Subscriptions:
    kept = chosen[terms.customer] & (terms.known < day)
    cut = {name: column[kept] for name, column in vars(terms).items()}
    for name in ("end", "notice"):
        cut[name] = np.where(cut[name] < day, cut[name], NEVER).astype(np.int32)
    return Subscriptions(**cut)
