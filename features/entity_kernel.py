"""The compiled loops over entities and over intervals; see ``kernel.py`` for what rows, keys and offsets are."""

import numpy as np
from numba import njit

from features.kernel import NONE, after, groups


@njit(cache=True, nogil=True)
def _accumulate(table: np.ndarray, key: int, last_key: int) -> None:
    for b in range(len(table)):
        for k in range(key + 1, last_key):
            table[b, k] += table[b, k - 1]


@njit(cache=True, nogil=True)
def distinct(
    offset: np.ndarray,
    entity: np.ndarray,
    day: np.ndarray,
    known: np.ndarray,
    key_customer: np.ndarray,
    as_of: np.ndarray,
    lookbacks: np.ndarray,
    skip: np.ndarray,
) -> np.ndarray:
    """The number of entities with a visible row in [as_of − lookbacks[b], as_of − skip[b]): int64 (l, k).

    Rows are sorted by customer, entity, day. Going back through an entity's rows, each adds the dates that no later
    row of the entity covers: what lies before the smallest start so far.
    """
    size, keys = len(lookbacks), len(as_of)
    out = np.zeros((size, keys), np.int64)
    covered = np.zeros(size, np.int64)
    starts = groups(key_customer)
    for g in range(len(starts) - 1):
        key, last_key = starts[g], starts[g + 1]
        begin, end = offset[key_customer[key]], offset[key_customer[key] + 1]
        for row in range(end - 1, begin - 1, -1):
            if row == end - 1 or entity[row] != entity[row + 1]:
                covered[:] = 2**31
            for b in range(size):
                since = max(known[row], day[row] + skip[b])
                if since >= covered[b]:
                    continue
                first = after(as_of, key, last_key, since)
                gone = after(as_of, first, last_key, min(day[row] + lookbacks[b], covered[b]))
                covered[b] = since
                if first < gone:
                    out[b, first] += 1
                    if gone < last_key:
                        out[b, gone] -= 1
        _accumulate(out, key, last_key)
    return out


@njit(cache=True, nogil=True)
def _place(tree: np.ndarray, size: int, leaf: int, step: int, day: int) -> None:
    """Give an entity ``step`` more visible days, and keep the largest (days, last day) of all at the tree's root."""
    place = size + leaf
    days, latest = (tree[place] >> 32) + step, max(tree[place] & (2**32 - 1), np.int64(day) - NONE)
    tree[place] = (days << 32) | latest if days else 0
    while place > 1:
        place //= 2
        tree[place] = max(tree[2 * place], tree[2 * place + 1])


@njit(cache=True, nogil=True)
def busiest(
    offset: np.ndarray,
    entity: np.ndarray,
    day: np.ndarray,
    known: np.ndarray,
    key_customer: np.ndarray,
    as_of: np.ndarray,
    history: int,
) -> np.ndarray:
    """The last visible day of the entity with the most visible days, of those equal the latest: int64 (k,).

    Rows are sorted by customer, entity, day, known. A day of an entity counts for the dates in (known, day + history]:
    it waits in the list of the first of them and in that of the first after them.
    """
    keys = len(as_of)
    out = np.full(keys, NONE, np.int64)
    base = offset[key_customer[0]] if keys else 0
    rows = offset[key_customer[keys - 1] + 1] - base if keys else 0
    leaf, tree = np.empty(rows, np.int64), np.empty(2 * rows + 2, np.int64)
    lists, following = np.full((2, keys + 1), -1, np.int64), np.empty((2, rows), np.int64)
    starts = groups(key_customer)
    for g in range(len(starts) - 1):
        key, last_key = starts[g], starts[g + 1]
        begin, end = offset[key_customer[key]], offset[key_customer[key] + 1]
        size = 0
        for row in range(begin, end):
            if row == begin or entity[row] != entity[row - 1]:
                size += 1
            elif day[row] == day[row - 1]:
                continue
            first = after(as_of, key, last_key, known[row])
            gone = after(as_of, first, last_key, day[row] + history)
            if first < gone:
                leaf[row - base] = size - 1
                for turn, k in ((0, first), (1, gone)):
                    if k < last_key:
                        following[turn, row - base] = lists[turn, k]
                        lists[turn, k] = row
        tree[: 2 * size] = 0
        for k in range(key, last_key):
            for turn in range(2):
                row = lists[turn, k]
                while row >= 0:
                    _place(tree, size, leaf[row - base], 1 - 2 * turn, day[row])
                    row = following[turn, row - base]
            if size and tree[1]:
                out[k] = (tree[1] & (2**32 - 1)) + NONE
    return out


@njit(cache=True, nogil=True)
def still_open(
    offset: np.ndarray,
    day: np.ndarray,
    known: np.ndarray,
    until: np.ndarray,
    key_customer: np.ndarray,
    as_of: np.ndarray,
    history: int,
) -> tuple[np.ndarray, np.ndarray]:
    """How many intervals are open, and the age in days of the oldest."""
    keys = len(as_of)
    number, oldest = np.zeros((1, keys), np.int64), np.zeros(keys, np.int64)
    starts = groups(key_customer)
    for g in range(len(starts) - 1):
        key, last_key = starts[g], starts[g + 1]
        begin, end = offset[key_customer[key]], offset[key_customer[key] + 1]
        for row in range(begin, end):
            first = after(as_of, key, last_key, known[row])
            gone = after(as_of, first, last_key, min(until[row], day[row] + history))
            if first < gone:
                number[0, first] += 1
                if gone < last_key:
                    number[0, gone] -= 1
        _accumulate(number, key, last_key)
        low = begin
        for k in range(key, last_key):
            a = as_of[k]
            while low < end and min(until[low], day[low] + history) < a:
                low += 1
            row = low
            while number[0, k] and (known[row] >= a or min(until[row], day[row] + history) < a):
                row += 1
            if number[0, k]:
                oldest[k] = a - day[row]
    return number[0], oldest
