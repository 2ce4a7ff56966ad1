"""The behaviour windows of customers from raw events, by the same roll-up and kernel as history and the list."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa

from features import calendar, catalogue, columns, events, windows
from features.calendar import number
from features.data_config import Data, Stream
from features.errors import DataError
from features.gathered import entities
from features.rollup import Activity, Events, daily
from features.snapshot_config import SnapshotConfig

ROLES = ("known", "until", "value", "entity")
TIMES = ("at", "known", "until")
LARGEST_SUM = 4.6e12
NOTHING = daily(Events(*(np.zeros(0, kind) for kind in (*[np.int32] * 3, *[np.int64] * 3))))
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = EPOCH.resolution
_OF_STREAMS = {measure.name for measure in catalogue.MEASURES}

Given = Mapping[str, pa.Table]


@dataclass(frozen=True)
class Found:
    """What the events of n customers say. values: stream -> feature -> float64 (n,), NaN for null.

    seen: stream of the population -> whether it holds an event within the population's days, bool (n,). visible,
    ignored: int (n,), events before the date and known before it, and the others.
    """

    values: dict[str, dict[str, np.ndarray]]
    seen: dict[str, np.ndarray]
    visible: np.ndarray
    ignored: np.ndarray


class Online:
    """One model's behaviour features, made ready once."""

    def __init__(self, config: SnapshotConfig):
        self.data, self._seats, seen = config.data, config.data.customers.seats, config.population.seen
        features = [f for f in catalogue.features(config) if f.measure in _OF_STREAMS]
        wanted = {name: [f for f in features if f.source == name] for name in config.data.behaviour()}
        self.names = {name: [f.name for f in own] for name, own in wanted.items()}
        self._measures = {name: tuple((f.measure, f.days) for f in own) for name, own in wanted.items()}
        self._population = dict.fromkeys(seen.streams, seen.days) if seen else {}
        self.nothing = {name: self._values(name, NOTHING, np.zeros(1, np.int32), 0) for name in wanted}

    @property
    def streams(self) -> dict[str, Stream]:
        """The streams whose events matter to the model."""
        return {name: self.data.streams[name] for name in dict.fromkeys([*self._measures, *self._population])}

    def features(self, raw: Given, as_of: date) -> dict[str, float]:
        """Feature -> value, NaN for null, of a customer whose events these are.

        raw: stream -> its events, a column for each role of the stream (at, known, until, value, entity), typed as
        times, numbers and keys; a stream that is not named had none. Raises DataError on an unknown stream or a missing
        role.
        """
        for name in raw.keys() - self.data.streams.keys():
            raise DataError(f"{name}: no such stream; streams: {', '.join(self.data.streams)}")
        values = self.nothing | self.many([raw], as_of).values
        every = chain.from_iterable(values[name].items() for name in self._measures)
        return {name: value[0].item() for name, value in every}

    def many(self, raw: Sequence[Given], as_of: date, seats: np.ndarray | None = None) -> Found:
        """The features of the streams that n customers name, of every one of them.

        seats: float64 (n,); with them the share of the seats used is a feature of its users' stream.
        """
        customer, day = np.arange(len(raw), dtype=np.int32), number(as_of)
        values, seen = dict[str, dict[str, np.ndarray]](), dict[str, np.ndarray]()
        counts = np.zeros((2, len(raw)), np.int64)
        for name in dict.fromkeys(chain.from_iterable(raw)):
            tables = [own.get(name) for own in raw]
            there = [table for table in tables if table is not None]
            code = np.repeat(customer, [0 if table is None else table.num_rows for table in tables])
            activity = self._activity(name, pa.concat_tables(there), code)
            visible = (activity.day < day) & (activity.known < day)
            for place, which in enumerate((visible, ~visible)):
                np.add.at(counts[place], activity.customer[which], activity.count[which])
            values[name] = self._values(name, activity, customer, day, seats)
            if name in self._population:
                seen[name] = self._seen(activity, customer, day, self._population[name])
        return Found(values, seen, *counts)

    def _values(
        self, name: str, activity: Activity, customer: np.ndarray, day: int, seats: np.ndarray | None = None
    ) -> dict[str, np.ndarray]:
        days, history = np.full(len(customer), day, np.int32), self.data.history_days
        found = windows.compute(activity, customer, days, self._measures.get(name, ()), history)
        values = dict(zip(self.names.get(name, ()), found.T))
        if self._seats and self._seats.stream == name and seats is not None:
            values["seats_used"] = windows.seats_used(activity, customer, days, seats, self._seats.days, history)
        return values

    def _seen(self, activity: Activity, customer: np.ndarray, day: int, within: int) -> np.ndarray:
        days = np.full(len(customer), day, np.int32)
        return windows.compute(activity, customer, days, (("count", within),), within)[:, 0] > 0

    def _activity(self, name: str, raw: pa.Table, code: np.ndarray) -> Activity:
        spec, data = self.data.streams[name], self.data
        there = raw.column_names
        for role in roles(spec):
            if role not in there:
                raise DataError(f"{name}: the events have no {role}; give it with each event")
        day, time = columns.days(raw["at"], data)
        known, one, none = day, np.ones(len(day), np.int64), np.zeros(len(day), np.int64)
        if spec.known:
            known = np.maximum(day, columns.days(raw["known"], data, fill=-(2**31))[0])
        total, valued = events.micro(raw["value"], name) if spec.value else (none, none)
        optional = {"until": columns.days(raw["until"], data)[0]} if spec.until else {}
        optional |= {"time": time} if spec.kind == "rating" else {}
        optional |= {"entity": np.array(entities(raw["entity"].combine_chunks()))} if spec.entity else {}
        return daily(Events(code, day, known, one, valued.astype(np.int64), total, **optional))


def roles(spec: Stream) -> tuple[str, ...]:
    """What each event of a stream has."""
    return ("at", *(role for role in ROLES if getattr(spec, role)))


def table(rows: Sequence[Mapping[str, Any]], spec: Stream, data: Data) -> pa.Table:
    """One customer's events of a stream, a mapping from role to plain value each, as ``Online`` takes them.

    A time with a zone is an instant; one without is on the clock of ``naive_times``; a date is that day. Raises
    DataError naming the number of an event whose roles are not its stream's, or which holds no time stamp.
    """
    wanted = roles(spec)
    for place, row in enumerate(rows):
        if row.keys() != set(wanted):
            raise DataError(
                f"event [{place}]: each has {', '.join(wanted)}, no more and no less; null where there is none"
            )
    made = dict[str, pa.Array]()
    for role in wanted:
        given = [row[role] for row in rows]
        if role in TIMES:
            made[role] = _instants(given, data)
        elif role == "value":
            made[role] = pa.array(given, pa.float64())
        else:
            made[role] = pa.array(
                [None if one is None else str(one).strip(columns.BLANKS) or None for one in given], pa.string()
            )
    if sum(abs(row["value"] or 0.0) for row in rows if spec.value) > LARGEST_SUM:
        raise DataError(f"the values sum to more than {LARGEST_SUM:g}; sums are exact in millionths: rescale them")
    return pa.table(made)


def _instants(texts: Sequence[str | None], data: Data) -> pa.Array:
    """Texts as instants, each kind by itself: with a zone, without, a date alone."""
    found = np.zeros(len(texts), np.int64)
    kinds: dict[str, list[int]] = {"wall": [], "day": []}
    for place, text in enumerate(texts):
        if text is None:
            continue
        try:
            moment = datetime.fromisoformat(text.upper())
        except ValueError:
            raise DataError(f"event [{place}]: no such day or time; write 2026-01-30 or 2026-01-30T10:00:00Z") from None
        aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        found[place] = (aware - EPOCH) // MICROSECOND
        if moment.tzinfo is None:
            kinds["day" if len(text) == 10 else "wall"].append(place)
    found[kinds["wall"]] = calendar.instants(found[kinds["wall"]], data.naive_times)
    found[kinds["day"]] = calendar.midnights(found[kinds["day"]] // calendar.DAY, data.timezone)
    missing = np.array([text is None for text in texts], bool)
    return pa.Array.from_pandas(found, mask=missing).cast(pa.timestamp("us", "UTC"))
