"""What the rows of a list are made of, and what they say: all figures of a row lie side by side."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from features.catalogue import Feature
from features.errors import DataError
from serving.words.reasons import Plan, plain, top
from serving.words.sentences import Fact
from training.columns import Column

TEXTS = ("customer_id", "name", "owner", "renewal", "band", "segment", "stage", "rfm")
FIGURES = ("score", "margin", "percentile", "slope", "low", "high")
HEAD, CATEGORY = b"tsunagi", "= "


@dataclass(frozen=True)
class Layout:
    """What the rows of a list are made of.

    families: as ``reasons.Parts``; horizons: of the risks, in days as text; names: the columns of the model's matrix.
    """

    features: tuple[Feature, ...]
    families: tuple[str, ...]
    horizons: tuple[str, ...]
    names: tuple[str, ...]

    @cached_property
    def numbers(self) -> list[str]:
        return [feature.name for feature in self.features if feature.kind != "category"]

    @cached_property
    def categories(self) -> list[str]:
        return [feature.name for feature in self.features if feature.kind == "category"]

    @property
    def width(self) -> int:
        """How many figures a row has: ``FIGURES``, risks, log-odds of the families, number features."""
        return len(FIGURES) + len(self.horizons) + len(self.families) + len(self.numbers)

    def schema(self, about: Mapping[str, Any]) -> pa.Schema:
        """Texts, the features that are categories, all figures of a row side by side, the leads of the families."""
        fields = [pa.field(name, pa.string()) for name in (*TEXTS, *(CATEGORY + name for name in self.categories))]
        fields += [pa.field("figures", pa.list_(pa.float64(), self.width))]
        fields += [pa.field("lead", pa.list_(pa.int16(), len(self.families)))]
        return pa.schema(fields, {HEAD: json.dumps({**about, **asdict(self)}, ensure_ascii=False)})

    @classmethod
    def parse(cls, head: Mapping[str, Any]) -> "Layout":
        """What ``schema`` wrote."""
        features = tuple(Feature(**feature) for feature in head["features"])
        return cls(features, tuple(head["families"]), tuple(head["horizons"]), tuple(head["names"]))


@dataclass(frozen=True)
class Stored:
    """What a list says of a customer. ``families``: as ``reasons.record`` gives them, all or the ``top`` ones."""

    score: float
    margin: float
    percentile: float
    band: str
    low: float | None
    high: float | None
    risks: dict[str, float] | None
    families: dict[str, dict[str, Any]]


class Said:
    """What the figures of a row mean: where everything stands is settled once a layout."""

    def __init__(self, layout: Layout):
        self._layout, self.plan = layout, Plan(layout.features)
        self._odds = len(FIGURES) + len(layout.horizons)
        self.numbers = self._odds + len(layout.families)
        self._names = layout.numbers + layout.categories
        self._place = {name: self.numbers + place for place, name in enumerate(self._names)}
        self._leads = [(name, *self._facts(name)) for name in layout.names]

    def _facts(self, name: str) -> tuple[list[tuple[str, int]], dict[str, int]]:
        named, always = self.plan.of(name)
        return [(key, self._place[held]) for key, held in named.items()], always

    def values(self, figures: list[float], categories: Sequence[str | None]) -> dict[str, Fact]:
        return dict(zip(self._names, [*plain(figures[self.numbers :]), *categories]))

    def stored(
        self, figures: list[float], leads: list[int], categories: Sequence[str | None], band: Any, limit: int | None
    ) -> Stored:
        """limit: only so many of the families, the largest; None for all."""
        score, margin, percentile, slope, low, high = figures[: len(FIGURES)]
        risks = dict(zip(self._layout.horizons, figures[len(FIGURES) :])) or None
        held: list[Any] = [*figures, *categories]
        each = zip(self._layout.families, figures[self._odds :], leads)
        families: dict[str, dict[str, Any]] = {
            family: {"log_odds": odds, "points": odds * slope, "feature": lead} for family, odds, lead in each
        }
        if limit is not None:
            families = {family: families[family] for family in top(families, limit)}
        for own in families.values():
            name, named, always = self._leads[own["feature"]]
            facts: dict[str, Fact] = {}
            for key, place in named:  # reasons.plain, without a call a fact: this is done for every family of every row
                value = held[place]
                whole = value.__class__ is float and value.is_integer()
                facts[key] = None if value != value else int(value) if whole else value
            facts |= always
            own["feature"], own["facts"] = name, facts
        known = low == low
        return Stored(score, margin, percentile, band, low if known else None, high if known else None, risks, families)

    def matrix(self, rows: pa.RecordBatch, columns: Sequence[Column]) -> np.ndarray:
        figures, made = matrix(rows, "figures"), np.empty((rows.num_rows, len(columns)))
        kinds = {feature.name: feature.kind for feature in self._layout.features}
        places: list[tuple[int, int]] = []
        for position, column in enumerate(columns):
            name = column["name"]
            if kinds.get(name) != column["kind"]:
                there = "missing" if name not in kinds else f"a {kinds[name]}"
                raise DataError(f"{name}: this column is {there}; the model needs a {column['kind']}")
            if column["kind"] == "category":
                codes = {text: float(code) for code, text in enumerate(column["categories"] or [])}
                texts = rows.column(CATEGORY + name).to_pylist()
                made[:, position] = [codes.get(text, np.nan) for text in texts]
            else:
                places.append((position, self._place[name]))
        to, source = np.array(places, np.int64).reshape(-1, 2).T
        made[:, to] = figures[:, source]
        return made


def matrix(rows: pa.RecordBatch, name: str) -> np.ndarray:
    """A column of lists of one length, (n, length)."""
    column = rows.column(name)
    return column.flatten().to_numpy().reshape(len(column), column.type.list_size)


def lists(rows: np.ndarray) -> pa.FixedSizeListArray:
    """The other way round: (n, length) as a column."""
    return pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), rows.shape[1])
