"""The behaviour windows of one customer from raw events, by the same roll-up and kernel as history and the list."""

from collections.abc import Mapping
from datetime import date

import numpy as np
import pyarrow as pa

from features import catalogue, events, windows
from features.calendar import number
from features.errors import DataError
from features.gathered import activity
from features.snapshot_config import SnapshotConfig

_OF_STREAMS = {measure.name for measure in catalogue.MEASURES}


class Online:
    """One model's behaviour features, made ready once."""

    def __init__(self, config: SnapshotConfig):
        self._data = config.data
        features = [f for f in catalogue.features(config) if f.measure in _OF_STREAMS]
        self._wanted = {name: [f for f in features if f.source == name] for name in config.data.behaviour()}

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
        for name, wanted in self._wanted.items():
            rows = events.of_one(raw.get(name), self._data, name)
            measures = [(feature.measure, feature.days) for feature in wanted]
            values = windows.compute(
                activity(rows, self._data.streams[name]), customer, day, measures, self._data.history_days
            )
            found |= dict(zip([feature.name for feature in wanted], values[0].tolist()))
        return found
