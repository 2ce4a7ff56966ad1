"""Margins and exact contributions of LightGBM models, compiled.

The contribution of a feature is its path-dependent SHAP value (Lundberg et al. 2020, "From local explanations to global
understanding with explainable AI for trees"): the Shapley value of a game in which a feature that is not known follows
every branch of its splits by their share of the training rows. Of one leaf with value v, where o_i says whether the row
meets the conditions that the path to the leaf puts on feature i, and z_i is their share of the rows, it is
v (o_i − z_i) times the integral over t from 0 to 1 of the product of z_j (1 − t) + o_j t over the path's other features
(Owen 1972, "Multilinear extensions of games"). With D features ceil(D / 2) points of Gauss and Legendre are exact.

It depends on a row only through the answers of the nodes, so that it is tabulated: ``training.tables``. The same row
gives the same bits alone, among others and on any number of threads: its sums are taken in the order of the trees.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from training import kernel
from training.forest import Forest, Unknown
from training.tables import Groups, TooLarge, plan

FEW = 1_000
ALONE = 4  # so few rows are summed up faster one by one


@dataclass(frozen=True)
class Tables:
    """The tables of one model, end to end; what leads to their rows are its groups."""

    groups: Groups
    cells: np.ndarray

    @classmethod
    def of(cls, forest: Forest) -> "Tables":
        """Raises TooLarge, or Unknown where the text does not say how many training rows came by."""
        if forest.node_rows is None or forest.leaf_rows is None:
            raise Unknown("a LightGBM text without counts")
        groups, games = plan(forest)
        cells = np.zeros(groups.tables[-1])
        kernel.fill(groups, games, forest.values, *_quadrature(int(np.diff(games.players).max(initial=0))), cells)
        return cls(groups, cells)

    @classmethod
    def known(cls, forest: Forest) -> "Tables | None":
        """None where there are too many of them, or no counts to make them from."""
        try:
            return cls.of(forest)
        except (TooLarge, Unknown):
            return None


def expected(forest: Forest) -> float:
    """Where contributions start: the mean of the margin by the training rows of the leaves, added tree by tree."""
    assert forest.leaf_rows is not None and forest.node_rows is not None
    leaves = np.diff(forest.first) + 1
    share = np.ones(len(forest.values))
    split = np.repeat(leaves > 1, leaves)
    share[split] = forest.leaf_rows[split] / np.repeat(forest.node_rows[forest.roots[leaves > 1]], leaves[leaves > 1])
    trees = np.split(share * forest.values, np.cumsum(leaves)[:-1])
    return float(np.cumsum([np.cumsum(tree)[-1] for tree in trees])[-1])  # unlike sum, in order


def margins(forest: Forest, matrix: np.ndarray) -> np.ndarray:
    """(models, n) log-odds of the rows of a matrix (n, f), bit for bit those of LightGBM."""
    out = np.zeros((len(matrix), len(forest.starts) - 1))

    def work(first: int, part: np.ndarray) -> None:
        kernel.margins(part, forest.starts, forest.roots, forest.nodes, forest.words, forest.values, out[first:])

    _in_parts(forest, matrix, work)
    return out.T


def contributions(forest: Forest, tables: Tables, matrix: np.ndarray) -> np.ndarray:
    """(n, f) log-odds, which with ``expected`` sum to the margin."""
    out = np.zeros(matrix.shape)

    def work(first: int, part: np.ndarray) -> None:
        sum_up = kernel.one_by_one if len(part) <= ALONE else kernel.in_blocks
        sum_up(part, forest.first, forest.nodes, forest.words, tables.groups, tables.cells, out[first:])

    _in_parts(forest, matrix, work)
    return out


def _in_parts(forest: Forest, matrix: np.ndarray, work: Callable[[int, np.ndarray], None]) -> None:
    """The rows in parts, over all cores where they are many. Raises ValueError for a matrix of other columns."""
    if matrix.ndim != 2 or matrix.shape[1] != forest.features:
        raise ValueError(f"a matrix of {forest.features} columns is needed, not one of shape {matrix.shape}")
    rows = len(matrix)

    def part(first: int, last: int) -> None:
        work(first, np.require(matrix[first:last], np.float64, ["C", "W"]))

    if rows <= FEW:
        return part(0, rows)
    step = -(-rows // (4 * kernel.THREADS * kernel.BLOCK)) * kernel.BLOCK
    with ThreadPoolExecutor(kernel.THREADS) as pool:
        list(pool.map(part, range(0, rows, step), range(step, rows + step, step)))


def _quadrature(most: int) -> tuple[np.ndarray, np.ndarray]:
    """Points and weights on [0, 1] that are exact for the game of D features, a row per D up to the most."""
    points, weights = np.zeros((2, most + 1, most // 2 + 1))
    for size in range(1, most + 1):
        number = (size + 1) // 2
        place, weight = np.polynomial.legendre.leggauss(number)
        points[size, :number], weights[size, :number] = (place + 1) / 2, weight / 2
    return points, weights
