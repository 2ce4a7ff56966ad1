"""The compiled loops: moving pointers and prefix sums over one stream's daily activity.

Every function takes rows sorted by customer and day, and keys sorted by customer and as-of day. A row is visible to a
key when day < as_of, known < as_of and day ≥ as_of − history.
"""

import numpy as np
from numba import njit

NONE = -(2**31)


@njit(cache=True, nogil=True)
def _bounds(sorted_customer: np.ndarray, key_customer: np.ndarray) -> tuple[np.ndarray, ...]:
    """For each key (sorted by customer) the customer's rows [start, end)."""
    start = np.empty(len(key_customer), np.int64)
    end = np.empty(len(key_customer), np.int64)
    row, size = 0, len(sorted_customer)
    for k in range(len(key_customer)):
        c = key_customer[k]
        if k > 0 and key_customer[k - 1] == c:
            start[k], end[k] = start[k - 1], end[k - 1]
            continue
        while row < size and sorted_customer[row] < c:
            row += 1
        start[k] = row
        while row < size and sorted_customer[row] == c:
            row += 1
        end[k] = row
    return start, end


@njit(cache=True, nogil=True)
def _prefixes(
    customer: np.ndarray, day: np.ndarray, count: np.ndarray, valued: np.ndarray, total: np.ndarray
) -> tuple[np.ndarray, ...]:
    """Sums over the rows before each row: of count, valued and total, and of the days that begin."""
    sums = np.zeros((3, len(day) + 1), np.int64)
    fresh = np.zeros(len(day) + 1, np.int64)
    for i in range(len(day)):
        new_day = i == 0 or customer[i] != customer[i - 1] or day[i] != day[i - 1]
        fresh[i + 1] = fresh[i] + new_day
        sums[0, i + 1] = sums[0, i] + count[i]
        sums[1, i + 1] = sums[1, i] + valued[i]
        sums[2, i + 1] = sums[2, i] + total[i]
    return sums, fresh


@njit(cache=True, nogil=True)
def _ends(day: np.ndarray, known: np.ndarray, low: int, high: int, as_of: int) -> tuple[int, int]:
    """The first and the last visible day among the rows [low, high), NONE and NONE without one."""
    while high > low and known[high - 1] >= as_of:
        high -= 1
    if high == low:
        return NONE, NONE
    while known[low] >= as_of:
        low += 1
    return day[low], day[high - 1]


@njit(cache=True, nogil=True)
def cumulate(
    customer: np.ndarray,
    day: np.ndarray,
    known: np.ndarray,
    count: np.ndarray,
    valued: np.ndarray,
    total: np.ndarray,
    key_customer: np.ndarray,
    as_of: np.ndarray,
    lookbacks: np.ndarray,
    history: int,
) -> tuple[np.ndarray, ...]:
    keys, size = len(key_customer), len(lookbacks)
    counts = np.zeros((keys, size), np.int64)
    days = np.zeros((keys, size), np.int64)
    values = np.zeros((keys, size), np.int64)
    totals = np.zeros((keys, size), np.int64)
    latest = np.full(keys, NONE, np.int64)
    first = np.full(keys, NONE, np.int64)
    start, end = _bounds(customer, key_customer)
    lows = np.zeros(size, np.int64)
    sums, fresh = _prefixes(customer, day, count, valued, total)
    delay, longest = 0, np.searchsorted(lookbacks, history)
    high = 0
    for k in range(keys):
        a = as_of[k]
        if k == 0 or key_customer[k] != key_customer[k - 1]:
            high = start[k]
            lows[:] = start[k]
            delay = 0
            for i in range(start[k], end[k]):
                delay = max(delay, known[i] - day[i])
        while high < end[k] and day[high] < a:
            high += 1
        for b in range(size):
            floor = a - min(lookbacks[b], history)
            while lows[b] < high and day[lows[b]] < floor:
                lows[b] += 1
            counts[k, b] = sums[0, high] - sums[0, lows[b]]
            values[k, b] = sums[1, high] - sums[1, lows[b]]
            totals[k, b] = sums[2, high] - sums[2, lows[b]]
            days[k, b] = fresh[high] - fresh[lows[b]]
        row = high - 1
        while row >= start[k] and day[row] >= a - delay:
            if known[row] >= a:
                new_day = fresh[row + 1] - fresh[row]
                for b in range(size):
                    if row >= lows[b]:
                        counts[k, b] -= count[row]
                        values[k, b] -= valued[row]
                        totals[k, b] -= total[row]
                        days[k, b] -= new_day
            row -= 1
        first[k], latest[k] = _ends(day, known, lows[longest], high, a)
    return counts, days, values, totals, latest, first


@njit(cache=True, nogil=True)
def last(
    customer: np.ndarray,
    day: np.ndarray,
    known: np.ndarray,
    valued: np.ndarray,
    time: np.ndarray,
    value: np.ndarray,
    key_customer: np.ndarray,
    as_of: np.ndarray,
    history: int,
) -> tuple[np.ndarray, ...]:
    """The last visible value, the last one on a day before that, and how many of the two there are."""
    keys = len(key_customer)
    last, before = np.zeros(keys, np.int64), np.zeros(keys, np.int64)
    rated = np.zeros(keys, np.int64)
    start, end = _bounds(customer, key_customer)
    for k in range(keys):
        a = as_of[k]
        found_day, best = NONE, -1
        row = np.searchsorted(day[start[k] : end[k]], a) + start[k] - 1
        while row >= start[k] and day[row] >= a - history:
            if known[row] < a and valued[row] > 0:
                if day[row] != found_day and best >= 0:
                    if rated[k] == 1:
                        break
                    last[k], rated[k] = value[best], 1
                    best = -1
                if best < 0 or (time[row], value[row]) > (time[best], value[best]):
                    best = row
                found_day = day[row]
            row -= 1
        if best >= 0 and rated[k] == 0:
            last[k], rated[k] = value[best], 1
        elif best >= 0:
            before[k], rated[k] = value[best], 2
    return last, before, rated


@njit(cache=True, nogil=True)
def distinct(
    customer: np.ndarray,
    entity: np.ndarray,
    day: np.ndarray,
    known: np.ndarray,
    key_customer: np.ndarray,
    as_of: np.ndarray,
    lookbacks: np.ndarray,
    history: int,
) -> np.ndarray:
    """The number of entities whose last visible day lies within each look-back."""
    keys, size = len(key_customer), len(lookbacks)
    out = np.zeros((keys, size), np.int64)
    start, end = _bounds(customer, key_customer)
    for k in range(keys):
        a = as_of[k]
        row = end[k] - 1
        while row >= start[k]:
            who, found = entity[row], False
            while row >= start[k] and entity[row] == who:
                if not found and day[row] < a and known[row] < a:
                    found = True
                    for b in range(size):
                        if day[row] >= a - min(lookbacks[b], history):
                            out[k, b] += 1
                row -= 1
    return out


@njit(cache=True, nogil=True)
def still_open(
    customer: np.ndarray,
    day: np.ndarray,
    known: np.ndarray,
    until: np.ndarray,
    key_customer: np.ndarray,
    as_of: np.ndarray,
    history: int,
) -> tuple[np.ndarray, ...]:
    """How many intervals are open, and the age in days of the oldest."""
    keys = len(key_customer)
    number, oldest = np.zeros(keys, np.int64), np.zeros(keys, np.int64)
    start, end = _bounds(customer, key_customer)
    for k in range(keys):
        a = as_of[k]
        for row in range(start[k], end[k]):
            if day[row] >= a:
                break
            if day[row] >= a - history and known[row] < a and until[row] >= a:
                number[k] += 1
                oldest[k] = max(oldest[k], a - day[row])
    return number, oldest
