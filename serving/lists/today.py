"""The rows of a list before they are scored: made from facts, or taken from a ready-made table."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date

import pyarrow as pa

from features import catalogue, facts, snapshot
from features.catalogue import Feature
from features.facts import Facts
from features.ready import rows as ready_rows
from features.ready import table as ready
from features.ready.config import Table
from features.ready.rows import Raw
from features.snapshot import Then
from features.snapshot_config import SnapshotConfig
from serving.config import ServingConfig
from serving.lists import checks
from training.bundle import Bundle, Info

Known = Facts | Raw


@dataclass(frozen=True)
class Today:
    """features: of the rows; problems: why nothing can be published; pieces: gives the rows, part by part, each with
    those in sight but not at risk, and ``then`` done on each.
    """

    features: tuple[Feature, ...]
    problems: tuple[str, ...]
    pieces: Callable[[Then], Iterator[tuple[pa.Table, pa.Table]]]


def read(config: ServingConfig, today: date) -> Known:
    """What the tables of the config hold. Raises DataError."""
    if isinstance(config.data, Table):
        return ready_rows.read(config.data)
    return facts.read(config.data, today=today)


def newest(made_by: SnapshotConfig, known: Known) -> date:
    """The newest as-of date the data allow; of a table that of its newest rows."""
    return known.dates[-1] if isinstance(known, Raw) else snapshot.latest(made_by, known)


def of(bundle: Bundle, made_by: SnapshotConfig, known: Known, as_of: date) -> Today:
    """The rows of a date, checked against what the bundle was trained on. Raises DataError when there are none."""
    if isinstance(known, Raw):
        return _ready(bundle, known, as_of)
    features = catalogue.features(made_by)
    problems = tuple(checks.of_schema(bundle.info, made_by.data, features))
    return Today(features, problems, lambda then: snapshot.pieces(made_by, [as_of], known, then=then))


def _ready(bundle: Bundle, known: Raw, as_of: date) -> Today:
    made = ready.make(ready.today(known, as_of), _units(bundle.info))
    own = made.snapshot
    unread = tuple(f"schema: {problem}" for problem in made.problems)
    problems = unread or tuple(checks.of_schema(bundle.info, known.data, own.features))
    problems = problems or tuple(checks.of_columns(bundle, own.frame))
    return Today(own.features, problems, lambda then: ((then(part), others) for part, others in made.parts()))


def _units(info: Info) -> dict[str, str]:
    """The columns a list needs, with their units: those of the model, and the amount at stake."""
    amount = {info.value.column: "value"} if info.value.column else {}
    return amount | {column["name"]: column["unit"] for column in info.features}
