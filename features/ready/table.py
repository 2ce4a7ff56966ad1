"""A ready-made feature table: its rows as a snapshot, its columns as features."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from fnmatch import fnmatchcase

import numpy as np
import pandas as pd
import pyarrow as pa

from features.catalogue import SIDE, Feature
from features.errors import ConfigError, DataError
from features.ready.columns import recognised, take
from features.ready.config import SOURCE, Table
from features.ready.rows import Raw, read
from features.snapshot import Snapshot
from features.snapshot_config import SnapshotConfig

AT_ONCE = 4_096
_NOT_IN_NAMES = set('",:[]{}')
_NOBODY = pd.DataFrame({"customer_id": [], "as_of": [], "status": []}, dtype=object)


@dataclass(frozen=True)
class Made:
    """Rows with their features. notes: what was decided of a column; problems: why some cannot be read."""

    snapshot: Snapshot
    notes: tuple[str, ...]
    problems: tuple[str, ...]

    def parts(self) -> Iterator[tuple[pa.Table, pa.Table]]:
        """The rows, some at a time, each with those not at risk: nobody, for the population is the table."""
        frame, features = self.snapshot.frame, self.snapshot.features
        texts = {"customer_id", "unit", "name", "owner", *(f.name for f in features if f.kind == "category")}
        columns = {name: pa.array(frame[name], pa.string() if name in texts else None) for name in frame}
        nobody = pa.table({"customer_id": pa.array([], pa.string()), "status": pa.array([], pa.string())})
        for start in range(0, len(frame), AT_ONCE):
            yield pa.table(columns).slice(start, AT_ONCE), nobody


def make(raw: Raw, as_trained: Mapping[str, str] | None = None) -> Made:
    """The rows with their features, recognised, or of the units they were trained with: column -> unit.

    Raises DataError where the YAML names a column that is not there.
    """
    data, there = raw.data, raw.columns.column_names
    if as_trained is None:
        _refuse_unknown(data, raw.every)
        own = [name for name in there if name not in data.roles.values()]
        found = {name: recognised(raw.columns[name], data.types.get(name)) for name in own}
    else:
        found = {name: take(raw.columns[name], unit) for name, unit in as_trained.items() if name in there}
    values = {name: column.values for name, column in found.items() if column.unit}
    if data.value in there:
        values.setdefault(data.value, take(raw.columns[data.value], "value").values)
    frame = pd.concat([raw.keys, pd.DataFrame(values, index=raw.keys.index)], axis=1)
    features = tuple(_feature(data, name, column.unit) for name, column in found.items() if column.unit)
    problems = [(name, column.problem) for name, column in found.items() if column.problem] + list(_named(features))
    notes = [(name, column.note) for name, column in found.items() if column.note]
    said = [tuple(f"{data.table}: {name}: {text}" for name, text in own) for own in (notes, problems)]
    return Made(Snapshot(frame, features, _NOBODY), *said)


def _refuse_unknown(data: Table, every: Sequence[str]) -> None:
    families = {f"families.{name}": own for name, own in data.families.items()}
    for path, names in ({"exclude": data.exclude, "types": data.types, "labels": data.labels} | families).items():
        for name in names:
            if not any(fnmatchcase(column, name) if path == "exclude" else column == name for column in every):
                raise DataError(f"data.yaml: {path}: {data.table} has no column {name}; columns: {', '.join(every)}")


def _feature(data: Table, name: str, unit: str) -> Feature:
    label = data.labels.get(name, {})
    plain = name.replace("_", " ")
    words = {"en": label.get("en", plain[:1].upper() + plain[1:]), "ja": label.get("ja", label.get("en", name))}
    kind = "category" if unit == "category" else "number"
    return Feature(name, SOURCE, "attribute", None, data.family(name), kind, unit, words)


def _named(features: Sequence[Feature]) -> Iterator[tuple[str, str]]:
    """The names that a snapshot or LightGBM cannot hold."""
    taken = set(SIDE)
    for feature in features:
        plain = "_".join(feature.name.split())
        if feature.name in taken or plain in taken:
            yield feature.name, "another column of the snapshot has this name; rename it in the table, or exclude it"
        elif set(feature.name) & _NOT_IN_NAMES:
            yield (
                feature.name,
                f"a name cannot hold {' '.join(sorted(_NOT_IN_NAMES))}; rename it in the table, or exclude it",
            )
        taken |= {feature.name, plain}


def snapshot(config: SnapshotConfig, say: Callable[[str], None]) -> Snapshot:
    """The labelled rows of every date. Raises DataError naming every column that cannot be read, ConfigError on
    an ``exclude`` that matches nothing or everything.
    """
    data = config.data
    assert isinstance(data, Table)
    raw = read(data)
    if raw.label is None:
        raise DataError(f"data.yaml: label: {data.table} has no column {data.label}; training needs the outcomes")
    if config.as_of.first and not data.cross_section:
        raw = raw.where(raw.keys["as_of"].to_numpy() >= np.datetime64(config.as_of.first))
    made = make(raw)
    if made.problems:
        raise DataError("\n".join(made.problems))
    for note in made.notes:
        say(note)
    features = _kept(config.exclude, made.snapshot.features)
    frame = made.snapshot.frame
    frame.insert(3, "outcome", outcome(raw.label, data))
    return Snapshot(frame, features, made.snapshot.left_out)


def _kept(exclude: Sequence[str], features: Sequence[Feature]) -> tuple[Feature, ...]:
    for pattern in exclude:
        if not any(fnmatchcase(feature.name, pattern) for feature in features):
            raise ConfigError(f"exclude: {pattern} matches no feature of the table")
    kept = tuple(f for f in features if not any(fnmatchcase(f.name, pattern) for pattern in exclude))
    if not kept:
        raise ConfigError("exclude: no feature is left; exclude less")
    return kept


def outcome(label: pa.ChunkedArray, data: Table) -> np.ndarray:
    """1, 0, or NaN where it is not known yet, (n,). Raises DataError where the label says neither."""
    where = f"{data.table}: {data.label}"
    if data.positive is None:
        found = take(label, "flag")
        if found.problem or found.values is None:
            raise DataError(f"{where}: {found.problem}; or name the text of the outcome in data.yaml: positive")
        values = found.values
    else:
        words = take(label, "category").values
        wanted = take(pa.chunked_array([[data.positive]]), "category").values
        if words is None or wanted is None:
            raise DataError(f"{where}: holds {label.type}; text, numbers or true/false can be a label")
        known = np.array([word is not None for word in words])
        if known.any() and not (words == wanted[0]).any():
            others = ", ".join(sorted(set(words[known]))[:5])
            raise DataError(f"{where}: no row says {data.positive!r}; it says {others}; correct data.yaml: positive")
        values = np.where(known, (words == wanted[0]).astype(np.float64), np.nan)
    if np.isnan(values).all():
        raise DataError(f"{where}: no row has a value; training needs rows whose outcome is known")
    return values


def today(raw: Raw, as_of: date) -> Raw:
    """The rows a list is made of: those of the date; of a cross-section those without a label, or all if each has one.

    Raises DataError when no row is of the date.
    """
    if not raw.data.cross_section:
        if as_of not in raw.dates:
            raise DataError(f"{raw.data.table}: no row of {as_of}; the newest are of {raw.dates[-1]}")
        return raw.where(raw.keys["as_of"].to_numpy("datetime64[D]") == np.datetime64(as_of))
    dated = replace(raw, keys=raw.keys.assign(as_of=np.datetime64(as_of, "s")))
    unknown = None if raw.label is None else np.array([word is None for word in _words(raw.label)])
    return dated if unknown is None or not unknown.any() else dated.where(unknown)


def _words(label: pa.ChunkedArray) -> np.ndarray:
    values = take(label, "category").values
    return np.zeros(len(label), bool) if values is None else values
