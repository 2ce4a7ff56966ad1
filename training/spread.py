"""How far a score might move had the recipe been fitted on other customers of the same kind: an interval per score.

The recipe is fitted again on pairs of halves of the units that share no unit. Such fits on m units each differ by twice
the variance of one, and a fit on all n units varies m / n times as much. Source: Wu 1986, "Jackknife, bootstrap and
other resampling methods in regression analysis" (delete-d jackknife, here d = n / 2, in complementary pairs).
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

import numpy as np

from training import attribution
from training.calibration import Calibrator
from training.fit import CANDIDATES, DEFAULT
from training.forest import Forest
from training.models import KINDS, Categories, Linear, Numbers, Served, Trees, dump
from training.rows import Rows
from training.rules import SHRINKAGE, fit_rule
from training.settings import Settings

PAIRS, FEWEST, TRIES = 5, 2, 25
MOST_ROWS = 200_000
COVERED = 0.975  # the upper end of a two-sided 95%
UNREAD = ("tree_sizes", "split_gain", "leaf_weight", "leaf_count", "internal_")
SCALING = ("low", "high", "log", "center", "scale")

Half = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Spread:
    """Pairs of models of one recipe fitted on other units each; ``share``: m / n, units of one fit of all units."""

    share: float
    pairs: tuple[tuple[Served, Served], ...]

    def deviation(self, matrix: np.ndarray) -> np.ndarray:
        """The standard deviation of the margin, (n,) log-odds, over data sets of this size; matrix (n, f)."""
        apart = self._slopes.apart(matrix) if self._slopes else self._apart(matrix)
        return np.sqrt(self.share * np.mean(np.square(apart), axis=0) / 2)

    def _apart(self, matrix: np.ndarray) -> np.ndarray:
        if self._forest:  # one call for all: a row's start-up costs more than its trees
            margins = attribution.margins(self._forest, matrix)
            return margins[::2] - margins[1::2]
        return np.array([one.margin(matrix) - other.margin(matrix) for one, other in self.pairs])

    @cached_property
    def _forest(self) -> Forest | None:
        """All the models side by side, each pair together; None where one is not known to the kernel."""
        models = [model for pair in self.pairs for model in pair]
        trees = [model.model for model in models if isinstance(model, Trees)]
        return Forest.known(*trees) if len(trees) == len(models) else None

    @cached_property
    def _slopes(self) -> "Slopes | None":
        pairs = [(one, other) for one, other in self.pairs if isinstance(one, Linear) and isinstance(other, Linear)]
        return Slopes.of(pairs) if pairs else None

    def interval(self, matrix: np.ndarray, margin: np.ndarray, calibrator: Calibrator) -> Half:
        """The 95% interval (low, high), each (n,), around the scores of these margins; it always contains them.

        It covers which customers were there to learn from, not what nobody can know about the one scored.
        """
        from scipy.special import stdtrit

        reach = float(stdtrit(len(self.pairs), COVERED)) * self.deviation(matrix)
        score = calibrator(margin)
        return np.minimum(calibrator(margin - reach), score), np.maximum(calibrator(margin + reach), score)

    def text(self) -> str:
        """The content of ``spread.json``: equal spreads give equal bytes."""
        texts = [[model.text() for model in pair] for pair in self.pairs]
        return dump({"kind": self.pairs[0][0].kind, "share": self.share, "pairs": texts})

    @classmethod
    def parse(cls, text: str) -> "Spread":
        """The spread of this text. Raises ValueError, KeyError or TypeError when it is none."""
        content = json.loads(text)
        kind, pairs = KINDS[content["kind"]], content["pairs"]
        if not pairs or not 0 < content["share"] <= 0.5:
            raise ValueError("spread.json: pairs of models, and a share above 0 and at most 0.5, are needed")
        return cls(content["share"], tuple((kind.parse(one), kind.parse(other)) for one, other in pairs))


@dataclass(frozen=True)
class Slopes:
    """p pairs of linear models as differences: every column is scaled once for all of them.

    scaling: of the k number columns, whose positions are ``numbers``; start (p,); slope, missing (p, k); tables: the
    position of a category column -> (p, codes + 1), null last.
    """

    numbers: list[int]
    scaling: dict[str, np.ndarray]
    start: np.ndarray
    slope: np.ndarray
    missing: np.ndarray
    tables: dict[int, np.ndarray]

    @classmethod
    def of(cls, pairs: list[tuple[Linear, Linear]]) -> "Slopes":
        """Of pairs whose models scale their columns alike, as those of one ``training.fit.linear`` do."""
        first = pairs[0][0].terms
        numbers = [place for place, term in enumerate(first) if isinstance(term, Numbers)]
        groups = [place for place, term in enumerate(first) if isinstance(term, Categories)]

        def apart(place: int, name: str) -> np.ndarray:
            sides = [[np.asarray(getattr(model.terms[place], name)) for model in pair] for pair in pairs]
            return np.array([one - other for one, other in sides])

        def every(name: str) -> np.ndarray:
            return np.array([apart(place, name) for place in numbers]).reshape(len(numbers), len(pairs)).T

        return cls(
            numbers,
            {name: np.array([getattr(first[place], name) for place in numbers]) for name in SCALING},
            np.array([one.intercept - other.intercept for one, other in pairs]),
            every("weight"),
            every("missing"),
            {place: np.column_stack([apart(place, "weights"), apart(place, "missing")]) for place in groups},
        )

    def apart(self, matrix: np.ndarray) -> np.ndarray:
        """The margin of the one less that of the other, (p, n)."""
        values = np.ascontiguousarray(matrix[:, self.numbers])  # rows are summed alike, one or many
        low, high, log, center, scale = (self.scaling[name] for name in SCALING)
        clipped, known = np.clip(values, low, high), ~np.isnan(values)
        unit = (np.where(log, np.sign(clipped) * np.log1p(np.abs(clipped)), clipped) - center) / scale
        parts = zip(self.start, self.slope, self.missing)
        total = [start + np.where(known, unit * slope, missing).sum(axis=1) for start, slope, missing in parts]
        apart = np.array(total)
        for place, table in self.tables.items():
            null = np.isnan(matrix[:, place])
            apart += table[:, np.where(null, table.shape[1] - 1, matrix[:, place]).astype(np.int64)]
        return apart


def fit_spread(name: str, rows: Rows, settings: Settings = DEFAULT) -> Spread | None:
    """The spread of a candidate, or of the rule of the column ``name``.

    None, no interval, where under ``FEWEST`` pairs have both outcomes in both halves. Of data over ``MOST_ROWS`` rows a
    random part of the units is halved, and the share says so.
    """
    units = len(np.unique(rows.unit))
    part = _part(rows, units)
    size = len(np.unique(part.unit)) // 2
    pairs = list(islice(_pairs(part, size), PAIRS))
    if len(pairs) < FEWEST:
        return None
    share = size / units
    fit = _fit(name, part, scaled(settings, share), share)
    return Spread(share, tuple((fit(one), fit(other)) for one, other in pairs))


def scaled(settings: Settings, share: float) -> Settings:
    """The same recipe for this share of the rows: what it counts in rows is counted in as many fewer.

    A penalty that stays as it is shrinks a fit on half the rows twice as much, and two such fits differ too little.
    """
    trees, logistic = settings.lightgbm, settings.logistic
    fewer = {"lambda_l2": trees.lambda_l2 * share, "min_data_in_leaf": max(1, round(trees.min_data_in_leaf * share))}
    changes = {
        "lightgbm": trees.model_copy(update={**fewer, "cluster": None}),
        "logistic": logistic.model_copy(update={"C": logistic.C / share}),
    }
    return settings.model_copy(update=changes)


def _part(rows: Rows, units: int) -> Rows:
    """The rows of as many units, drawn at random, as ``MOST_ROWS`` rows hold on average."""
    if len(rows) <= MOST_ROWS:
        return rows
    place = np.random.default_rng(1).permutation(units)[np.unique(rows.unit, return_inverse=True)[1]]
    return rows.take(np.flatnonzero(place < units * MOST_ROWS // len(rows)))


def _pairs(rows: Rows, size: int) -> Iterator[Half]:
    """Positions of the rows of two sets of ``size`` units that share none, again and again; both outcomes in each."""
    random = np.random.default_rng(0)
    names, codes = np.unique(rows.unit, return_inverse=True)
    for _ in range(TRIES):
        place = random.permutation(len(names))[codes]
        pair = np.flatnonzero(place < size), np.flatnonzero((place >= size) & (place < 2 * size))
        if all(len(np.unique(rows.outcome[half])) == 2 for half in pair):
            yield pair


def _fit(name: str, rows: Rows, settings: Settings, share: float) -> Callable[[np.ndarray], Served]:
    if name not in CANDIDATES:
        number = rows.matrix[:, [column["name"] for column in rows.columns].index(name)]
        return lambda half: fit_rule(number[half], rows.outcome[half], SHRINKAGE * share)
    fit = CANDIDATES[name](rows, settings)
    return lambda half: _lean(fit(half))


def _lean(model: Trees | Linear) -> Trees | Linear:
    """The trees without what only explains them: half the text, the same margins."""
    if isinstance(model, Linear):
        return model
    trees = model.text().partition("\nfeature_importances:")[0]
    return Trees("\n".join(line for line in trees.split("\n") if not line.startswith(UNREAD)) + "\n")
