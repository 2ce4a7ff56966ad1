"""Spine + windows + attributes (+ outcomes): one table, one row per customer and as-of date."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd

from features import catalogue, customers, facts, population, windows
from features import labels as outcomes
from features.calendar import NEVER, as_of_dates, day_of, number
from features.catalogue import Feature
from features.errors import DataError
from features.facts import Facts
from features.rollup import Activity
from features.snapshot_config import SnapshotConfig
from features.subscriptions import Subscriptions

_KEYS = ("customer_id", "unit", "as_of")
SIDE = ("name", "owner", "renewal", "last_contact")


@dataclass(frozen=True)
class Snapshot:
    """The rows of a population over dates, ordered by as_of and customer_id.

    frame: customer_id, unit (parent, else customer), as_of, outcome (1, 0, NaN while immature; only with labels),
    name, owner, renewal, last_contact, and one column per feature: float64, or text for a category; NaN is null.
    left_out: customer_id, as_of, status of those in sight but not at risk (already_leaving, opted_out).
    """

    frame: pd.DataFrame
    features: tuple[Feature, ...]
    left_out: pd.DataFrame

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the whole content: the same numbers give the same hash on any number of threads."""
        digest = hashlib.sha256()
        for name in self.frame.columns:
            column = self.frame[name]
            digest.update(f"{name}:{len(column)}\n".encode())
            if column.dtype == np.float64:
                values = column.to_numpy() + 0.0
                digest.update(np.where(np.isnan(values), np.nan, values).tobytes())
            elif column.dtype.kind == "M":
                digest.update(column.to_numpy().astype("datetime64[s]").astype(np.int64).tobytes())
            else:
                text = column.astype(object).where(column.notna(), "\x00")
                digest.update("\x1f".join(text).encode())
        return digest.hexdigest()


def build(
    config: SnapshotConfig,
    as_of: Sequence[date],
    *,
    labels: bool,
    customers: Sequence[str] | None = None,
    known: Facts | None = None,
) -> Snapshot:
    """Make the snapshot of the given dates; ``customers`` limits it to some, by the same walk.

    known: facts read before, to save reading again. Raises DataError or ConfigError on bad input.
    """
    if not as_of:
        raise DataError("no as-of date; the data are shorter than the longest window")
    columns = catalogue.features(config)
    known = known or facts.read(config.data, customers)
    days = [number(day) for day in as_of]
    spine = population.spine(config.population, known.customers, known.activity, known.subscriptions, days)
    spine = spine.sort_values(["day", "code"], ignore_index=True)
    ids = known.index.to_numpy(dtype=object)
    left_out = spine[spine["status"] != population.AT_RISK]
    left_out = pd.DataFrame(
        {
            "customer_id": ids[left_out["code"]],
            "as_of": _dates(left_out["day"].to_numpy()),
            "status": left_out["status"].to_numpy(),
        }
    )
    spine = spine[spine["status"] == population.AT_RISK]
    code, day = spine["code"].to_numpy(np.int32), spine["day"].to_numpy(np.int32)
    outcome = None
    if labels:
        outcome, in_gap = outcomes.of(config, known.activity, known.subscriptions, code, day, known.today)
        code, day, outcome = code[~in_gap], day[~in_gap], outcome[~in_gap]
    frame = _side(known, ids, code, day)
    if outcome is not None:
        frame["outcome"] = outcome
    frame |= _windows(config, known, columns, code, day) | _own(known, columns, code, day)
    ordered = {name: frame[name] for name in (*_KEYS, *(["outcome"] if labels else []), *SIDE)}
    return Snapshot(pd.DataFrame(ordered | {f.name: frame[f.name] for f in columns}), columns, left_out)


def dates(config: SnapshotConfig, known: Facts | None = None) -> list[date]:
    """All as-of dates the data allow, oldest first; the newest may be immature.

    They begin where the longest window lies within the data, or at ``as_of.first``.
    """
    known = known or facts.read(config.data)
    first = _first_day(config, known) + config.windows.days[-1]
    if config.as_of.first:
        first = max(_first_day(config, known) + 1, number(config.as_of.first))
    return as_of_dates(config.as_of.every, day_of(first), latest(config, known))


def latest(config: SnapshotConfig, known: Facts | None = None) -> date:
    """The day after the newest observed event: the newest as-of date the data allow."""
    known = known or facts.read(config.data)
    return day_of(max(int(activity.day.max()) for activity in _behaviour(config, known)) + 1)


def _first_day(config: SnapshotConfig, known: Facts) -> int:
    return min(int(activity.day.min()) for activity in _behaviour(config, known))


def _behaviour(config: SnapshotConfig, known: Facts) -> list[Activity]:
    found = [known.activity[name] for name in config.data.behaviour() if len(known.activity[name].day)]
    if not found:
        raise DataError("no event of any stream belongs to a known customer; check the id columns in data.yaml")
    return found


def _dates(days: np.ndarray) -> np.ndarray:
    return days.astype("datetime64[D]").astype("datetime64[s]")


def _side(known: Facts, ids: np.ndarray, code: np.ndarray, day: np.ndarray) -> dict[str, np.ndarray]:
    """The columns that are not features: keys, names, the next renewal, the last contact."""
    people = known.customers
    side = {"customer_id": ids[code], "as_of": _dates(day)}
    side |= {name: people[name].to_numpy(dtype=object)[code] for name in ("unit", "name", "owner")}
    renewal = _by_date(_next_renewal, known, code, day)
    side["renewal"] = np.where(renewal == NEVER, np.datetime64("NaT", "s"), _dates(renewal))
    contact = np.full(len(code), np.nan)
    for name, stream in known.source.data.streams.items():
        if stream.role == "contact":
            found = windows.compute(known.activity[name], code, day, [("recency", None)], 3_650)[:, 0]
            contact = np.fmin(contact, found)
    last = _dates(day - np.nan_to_num(contact).astype(np.int64))
    side["last_contact"] = np.where(np.isnan(contact), np.datetime64("NaT", "s"), last)
    return side


def _windows(
    config: SnapshotConfig, known: Facts, columns: Sequence[Feature], code: np.ndarray, day: np.ndarray
) -> dict[str, np.ndarray]:
    """The behaviour windows, stream by stream."""
    out: dict[str, np.ndarray] = {}
    for name in config.data.behaviour():
        own = [feature for feature in columns if feature.source == name and feature.measure != "attribute"]
        wanted = [(feature.measure, feature.days) for feature in own]
        values = windows.compute(known.activity[name], code, day, wanted, config.data.history_days)
        out |= {feature.name: values[:, i] for i, feature in enumerate(own)}
    return out


def _own(known: Facts, columns: Sequence[Feature], code: np.ndarray, day: np.ndarray) -> dict[str, np.ndarray]:
    """Attributes and the customer's own measures, as of the date."""
    out: dict[str, np.ndarray] = {}
    for feature in columns:
        if feature.measure == "attribute":
            out[feature.name] = customers.attribute(known.source, feature.name, known.index, code, day)
        elif feature.measure == "tenure_days":
            since = population.first_known(known.customers, known.subscriptions)[code]
            tenure = day - since
            out[feature.name] = np.where((tenure >= 0) & (since > customers.ALWAYS), tenure.astype(float), np.nan)
        elif feature.measure == "days_to_renewal":
            renewal = _by_date(_next_renewal, known, code, day)
            out[feature.name] = np.where(renewal == NEVER, np.nan, renewal - day.astype(float))
        elif feature.measure == "value":
            out[feature.name] = _by_date(_active_value, known, code, day)
    return out


def _by_date(
    measure: Callable[[Subscriptions, int, int], np.ndarray], known: Facts, code: np.ndarray, day: np.ndarray
) -> np.ndarray:
    """One number per key from a function of (subscriptions, customers, day) that gives one number per customer."""
    out = np.full(len(code), float(NEVER))
    if known.subscriptions is not None:
        for one in np.unique(day):
            rows = day == one
            out[rows] = measure(known.subscriptions, len(known.customers), int(one))[code[rows]]
    return out


def _next_renewal(terms: Subscriptions, customers: int, day: int) -> np.ndarray:
    first = np.full(customers, float(NEVER))
    rows = terms.active(day) & (terms.renewal >= day)
    np.minimum.at(first, terms.customer[rows], terms.renewal[rows])
    return first


def _active_value(terms: Subscriptions, customers: int, day: int) -> np.ndarray:
    value = np.zeros(customers)
    rows = terms.active(day)
    np.add.at(value, terms.customer[rows], terms.value[rows])
    return value
