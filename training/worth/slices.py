"""Is a model as good, and its list as fair, for every part of the customers? Figures by attribute."""

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from features.config import Language
from features.errors import ConfigError
from training import metrics
from training.info import Metric
from training.rows import Rows
from training.value import Value
from training.worth.later import Later, metric, shares
from training.worth.words import words

LEAST_CUSTOMERS = 20  # below, a share moves by 5 points and more with a single customer
LEAST_OUTCOMES = 5  # below, an interval of the share found covers most of what is possible
MOST = 12
DOUBT = 0.05
Kind = Literal["value", "range", "missing", "other"]
Measure = Literal["selected", "recall"]
MEASURES: tuple[Measure, ...] = ("selected", "recall")


@dataclass(frozen=True)
class Part:
    """The rows of a slice: ``inside`` is bool (n,)."""

    attribute: str
    kind: Kind
    name: str
    inside: np.ndarray


@dataclass(frozen=True)
class Slice:
    """Figures of one slice over all test rows; None throughout where it has too ``few`` customers.

    name: the category, or from–to of a range; empty for missing and for other, the small slices taken together.
    outcomes: customers with the outcome. gap: mean score - base rate. selected: share listed at capacity. recall:
    share of the rows with the outcome that are listed.
    """

    attribute: str
    kind: Kind
    name: str
    rows: int
    customers: int
    outcomes: int
    few: bool
    base_rate: float | None = None
    mean_score: float | None = None
    average_precision: float | None = None
    roc_auc: float | None = None
    gap: Metric | None = None
    selected: Metric | None = None
    recall: Metric | None = None


@dataclass(frozen=True)
class Difference:
    """A slice against all other rows: ``gap`` = own - others, ``ratio`` = own / others (None: the others have none).

    The intervals hold for all slices of the attribute together. sure: that of the gap excludes 0.
    """

    slice: Slice
    measure: Measure
    own: float
    others: float
    gap: Metric
    ratio: Metric | None

    @property
    def sure(self) -> bool:
        return self.gap.low > 0 or self.gap.high < 0


@dataclass(frozen=True)
class Slices:
    """Every slice, attribute by attribute, and how each is treated beside the others."""

    slices: tuple[Slice, ...]
    differences: tuple[Difference, ...]


def attributes(rows: Rows, row: np.ndarray, names: Sequence[str] | None = None) -> pd.DataFrame:
    """The columns of these rows to slice by: every category and the tenure, or those named.

    Raises ConfigError for a column the model does not have.
    """
    known = {column["name"]: i for i, column in enumerate(rows.columns)}
    usual = [own["name"] for own in rows.columns if own["kind"] == "category" or own["measure"] == "tenure_days"]
    for name in names or ():
        if name not in known:
            near = ", ".join(difflib.get_close_matches(name, known, 3)) or ", ".join(usual)
            raise ConfigError(f"slices: no column {name}; name attributes or features of the model, such as {near}")
    return pd.DataFrame({name: _column(rows, row, known[name]) for name in (usual if names is None else names)})


def _column(rows: Rows, row: np.ndarray, position: int) -> np.ndarray:
    """Numbers, or text, null where it is unknown or so rare that the model does not know it."""
    values, names = rows.matrix[row, position], rows.columns[position]["categories"]
    if rows.columns[position]["kind"] == "number":
        return values
    codes = np.where(np.isnan(values), len(names or []), values).astype(int)
    return np.array([*(names or []), None], object)[codes]


def slices(rows: Later, attributes: pd.DataFrame, value: Value, contacts: int) -> Slices:
    """Figures of every slice by each attribute, a column (n,) of numbers or text beside the rows."""
    parts = [part for name in attributes for part in _parts(rows, attributes[name])]
    if not parts:
        return Slices((), ())
    drawn = _drawn(rows, parts, rows.listed(value, contacts))
    found = [_slice(rows, part, {name: own[i] for name, own in drawn.items()}) for i, part in enumerate(parts)]
    return Slices(tuple(found), tuple(_differences(rows, parts, found, drawn)))


def said(difference: Difference, label: str, lang: Language) -> str:
    """The difference in one sentence; ``label``: what people call the attribute."""
    text, own = words()[lang]["slices"], difference.slice
    name = own.name or text[own.kind]
    sure = "unsure" if not difference.sure else "more" if difference.gap.value > 0 else "less"
    points = {side: 100 * getattr(difference.gap, side) for side in ("value", "low", "high")}
    shown = {"label": label, "name": name, "own": difference.own, "others": difference.others, **points}
    return text[difference.measure].format(**shown) + text[sure]


def _parts(rows: Later, column: pd.Series) -> list[Part]:
    attribute, known = str(column.name), column.notna().to_numpy()
    named = _ranges(rows, column) if pd.api.types.is_numeric_dtype(column) else _categories(column)
    every = [*named, Part(attribute, "missing", "", ~known)]
    big = [part for part in every if _enough(rows, part.inside)][:MOST]
    rest = ~np.any([part.inside for part in big], axis=0) if big else np.ones(len(rows), bool)
    return [*big, *([Part(attribute, "other", "", rest)] if rest.any() else [])]


def _categories(column: pd.Series) -> list[Part]:
    """The most frequent first, ties by name."""
    counts = column.value_counts().sort_index(kind="stable").sort_values(ascending=False, kind="stable")
    return [Part(str(column.name), "value", str(name), (column == name).to_numpy(bool)) for name in counts.index]


def _ranges(rows: Later, column: pd.Series) -> list[Part]:
    """Quarters of the rows; one that is too small is taken together with the next."""
    values = column.to_numpy(float)
    if np.isnan(values).all():
        return []
    place = np.searchsorted(np.unique(np.nanquantile(values, [0.25, 0.5, 0.75])), values)
    place[np.isnan(values)] = -1
    masks = list[np.ndarray]()
    for quarter in np.unique(place[place >= 0]):
        if masks and not _enough(rows, masks[-1]):
            masks[-1] |= place == quarter
        else:
            masks.append(place == quarter)
    if len(masks) > 1 and not _enough(rows, masks[-1]):
        masks[-2:] = [masks[-2] | masks[-1]]
    return [Part(str(column.name), "range", _span(values[inside]), inside) for inside in masks]


def _span(values: np.ndarray) -> str:
    low, high = (f"{end:,.0f}" if end == round(end) or abs(end) >= 100 else f"{end:.3g}" for end in _ends(values))
    return low if low == high else f"{low}–{high}"


def _ends(values: np.ndarray) -> tuple[float, float]:
    return float(values.min()), float(values.max())


def _enough(rows: Later, inside: np.ndarray) -> bool:
    had = rows.customers(inside & (rows.outcome == 1))
    return rows.customers(inside) >= LEAST_CUSTOMERS and had >= LEAST_OUTCOMES


def _drawn(rows: Later, parts: Sequence[Part], listed: np.ndarray) -> dict[str, np.ndarray]:
    """Each figure of each slice and its draws, and of the rows outside it: (slices, 1 + draws)."""
    columns = [np.ones(len(rows)), listed.astype(float), rows.outcome, listed * rows.outcome, rows.score]
    sums = rows.sums(columns, [*(part.inside for part in parts), np.ones(len(rows), bool)])
    own, others = sums[:, :-1], sums[:, -1:] - sums[:, :-1]
    found = {"selected": shares(own[1], own[0]), "recall": shares(own[3], own[2])}
    found |= {"others_selected": shares(others[1], others[0]), "others_recall": shares(others[3], others[2])}
    with np.errstate(invalid="ignore"):
        return found | {"gap": own[4] / own[0] - shares(own[2], own[0])}


def _slice(rows: Later, part: Part, drawn: dict[str, np.ndarray]) -> Slice:
    inside = part.inside
    outcome, score = rows.outcome[inside], rows.score[inside]
    counts = (int(inside.sum()), rows.customers(inside), rows.customers(inside & (rows.outcome == 1)))
    if not _enough(rows, inside):
        return Slice(part.attribute, part.kind, part.name, *counts, few=True)
    return Slice(
        part.attribute, part.kind, part.name, *counts, few=False,
        base_rate=float(outcome.mean()),
        mean_score=float(score.mean()),
        average_precision=metrics.average_precision(outcome, score),
        roc_auc=metrics.roc_auc(outcome, score) if 0 < outcome.mean() < 1 else None,
        gap=metric(drawn["gap"]),
        selected=metric(drawn["selected"]),
        recall=metric(drawn["recall"]),
    )  # fmt: skip


def _differences(
    rows: Later, parts: Sequence[Part], found: Sequence[Slice], drawn: dict[str, np.ndarray]
) -> Iterator[Difference]:
    compared = [i for i, part in enumerate(parts) if not found[i].few and _enough(rows, ~part.inside)]
    for i in compared:
        together = sum(found[other].attribute == found[i].attribute for other in compared)
        level = 1 - DOUBT / (together if together > 2 else 1)
        for measure in MEASURES:
            own, others = drawn[measure][i], drawn[f"others_{measure}"][i]
            gap = metric(own - others, level)
            with np.errstate(divide="ignore", invalid="ignore"):
                ratio = metric(own / others, level)
            if gap:
                yield Difference(found[i], measure, float(own[0]), float(others[0]), gap, ratio)
