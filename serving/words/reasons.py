"""Contributions of features -> log-odds and points of families, with the facts behind them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from features.catalogue import Feature
from features.config import Language
from serving.words.sentences import Fact, prior, sentence, words

NEAR = 1e-6
BESIDE = {
    "count": ("trend",),
    "trend": ("count",),
    "days": ("count", "trend"),
    "sum": ("count", "trend"),
    "recency": ("gap",),
    "gap_ratio": ("recency", "gap"),
    "last": ("change",),
    "change": ("last",),
    "open": ("oldest_open_days",),
    "oldest_open_days": ("open",),
    "new_users": ("distinct",),
    "key_user_quiet": ("recency",),
}
BESIDE_LONGER = ("mean", "distinct")


@dataclass(frozen=True)
class Parts:
    """n rows, k families. lead: position of the feature that speaks for the family; slope: points of one log-odds."""

    families: tuple[str, ...]
    log_odds: np.ndarray
    points: np.ndarray
    lead: np.ndarray
    slope: np.ndarray


def parts(contributions: np.ndarray, families: Sequence[str], slope: np.ndarray) -> Parts:
    """Sum contributions (n, f) by family; points are log-odds × the calibrator's mean slope (n,)."""
    names, places = _grouped(tuple(families))
    log_odds = np.zeros((len(contributions), len(names)))
    lead = np.zeros(log_odds.shape, np.int64)
    for position, columns in enumerate(places):
        own = np.ascontiguousarray(contributions[:, columns])  # a row is summed alike, alone and in company
        log_odds[:, position] = own.sum(axis=1)
        toward = np.where(log_odds[:, position] < 0, -1.0, 1.0)
        lead[:, position] = columns[np.argmax(own * toward[:, None], axis=1)]
    return Parts(names, log_odds, log_odds * slope[:, None], lead, slope)


@lru_cache(maxsize=64)
def _grouped(families: tuple[str, ...]) -> tuple[tuple[str, ...], list[np.ndarray]]:
    """The families in order of appearance, and the positions of the features of each."""
    names = tuple(dict.fromkeys(families))
    return names, [np.array([i for i, name in enumerate(families) if name == family]) for family in names]


def mean_slope(
    score: np.ndarray, margin: np.ndarray, base_score: float, base_margin: float, slope_at_base: float
) -> np.ndarray:
    """(p − p₀) / (m − m₀), (n,), the Aumann–Shapley factor of the straight path; g′(m₀) when m → m₀."""
    step = margin - base_margin
    near = np.abs(step) < NEAR
    return np.where(near, slope_at_base, (score - base_score) / np.where(near, 1.0, step))


class Plan:
    """What the sentence about each of these features compares it with; settled once a feature."""

    def __init__(self, features: Iterable[Feature]):
        self._features = {feature.name: feature for feature in features}
        self._at = {(f.source, f.measure, f.days): f.name for f in self._features.values()}
        self._longest: dict[tuple[str, str], int] = {}
        for f in self._features.values():
            own = (f.source, f.measure)
            self._longest[own] = max(self._longest.get(own, 0), f.days or 0)
        self._facts: dict[str, tuple[dict[str, str], dict[str, int]]] = {}

    def of(self, name: str) -> tuple[dict[str, str], dict[str, int]]:
        """The facts of a feature: key -> the feature that holds it, its own first; and those that always hold."""
        if name not in self._facts:
            feature = self._features[name]
            named = {feature.measure: name, **dict(self._compared(feature))}
            longest = self._longest[feature.source, feature.measure]
            self._facts[name] = named, {"longest_days": longest} if "longest" in named else {}
        return self._facts[name]

    def _compared(self, feature: Feature) -> Iterator[tuple[str, str]]:
        """The features a sentence about this one compares it with, as (key among the facts, name)."""
        for measure in BESIDE.get(feature.measure, ()):
            beside = self._at.get((feature.source, measure, feature.days))
            if beside is not None:
                yield measure, beside
        longest = self._longest[feature.source, feature.measure]
        if feature.measure in BESIDE_LONGER and longest != feature.days:
            yield "longest", self._at[feature.source, feature.measure, longest]


class Facts:
    """The raw numbers of some rows, ready to be put beside their reasons.

    features: those of the snapshot, or a ``Plan`` of them made before. columns: name -> n plain values; a column that
    is no list, as of an array or a frame, is made plain.
    """

    def __init__(self, features: Iterable[Feature] | Plan, columns: Mapping[str, Any]):
        self._plan = features if isinstance(features, Plan) else Plan(features)
        self._given = columns
        self._columns: dict[str, Sequence[Fact]] = {}

    def of(self, name: str, row: int, changed: Mapping[str, Any] | None = None) -> dict[str, Fact]:
        """The feature's measure and those its sentence compares it with.

        In a what-if, a comparison is left out unless both sides were changed, for it would mix two worlds.
        """
        named, always = self._plan.of(name)
        if changed:
            own = name in changed
            named = {key: held for key, held in named.items() if (held in changed) == own}
            always = always if "longest" in named else {}
        return {key: self._column(held)[row] for key, held in named.items()} | always

    def _column(self, name: str) -> Sequence[Fact]:
        if name not in self._columns:
            given = self._given[name]
            self._columns[name] = given if isinstance(given, list) else plain(given.tolist())
        return self._columns[name]


def plain(values: Iterable[Any]) -> list[Fact]:
    """Whole floats as int, null as None."""
    return [None if v != v else int(v) if isinstance(v, float) and v.is_integer() else v for v in values]


def record(
    split: Parts, names: Sequence[str], facts: Facts, row: int, changed: Mapping[str, Any] | None = None
) -> dict[str, dict[str, Any]]:
    """All families of one row as numbers: family -> log_odds, points, feature, facts."""
    leads = [names[lead] for lead in split.lead[row].tolist()]
    each = zip(split.families, split.log_odds[row].tolist(), split.points[row].tolist(), leads)
    return {
        family: {"log_odds": log_odds, "points": points, "feature": lead, "facts": facts.of(lead, row, changed)}
        for family, log_odds, points, lead in each
    }


def top(families: Mapping[str, Any], limit: int) -> list[str]:
    """The families with the largest points, either way; those without any influence are left out."""
    moved = [name for name, part in families.items() if part["log_odds"] != 0]
    return sorted(moved, key=lambda name: (-abs(families[name]["points"]), name))[:limit]


def told(
    families: Mapping[str, Any], features: Mapping[str, Feature], limit: int, lang: Language
) -> list[dict[str, Any]]:
    """The top reasons of one row in words: family, direction, log_odds, points, facts, text."""
    return [_told(name, families[name], features[families[name]["feature"]], lang) for name in top(families, limit)]


def _told(family: str, part: Mapping[str, Any], feature: Feature, lang: Language) -> dict[str, Any]:
    raises = part["log_odds"] > 0
    before = prior(part["facts"])
    text = sentence(feature, part["facts"], lang)
    return {
        "family": family,
        "direction": "raises" if raises else "lowers",
        "log_odds": part["log_odds"],
        "points": part["points"],
        "facts": {
            "feature": feature.name,
            "days": feature.days,
            **part["facts"],
            **({} if before is None else {"prior": before}),
        },
        "text": text if raises else text + words(lang)["lowers"],
    }
