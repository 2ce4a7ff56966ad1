"""The behaviour windows of one customer from raw events, by the same roll-up and kernel as history and the list."""

from collections.abc import Mapping
from datetime import date

import numpy as np
import pyarrow as pa

from features import catalogue, columns, events, windows
from features.calendar import number
from features.errors import DataError
from features.gathered import entities
from features.rollup import Activity, Events, daily
from features.snapshot_config import SnapshotConfig

ROLES = ("known", "until", "value", "entity")
NOTHING = daily(Events(*(np.zeros(0, kind) for kind in (*[np.int32] * 3, *[np.int64] * 3))))
_OF_STREAMS = {measure.name for measure in catalogue.MEASURES}


class Online:
    """One model's behaviour features, made ready once."""

    def __init__(self, config: SnapshotConfig):
        self._data = config.data
        features = [f for f in catalogue.features(config) if f.measure in _OF_STREAMS]
        wanted = {name: [f for f in features if f.source == name] for name in config.data.behaviour()}
        self._names = {name: [f.name for f in own] for name, own in wanted.items()}
        self._measures = {name: tuple((f.measure, f.days) for f in own) for name, own in wanted.items()}

    def features(self, raw: Mapping[str, pa.Table], as_of: date) -> dict[str, float]:
        """Feature -> value, NaN for null, of a customer whose events these are.

        raw: stream -> its events, a column for each role of the stream (at, known, until, value, entity), typed as
        times, numbers and keys; a stream that is not named had none. Raises DataError on an unknown stream or a missing
        role.
        """
        customer, day = np.zeros(1, np.int32), np.array([number(as_of)], np.int32)
        for name in raw.keys() - self._data.streams.keys():
            raise DataError(f"{name}: no such stream; streams: {', '.join(self._data.streams)}")
        found = dict[str, float]()
        for name, measures in self._measures.items():
            activity = self._activity(name, raw[name]) if name in raw else NOTHING
            values = windows.compute(activity, customer, day, measures, self._data.history_days)
            found.update(zip(self._names[name], values[0].tolist()))
        return found

    def _activity(self, name: str, raw: pa.Table) -> Activity:
        spec, data = self._data.streams[name], self._data
        there = raw.column_names
        for role in ("at", *(role for role in ROLES if getattr(spec, role))):
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
        counts = (one, valued.astype(np.int64), total)
        return daily(Events(np.zeros(len(day), np.int32), day, known, *counts, **optional))
