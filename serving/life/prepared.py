"""What one served model needs to answer at once: settled when it is taken over, not with each request."""

from collections.abc import Container, Mapping
from itertools import chain
from typing import Any

import numpy as np

from features.data_config import Data
from features.online import Online, roles, table
from serving.life.takeover import Served
from serving.lists import risk_list, scoring
from serving.words.reasons import Plan, plain
from serving.words.sentences import Fact

FEWEST_SEATS = 1e-6
MANY = 8  # rows that the kernels take in blocks
ABOUT = ("base_rate", "reference", "as_of", "horizon", "model_version", "grade")
AN_EVENT: dict[str, Any] = {"at": "2000-01-01", "known": None, "until": None, "value": 1.0, "entity": "1"}


class Prepared:
    """``columns``: the model's, by name; ``online``: None where the data have no streams of events.

    about: what every result says. nothing: every feature of every stream, of a customer without events.
    """

    def __init__(self, served: Served, data: Data):
        from serving.lists.daily import snapshot_config

        self.served, info = served, served.bundle.info
        self.columns = {column["name"]: column for column in info.features}
        self.names = info.names
        self._codes = [
            (place, {category: float(code) for code, category in enumerate(column["categories"] or ())})
            for place, column in enumerate(info.features)
            if column["kind"] == "category"
        ]
        self.plan = Plan(served.features.values())
        self.online = Online(snapshot_config(info, data)) if data.streams else None
        self.nothing: dict[str, Fact] = {}
        self._stream: dict[str, str] = {}
        if self.online is not None:
            self._stream = {name: stream for stream, names in self.online.names.items() for name in names}
            empty = chain.from_iterable(own.items() for own in self.online.nothing.values())
            self.nothing = {name: plain(value.tolist())[0] for name, value in empty}
        self._seats = data.customers.seats
        self.about = self._about()
        self._warm()

    def _about(self) -> dict[str, Any]:
        about = risk_list.about(self.served.head, "en")
        return {name: about[name] for name in ABOUT}

    def _warm(self) -> None:
        """Load what is compiled before anyone waits for it."""
        if self.online is not None:
            streams, data = self.online.streams, self.online.data
            one = {
                name: table([{role: AN_EVENT[role] for role in roles(spec)}], spec, data)
                for name, spec in streams.items()
            }
            self.online.many([one], self.served.run.as_of, np.ones(1))
        for rows in (1, MANY):
            scoring.of(self.served.bundle, np.full((rows, len(self.columns)), np.nan))

    def cells(self, values: Mapping[str, Fact]) -> list[Any]:
        """A row of the matrix: categories as codes; None is null, or a category the model does not know."""
        row: list[Any] = [values[name] for name in self.names]
        for place, codes in self._codes:
            row[place] = codes.get(row[place])
        return row

    def follows(self, name: str) -> str | None:
        """The stream whose events make a feature."""
        if name == "seats_used" and self._seats:
            return self._seats.stream
        return self._stream.get(name)

    def seats(self, values: Mapping[str, Fact]) -> float:
        """How many seats a customer has, NaN for not known."""
        seats = values.get(self._seats.attribute) if self._seats else None
        return float(seats) if isinstance(seats, int | float) and seats > FEWEST_SEATS else np.nan

    def missing(self, given: Mapping[str, Fact], changes: Container[str], streams: Container[str]) -> list[str]:
        """What is assumed of a customer nobody knows: streams without events, features without a value."""
        used = dict.fromkeys(self._stream[name] for name in self.columns if name in self._stream)
        own = [name for name in self.columns if name not in self._stream and given.get(name) is None]
        return [stream for stream in used if stream not in streams] + [name for name in own if name not in changes]


def prepared(served: Served, data: Data) -> Prepared:
    """That of a served model, made once, however often it turns stale and back; cheap from then on.

    Raises DataError when data.yaml no longer fits the model.
    """
    made: dict[Any, Prepared] = vars(served.rows).setdefault("prepared", {})
    key = served.bundle.sha256, served.run.id
    if key not in made:
        made[key] = Prepared(served, data)
    return made[key]
