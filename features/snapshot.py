"""Spine + windows + attributes (+ outcomes): one table, one row per customer and as-of date."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property, partial

import numpy as np
import pandas as pd
import pyarrow as pa

from features import buying, catalogue, contacts, facts, population, windows
from features import labels as outcomes
from features.calendar import NEVER, as_of_dates, day_of, number
from features.catalogue import Feature
from features.customers import ALWAYS
from features.errors import DataError
from features.facts import Facts, Part
from features.gathered import Calendar
from features.population import Spine
from features.snapshot_config import SnapshotConfig
from features.subscriptions import Subscriptions

Then = Callable[[pa.Table], pa.Table]
_OF_STREAMS = {measure.name for measure in catalogue.MEASURES}


@dataclass(frozen=True)
class Snapshot:
    """The rows of a population over dates, ordered by as_of and customer_id.

    frame: customer_id, unit (parent, else customer), as_of, outcome (1, 0, NaN while immature) and contacted (see
    ``contacts``) with labels only, event_day and followed_days (see ``labels``) with a curve, name, owner, renewal,
    last_contact, and one column per feature: float64, or text for a category; NaN is null.
    left_out: customer_id, as_of, status of those in sight but not at risk (already_leaving, opted_out).
    """

    frame: pd.DataFrame
    features: tuple[Feature, ...]
    left_out: pd.DataFrame

    @property
    def fingerprint(self) -> str:
        """The content hash of the rows."""
        content = ContentHash()
        content.add(self.frame)
        return content.hex()


class ContentHash:
    """SHA-256 of a snapshot that may come in parts: of its columns and its rows, in whatever order the rows come.

    The same numbers give the same hash on any number of threads and on every engine.
    """

    def __init__(self) -> None:
        self._columns, self._rows = "", list[np.ndarray]()

    def add(self, frame: pd.DataFrame) -> None:
        """Take the rows of a part; all parts have the same columns."""
        self._columns = "\n".join(frame.columns)
        plain = pd.DataFrame({name: _plain(frame[name]) for name in frame.columns})
        self._rows.append(pd.util.hash_pandas_object(plain, index=False).to_numpy())

    def hex(self) -> str:
        """The hash of all parts so far."""
        digest = hashlib.sha256(self._columns.encode())
        digest.update(np.sort(np.concatenate(self._rows)).tobytes() if self._rows else b"")
        return digest.hexdigest()


def _plain(column: pd.Series) -> np.ndarray:
    """One form of zero, of nothing, of text and of time."""
    if column.dtype == np.float64:
        values = column.to_numpy() + 0.0
        return np.where(np.isnan(values), np.nan, values)
    if column.dtype.kind == "M":
        return column.to_numpy().astype("datetime64[s]")
    return column.astype(object).where(column.notna(), None).to_numpy()


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
    known = known or facts.read(config.data, customers)
    made = Recipe(config, as_of, labels, known)
    pieces = list(known.each(made.piece))
    frame, left_out = (_ordered([side[place] for side in pieces]) for place in (0, 1))
    return Snapshot(frame, made.features, left_out)


def parts(
    config: SnapshotConfig, as_of: Sequence[date], known: Facts, labels: bool = False, then: Then | None = None
) -> Iterator[pa.Table]:
    """The rows of ``build``, one table per part of the customers, ordered by customer_id and as_of within it.

    then: what is done with each table where it is made, be it in a thread or on another machine; it can be pickled.
    """
    return (rows for rows, _ in pieces(config, as_of, known, labels, then))


def pieces(
    config: SnapshotConfig, as_of: Sequence[date], known: Facts, labels: bool = False, then: Then | None = None
) -> Iterator[tuple[pa.Table, pa.Table]]:
    """``parts``, each with those in sight but not at risk: customer_id, as_of, status."""
    return known.each(partial(_piece, Recipe(config, as_of, labels, known), then))


def _piece(made: "Recipe", then: Then | None, part: Part) -> tuple[pa.Table, pa.Table]:
    rows, left_out = made.piece(part)
    return then(rows) if then else rows, left_out


def _ordered(tables: Sequence[pa.Table]) -> pd.DataFrame:
    frame = pa.concat_tables(tables).to_pandas()
    return frame.sort_values(["as_of", "customer_id"], kind="stable", ignore_index=True)


class Recipe:
    """How any part of the customers becomes rows: what the parts do not know of each other is settled here."""

    def __init__(self, config: SnapshotConfig, as_of: Sequence[date], labels: bool, known: Facts):
        if not as_of:
            raise DataError("no as-of date; the data are shorter than the longest window or end before as_of.first")
        self.config, self.labels = config, labels
        self.features = catalogue.features(config)
        self.days = np.unique(np.array([number(day) for day in as_of], np.int32))
        self.observed = NEVER
        if labels:
            self.observed = outcomes.observed_until(config, known)

    def piece(self, part: Part) -> tuple[pa.Table, pa.Table]:
        """The rows of a part's customers, and those in sight but not at risk."""
        spine = population.spine(self.config.population, part, self.days)
        customer, day, told = spine.customer, spine.day, dict[str, np.ndarray]()
        if self.labels:
            told, kept = self._told(part, customer, day)
            customer, day = customer[kept], day[kept]
        keys = Keys(self.config, part, self.days, customer, day)
        columns = keys.names("customer_id", "unit") | {"as_of": _dates(day)}
        return pa.table(columns | told | keys.side() | keys.measured(self.features)), self._left_out(part, spine)

    def _told(self, part: Part, customer: np.ndarray, day: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """What the outcome says of each row that is kept, and which are: those without one inside the gap."""
        found = outcomes.of(self.config, part, customer, day, self.observed)
        told = {"outcome": found.outcome, "contacted": contacts.contacted(self.config, part, customer, day)}
        if self.config.curve:
            followed = outcomes.followed_days(self.config, day, self.observed)
            told |= {"event_day": found.event_day, "followed_days": followed}
        return {name: column[~found.in_gap] for name, column in told.items()}, ~found.in_gap

    def _left_out(self, part: Part, spine: Spine) -> pa.Table:
        others = spine.left_out
        assert others is not None
        keys = Keys(self.config, part, self.days, others.customer, others.day)
        status = pa.array(others.status, pa.string())
        return pa.table({**keys.names("customer_id"), "as_of": _dates(others.day), "status": status})


@dataclass(frozen=True)
class Keys:
    """Keys of one part, sorted by customer and day, and every column that follows from them."""

    config: SnapshotConfig
    part: Part
    days: np.ndarray
    customer: np.ndarray
    day: np.ndarray

    def names(self, *columns: str) -> dict[str, pa.Array]:
        """Columns of the customer table, customer_id first called id there."""
        people, code = self.part.customers, pa.array(self.customer)
        return {name: pa.array(people[name.removeprefix("customer_")], pa.string()).take(code) for name in columns}

    def side(self) -> dict[str, pa.Array | np.ndarray]:
        """The columns that are not features: names, the next renewal, the last contact, what was bought so far."""
        contact = np.full(len(self.day), np.nan)
        for name, stream in self.config.data.streams.items():
            if stream.role == "contact":
                activity = self.part.activity[name]
                found = windows.compute(activity, self.customer, self.day, [("recency", None)], 3_650)[:, 0]
                contact = np.fmin(contact, found)
        last = _dates(self.day - np.nan_to_num(contact).astype(np.int64))
        nothing = np.datetime64("NaT", "s")
        renewal = np.where(self.renewal == NEVER, nothing, _dates(self.renewal))
        return self.names("name", "owner") | {
            "renewal": renewal,
            "last_contact": np.where(np.isnan(contact), nothing, last),
            **self._bought(),
        }

    def _bought(self) -> dict[str, np.ndarray]:
        name = self.config.buying
        history = self.config.data.history_days
        return buying.columns(self.part.activity[name], self.customer, self.day, history) if name else {}

    def measured(self, features: Sequence[Feature]) -> dict[str, np.ndarray | pa.Array]:
        """One column per feature, in their order."""
        found = dict[str, np.ndarray]()
        for name in self.config.data.behaviour():
            own = [f for f in features if f.source == name and f.measure in _OF_STREAMS]
            wanted = [(feature.measure, feature.days) for feature in own]
            history = self.config.data.history_days
            values = windows.compute(self.part.activity[name], self.customer, self.day, wanted, history)
            found |= {feature.name: values[:, i] for i, feature in enumerate(own)}
        return {f.name: found[f.name] if f.name in found else self._own(f) for f in features}

    def _own(self, feature: Feature) -> np.ndarray | pa.Array:
        """An attribute, or a measure of the customer, as of the date."""
        if feature.measure == "attribute":
            values = self.part.attributes[feature.name].at(self.customer, self.day)
            return pa.array(values, pa.string()) if feature.kind == "category" else values
        return _OWN[feature.measure](self)

    @property
    def tenure(self) -> np.ndarray:
        since = population.first_known(self.part.customers, self.part.subscriptions)[self.customer]
        tenure = self.day - since
        return np.where((tenure >= 0) & (since > ALWAYS), tenure.astype(float), np.nan)

    @cached_property
    def renewal(self) -> np.ndarray:
        return self._by_date(_next_renewal, NEVER)

    def seats_used(self) -> np.ndarray:
        seats = self.config.data.customers.seats
        assert seats is not None
        number = self.part.attributes[seats.attribute].at(self.customer, self.day)
        activity, history = self.part.activity[seats.stream], self.config.data.history_days
        return windows.seats_used(activity, self.customer, self.day, number, seats.days, history)

    def _by_date(self, measure: Callable[[Subscriptions, int, int], np.ndarray], otherwise: float) -> np.ndarray:
        """One number per key from a function of (subscriptions, customers, day) that gives one number per customer."""
        terms, people = self.part.subscriptions, len(self.part.customers)
        if terms is None:
            return np.full(len(self.day), float(otherwise))
        table = np.stack([measure(terms, people, int(day)) for day in self.days], axis=1)
        return table[self.customer, np.searchsorted(self.days, self.day)]


_OWN: dict[str, Callable[[Keys], np.ndarray]] = {
    "tenure_days": lambda keys: keys.tenure,
    "days_to_renewal": lambda keys: np.where(keys.renewal == NEVER, np.nan, keys.renewal - keys.day.astype(float)),
    "seats_used": lambda keys: keys.seats_used(),
    "value": lambda keys: keys._by_date(_active_value, NEVER),
}


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


def _dates(days: np.ndarray) -> np.ndarray:
    return (days.astype(np.int64) * 86_400).view("datetime64[s]")


def dates(config: SnapshotConfig, known: Facts | None = None) -> list[date]:
    """All as-of dates the data allow, oldest first; the newest may be immature.

    They begin where the longest window lies within the data, or at ``as_of.first``.
    """
    known = known or facts.read(config.data)
    earliest = min(int(calendar.days[0]) for calendar in _behaviour(config, known))
    first = earliest + config.windows.days[-1]
    if config.as_of.first:
        first = max(earliest + 1, number(config.as_of.first))
    return as_of_dates(config.as_of.every, day_of(first), latest(config, known))


def latest(config: SnapshotConfig, known: Facts | None = None) -> date:
    """The day after the newest observed event: the newest as-of date the data allow."""
    known = known or facts.read(config.data)
    return day_of(max(int(calendar.days[-1]) for calendar in _behaviour(config, known)) + 1)


def _behaviour(config: SnapshotConfig, known: Facts) -> list[Calendar]:
    found = [known.calendar[name] for name in config.data.behaviour() if len(known.calendar[name].days)]
    if not found:
        raise DataError("no event of any stream belongs to a known customer; check the id columns in data.yaml")
    return found
