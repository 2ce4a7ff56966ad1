"""The compiled loops over trees: what a row meets in them, and what their tables hold.

Each kernel unpacks what it is given at once: a field read in a loop would be counted as a use of its array there.
"""

import numba
import numpy as np
from numba import njit

from training.forest import Nodes
from training.tables import WORD, Games, Groups

BLOCK = 256
NEAR_ZERO = float(np.float32(1e-35))  # LightGBM's kZeroThreshold
THREADS: int = numba.config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]


@njit(cache=True, nogil=True)
def _left(value: float, threshold: float, absent: bool, zero: bool, begin: int, end: int, words: np.ndarray) -> bool:
    """Whether a value goes left at a node; its fields as in ``Nodes``."""
    if begin >= 0:
        if not -1.0 < value < 32.0 * (end - begin):
            return False
        code = np.int64(value)
        return (words[begin + (code >> 5)] >> np.uint32(code & 31)) & np.uint32(1) != 0
    if np.isnan(value):
        return absent
    return zero if abs(value) <= NEAR_ZERO else value <= threshold


@njit(cache=True, nogil=True)
def margins(
    matrix: np.ndarray,
    starts: np.ndarray,
    roots: np.ndarray,
    nodes: Nodes,
    words: np.ndarray,
    values: np.ndarray,
    out: np.ndarray,
) -> None:
    """Add to out[r, m] the leaves of row r in the trees of model m, in their order."""
    feature, threshold, left, right, absent, zero, begin, end = nodes
    for first in range(0, len(matrix), BLOCK):
        for model in range(len(starts) - 1):
            for tree in range(starts[model], starts[model + 1]):
                for row in range(first, min(first + BLOCK, len(matrix))):
                    node = roots[tree]
                    while node >= 0:
                        value = matrix[row, feature[node]]
                        if _left(value, threshold[node], absent[node], zero[node], begin[node], end[node], words):
                            node = left[node]
                        else:
                            node = right[node]
                    out[row, model] += values[~node]


@njit(cache=True, nogil=True)
def fill(
    groups: Groups, games: Games, values: np.ndarray, points: np.ndarray, weights: np.ndarray, cells: np.ndarray
) -> None:
    """Add to the tables the contributions of every leaf for every combination of answers."""
    _, bits, _, _, _, columns, _, tables = groups
    leaves, leaf, players, column, share, mask, wanted = games
    for group in range(len(bits) - 1):
        width = columns[group + 1] - columns[group]
        for game in range(leaves[group], leaves[group + 1]):
            first, last = players[game], players[game + 1]
            for answers in range(1 << (bits[group + 1] - bits[group])):
                row = tables[group] + answers * width
                for point in range((last - first + 1) // 2):
                    at, whole = points[last - first, point], weights[last - first, point] * values[leaf[game]]
                    for i in range(first, last):
                        whole *= share[i] * (1.0 - at) + at * ((answers & mask[i]) == wanted[i])
                    for i in range(first, last):
                        met = 1.0 * ((answers & mask[i]) == wanted[i])
                        cells[row + column[i]] += whole / (share[i] * (1.0 - at) + at * met) * (met - share[i])


@njit(cache=True, nogil=True)
def one_by_one(
    matrix: np.ndarray,
    starts: np.ndarray,
    nodes: Nodes,
    words: np.ndarray,
    groups: Groups,
    cells: np.ndarray,
    out: np.ndarray,
) -> None:
    """Add to out (n, f) the contributions, row by row.

    First every place in the tables, then what stands there: so the waits for memory overlap.
    """
    feature, threshold, _, _, absent, zero, begin, end = nodes
    trees, bits, word, mask, wanted, columns, names, tables = groups
    answers = np.zeros(np.diff(starts).max() // WORD + 1, np.uint32)
    cell = np.zeros(len(bits), np.int64)
    for row in range(len(matrix)):
        for tree in range(len(trees) - 1):
            first = starts[tree]
            answers[:] = 0
            for n in range(first, starts[tree + 1]):
                value = matrix[row, feature[n]]
                yes = _left(value, threshold[n], absent[n], zero[n], begin[n], end[n], words)
                answers[(n - first) // WORD] |= np.uint32(yes) << np.uint32((n - first) % WORD)
            for group in range(trees[tree], trees[tree + 1]):
                place = 0
                for bit in range(bits[group], bits[group + 1]):
                    met = (answers[word[bit]] & mask[bit]) == wanted[bit]
                    place |= np.int64(met) << (bit - bits[group])
                cell[group] = tables[group] + place * (columns[group + 1] - columns[group])
        for group in range(len(bits) - 1):
            start = columns[group]
            for column in range(columns[group + 1] - start):
                out[row, names[start + column]] += cells[cell[group] + column]


@njit(cache=True, nogil=True)
def in_blocks(
    matrix: np.ndarray,
    starts: np.ndarray,
    nodes: Nodes,
    words: np.ndarray,
    groups: Groups,
    cells: np.ndarray,
    out: np.ndarray,
) -> None:
    """Add to out (n, f) the contributions: trees outside, the rows of a block inside."""
    feature, threshold, _, _, absent, zero, begin, end = nodes
    trees, bits, word, mask, wanted, columns, names, tables = groups
    size = min(BLOCK, len(matrix))
    answers, place = np.zeros((np.diff(starts).max() // WORD + 1, size), np.uint32), np.zeros(size, np.int32)
    sums = np.zeros((matrix.shape[1], size))
    for top in range(0, len(matrix), size):
        values = matrix[top : top + size].T.copy()
        rows = values.shape[1]
        sums[:] = 0.0
        for tree in range(len(trees) - 1):
            first = starts[tree]
            answers[:] = 0
            for n in range(first, starts[tree + 1]):
                own, to, at = values[feature[n]], answers[(n - first) // WORD], np.uint32((n - first) % WORD)
                _answer(own, threshold[n], absent[n], zero[n], begin[n], end[n], words, to, at)
            for group in range(trees[tree], trees[tree + 1]):
                place[:] = 0
                for bit in range(bits[group], bits[group + 1]):
                    given, under, want = answers[word[bit]], mask[bit], wanted[bit]
                    for row in range(rows):
                        place[row] |= np.int32((given[row] & under) == want) << (bit - bits[group])
                start, width = columns[group], columns[group + 1] - columns[group]
                for column in range(width):
                    name, cell = names[start + column], tables[group] + column
                    for row in range(rows):
                        sums[name, row] += cells[cell + place[row] * width]
        out[top : top + size] = sums[:, :rows].T


@njit(cache=True, nogil=True)
def _answer(
    values: np.ndarray,
    threshold: float,
    absent: bool,
    zero: bool,
    begin: int,
    end: int,
    words: np.ndarray,
    out: np.ndarray,
    bit: np.uint32,
) -> None:
    """Set a bit of the words of out where the value goes left. Several numbers at once, but categories one by one."""
    if begin >= 0:
        for row in range(len(values)):
            out[row] |= np.uint32(_left(values[row], threshold, absent, zero, begin, end, words)) << bit
    else:
        for row in range(len(values)):
            below = zero if abs(values[row]) <= NEAR_ZERO else values[row] <= threshold
            out[row] |= np.uint32(absent if np.isnan(values[row]) else below) << bit
