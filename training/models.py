"""What a bundle can hold: trees, a linear model or a rule.

Each gives ``margin(matrix)``, (n,) log-odds, and ``contributions(matrix)``, (n, f), which with
``base_margin`` sum to the margin.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from training import attribution
from training.attribution import Tables
from training.forest import Forest

if TYPE_CHECKING:
    import lightgbm

FEW = 1_000


@contextmanager
def _reason() -> Iterator[None]:
    """What LightGBM refuses as a ValueError, as numpy and scikit-learn do."""
    from lightgbm.basic import LightGBMError

    try:
        yield
    except LightGBMError as error:
        raise ValueError(str(error)) from None


@dataclass(frozen=True)
class Trees:
    """A LightGBM model in its text format. Contributions are its exact path-dependent SHAP values.

    Margins and contributions are compiled (``training.attribution``). LightGBM itself gives them, more slowly, where
    the text holds what the kernel does not know (linear trees, several classes, an average of trees), and contributions
    also where their tables would be too large (deep trees) or training rows were not counted.
    """

    model: str
    kind: ClassVar[Literal["lightgbm"]] = "lightgbm"
    file: ClassVar[str] = "model.txt"

    @staticmethod
    def binned(
        matrix: np.ndarray, outcome: np.ndarray, names: list[str], categories: list[int], settings: dict[str, Any]
    ) -> "lightgbm.Dataset":
        """Training rows as histogram bins; ``categories`` are the positions of category columns."""
        import lightgbm

        data = lightgbm.Dataset(matrix, outcome, feature_name=names, categorical_feature=categories, params=settings)
        with _reason():
            return data.construct()

    @classmethod
    def fit(
        cls,
        data: "lightgbm.Dataset",
        index: np.ndarray | None,
        weight: np.ndarray | None,
        settings: dict[str, Any],
        rounds: int,
    ) -> "Trees":
        """Boost ``rounds`` trees on all the rows, or on those at the given positions, by their weights.

        Raises ValueError with LightGBM's reason.
        """
        import lightgbm

        rows = data
        if index is not None:
            rows = data.subset(index.tolist()).construct()
        if weight is not None:
            rows.set_weight(weight)
        with _reason():
            return cls(lightgbm.train(dict(settings), rows, rounds).model_to_string())

    @cached_property
    def booster(self) -> "lightgbm.Booster":
        import lightgbm

        return lightgbm.Booster(model_str=self.model)

    @cached_property
    def forest(self) -> Forest | None:
        """None where the text is not known to the kernel."""
        return Forest.known(self.model)

    @cached_property
    def tables(self) -> Tables | None:
        """None where contributions are LightGBM's own."""
        return Tables.known(self.forest) if self.forest else None

    @cached_property
    def base_margin(self) -> float:
        if self.forest and self.tables:
            return attribution.expected(self.forest)
        nowhere = np.full((1, self.booster.num_feature()), np.nan)
        return float(self._predict(nowhere, pred_contrib=True)[0, -1])

    def margin(self, matrix: np.ndarray) -> np.ndarray:
        if self.forest:
            return attribution.margins(self.forest, matrix)[0]
        return self._predict(matrix, raw_score=True)

    def contributions(self, matrix: np.ndarray) -> np.ndarray:
        if self.forest and self.tables:
            return attribution.contributions(self.forest, self.tables, matrix)
        return self._predict(matrix, pred_contrib=True)[:, :-1]

    def _predict(self, matrix: np.ndarray, **kind: bool) -> np.ndarray:
        if len(matrix) == 0:
            return np.zeros((0, matrix.shape[1] + 1) if "pred_contrib" in kind else 0)
        threads = 1 if len(matrix) <= FEW else 0
        return np.asarray(self.booster.predict(matrix, num_threads=threads, **kind))

    def text(self) -> str:
        return self.model

    @classmethod
    def parse(cls, text: str) -> "Trees":
        return cls(text)


@dataclass(frozen=True)
class Numbers:
    """One number column of a linear model: weight × (clipped, perhaps log-scaled value − center) / scale."""

    low: float
    high: float
    log: bool
    center: float
    scale: float
    weight: float
    missing: float
    expected: float

    def term(self, column: np.ndarray) -> np.ndarray:
        clipped = np.clip(column, self.low, self.high)
        scaled = np.where(self.log, np.sign(clipped) * np.log1p(np.abs(clipped)), clipped)
        return np.where(np.isnan(column), self.missing, self.weight * (scaled - self.center) / self.scale)


@dataclass(frozen=True)
class Categories:
    """One category column of a linear model: a weight per code."""

    weights: tuple[float, ...]
    missing: float
    expected: float

    def term(self, column: np.ndarray) -> np.ndarray:
        known = ~np.isnan(column)
        term = np.full(len(column), self.missing)
        term[known] = np.asarray(self.weights)[column[known].astype(np.int64)]
        return term


@dataclass(frozen=True)
class Linear:
    """A logistic regression: an intercept and one term per column.

    A contribution is a term less its mean in training.
    """

    intercept: float
    terms: tuple[Numbers | Categories, ...]
    kind: ClassVar[Literal["logistic"]] = "logistic"
    file: ClassVar[str] = "linear.json"

    @cached_property
    def base_margin(self) -> float:
        return self.intercept + float(np.sum([term.expected for term in self.terms]))

    @cached_property
    def _numbers(self) -> tuple[list[int], Any]:
        """Where the number columns are, and all of them side by side as one."""
        places = [place for place, term in enumerate(self.terms) if isinstance(term, Numbers)]
        own = {field.name: np.array([getattr(self.terms[i], field.name) for i in places]) for field in fields(Numbers)}
        return places, Numbers(**own)  # type: ignore[arg-type]

    def margin(self, matrix: np.ndarray) -> np.ndarray:
        return self.base_margin + self.contributions(matrix).sum(axis=1)

    def contributions(self, matrix: np.ndarray) -> np.ndarray:
        parts, (places, numbers) = np.zeros(matrix.shape), self._numbers
        parts[:, places] = numbers.term(matrix[:, places]) - numbers.expected
        for place, term in enumerate(self.terms):
            if isinstance(term, Categories):
                parts[:, place] = term.term(matrix[:, place]) - term.expected
        return parts

    def text(self) -> str:
        return dump({"intercept": self.intercept, "terms": [vars(term) for term in self.terms]})

    @classmethod
    def parse(cls, text: str) -> "Linear":
        content = json.loads(text)
        terms = [
            Categories(**{**term, "weights": tuple(term["weights"])}) if "weights" in term else Numbers(**term)
            for term in content["terms"]
        ]
        return cls(content["intercept"], tuple(terms))


@dataclass(frozen=True)
class Rule:
    """A ranking by one number: log-odds interpolated between knots, strictly rising (sign 1) or falling (−1).

    Beyond the outermost knots the log-odds creep on by ``CREEP`` × ln(1 + distance / range), so that ranking
    by score stays ranking by the number. A null has its own cell. ``expected``: the mean margin in training.
    """

    knots: tuple[float, ...]
    margins: tuple[float, ...]
    missing: float
    expected: float
    kind: ClassVar[Literal["rule"]] = "rule"
    file: ClassVar[str] = "rule.json"
    CREEP: ClassVar[float] = 1e-3

    @property
    def base_margin(self) -> float:
        return self.expected

    @property
    def sign(self) -> int:
        return 1 if self.margins[-1] >= self.margins[0] else -1

    def margin(self, matrix: np.ndarray) -> np.ndarray:
        number, first, last = matrix[:, 0], self.knots[0], self.knots[-1]
        beyond = number - np.clip(number, first, last)
        creep = self.sign * self.CREEP * np.sign(beyond) * np.log1p(np.abs(beyond) / max(last - first, 1.0))
        return np.where(np.isnan(number), self.missing, np.interp(number, self.knots, self.margins) + creep)

    def contributions(self, matrix: np.ndarray) -> np.ndarray:
        return self.margin(matrix)[:, None] - self.expected

    def text(self) -> str:
        return dump(vars(self))

    @classmethod
    def parse(cls, text: str) -> "Rule":
        content = json.loads(text)
        return cls(**{**content, "knots": tuple(content["knots"]), "margins": tuple(content["margins"])})


Served = Trees | Linear | Rule
KINDS: dict[str, type[Served]] = {"lightgbm": Trees, "logistic": Linear, "rule": Rule}


def dump(content: Any) -> str:
    """JSON that is byte-equal for equal content; NaN and infinity are refused with ValueError."""
    return json.dumps(content, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
