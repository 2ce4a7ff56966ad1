"""The compiled loops over one stream's daily activity: each touches a row or a key a fixed number of times.

Rows are sorted by customer and day, keys by customer and as-of day; ``offset[c]`` is the first row of customer c. A
row is visible to a key when known < as_of (known ≥ day) and day ≥ as_of − history. Seen from a row, the dates that see
it in a look-back of b days are the interval (known, day + b]; what is added at its start and taken off after its end,
summed along a customer's dates, is exact for rows known late, whatever the number of dates.
"""

import numpy as np
from numba import njit

NONE = -(2**31)
FEW = 4


@njit(cache=True, nogil=True)
def ascending(customer: np.ndarray, as_of: np.ndarray) -> bool:
    """Whether keys are sorted by customer and date."""
    for k in range(1, len(customer)):
        if customer[k] < customer[k - 1] or (customer[k] == customer[k - 1] and as_of[k] < as_of[k - 1]):
            return False
    return True


@njit(cache=True, nogil=True)
def offsets(customer: np.ndarray, size: int) -> np.ndarray:
    """Where the rows of each customer begin, (size + 1,); customer: sorted codes below ``size``."""
    start = np.zeros(size + 1, np.int64)
    for code in customer:
        start[code + 1] += 1
    for code in range(size):
        start[code + 1] += start[code]
    return start


@njit(cache=True, nogil=True)
def weigh(
    customer: np.ndarray, day: np.ndarray, known: np.ndarray, weights: np.ndarray, days: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sums of ``weights`` (rows, q) over the rows before each row, those known late left out: (rows + 1, q).

    Column ``days`` of the weights is filled in: 1 where a day begins. Also gives the positions of the late rows, and
    for each row the position of the last row before it that was known on its day, -1 without one: (rows + 1,).
    """
    rows, size = weights.shape
    before = np.zeros((rows + 1, size), np.int64)
    late, on_time = np.empty(rows, np.int64), np.empty(rows + 1, np.int64)
    number = 0
    on_time[0] = -1
    for i in range(rows):
        weights[i, days] = i == 0 or customer[i] != customer[i - 1] or day[i] != day[i - 1]
        punctual = known[i] == day[i]
        on_time[i + 1] = i if punctual else on_time[i]
        if not punctual:
            late[number] = i
            number += 1
        for q in range(size):
            before[i + 1, q] = before[i, q] + (weights[i, q] if punctual else 0)
    return before, late[:number].copy(), on_time


@njit(cache=True, nogil=True)
def after(as_of: np.ndarray, first: int, end: int, day: int) -> int:
    """The first key of [first, end) whose date is later than the day, else ``end``."""
    while first < end:
        middle = (first + end) // 2
        if as_of[middle] > day:
            end = middle
        else:
            first = middle + 1
    return first


@njit(cache=True, nogil=True)
def groups(key_customer: np.ndarray) -> np.ndarray:
    """Where the keys of each customer begin, and the end."""
    starts = np.empty(len(key_customer) + 1, np.int64)
    number = 0
    for k in range(len(key_customer)):
        if k == 0 or key_customer[k] != key_customer[k - 1]:
            starts[number] = k
            number += 1
    starts[number] = len(key_customer)
    return starts[: number + 1]


@njit(cache=True, nogil=True)
def _count_before(day: np.ndarray, begin: int, end: int, base: int, places: np.ndarray) -> None:
    """places[j] becomes the first of the rows [begin, end) whose day is base + j or later."""
    places[:] = 0
    number = begin
    for i in range(begin, end):
        if day[i] < base:
            number += 1
        elif day[i] - base + 1 < len(places):
            places[day[i] - base + 1] += 1
    for j in range(len(places)):
        number += places[j]
        places[j] = number


@njit(cache=True, nogil=True)
def _add_late(
    first: int,
    end: int,
    day: np.ndarray,
    known: np.ndarray,
    weights: np.ndarray,
    late: np.ndarray,
    as_of: np.ndarray,
    lookbacks: np.ndarray,
    sums: np.ndarray,
    latest: np.ndarray,
    key: int,
    last_key: int,
) -> None:
    """What the late rows [first, end) of ``late`` add at the first date that sees them and take off after the last."""
    size = len(lookbacks)
    for place in range(first, end):
        i = late[place]
        seen = after(as_of, key, last_key, known[i])
        if seen == last_key:
            continue
        if as_of[seen] <= day[i] + lookbacks[size - 1]:
            latest[seen] = max(latest[seen], day[i])
        for b in range(size):
            gone = after(as_of, seen, last_key, day[i] + lookbacks[b])
            for q in range(weights.shape[1]):
                sums[q, b, seen] += weights[i, q]
                if gone < last_key:
                    sums[q, b, gone] -= weights[i, q]


@njit(cache=True, nogil=True)
def cumulate(
    offset: np.ndarray,
    day: np.ndarray,
    known: np.ndarray,
    weights: np.ndarray,
    before: np.ndarray,
    late: np.ndarray,
    on_time: np.ndarray,
    key_customer: np.ndarray,
    as_of: np.ndarray,
    lookbacks: np.ndarray,
    out: np.ndarray,
    place: np.ndarray,
    unit: np.ndarray,
    keep: bool,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Per key and look-back the sums of the visible rows' weights, (q, l, k), the latest and the first visible day.

    lookbacks: ascending, the last one is the history. A sum whose ``place`` (q, l) is not negative is written to that
    row of ``out`` (float64) too, in units of ``unit`` (q,); without ``keep`` the sums themselves are left out. Where a
    day stands among a customer's rows is read from a table of days when the customer has many dates, and searched for
    when it has few.
    """
    quantities, size, keys = weights.shape[1], len(lookbacks), len(as_of)
    keep = keep or len(late) > 0
    sums = np.zeros((quantities, size, keys if keep else 0), np.int64)
    latest, first = np.full(keys, NONE, np.int64), np.full(keys, NONE, np.int64)
    running, lows = np.zeros((quantities, size), np.int64), np.zeros(size, np.int64)
    history = lookbacks[size - 1]
    starts = groups(key_customer)
    table = np.zeros(0, np.int64)
    for g in range(len(starts) - 1):
        key, last_key = starts[g], starts[g + 1]
        begin, end = offset[key_customer[key]], offset[key_customer[key] + 1]
        if begin == end:
            for row in place.ravel():
                if row >= 0:
                    out[row, key:last_key] = 0.0
            continue
        base = max(as_of[key] - history, min(day[begin], as_of[key]))
        span = as_of[last_key - 1] - base + 1
        many = last_key - key >= FEW
        if many:
            if len(table) < span:
                table = np.zeros(span, np.int64)
            _count_before(day, begin, end, base, table[:span])
        late_first, late_end = np.searchsorted(late, begin), np.searchsorted(late, end)
        some_late = late_first < late_end
        if some_late:
            _add_late(late_first, late_end, day, known, weights, late, as_of, lookbacks, sums, latest, key, last_key)
            running[:] = 0
        newest_late = NONE
        for k in range(key, last_key):
            a = as_of[k]
            high = table[a - base] if many else begin + np.searchsorted(day[begin:end], a)
            for b in range(size):
                floor = a - lookbacks[b]
                lows[b] = table[max(floor - base, 0)] if many else begin + np.searchsorted(day[begin:end], floor)
            if keep:
                for b in range(size):
                    for q in range(quantities):
                        value = before[high, q] - before[lows[b], q]
                        if some_late:
                            running[q, b] += sums[q, b, k]
                            value += running[q, b]
                        sums[q, b, k] = value
                        if place[q, b] >= 0:
                            out[place[q, b], k] = value / unit[q]
            else:
                for q in range(quantities):
                    reached = before[high, q]
                    for b in range(size):
                        if place[q, b] >= 0:
                            out[place[q, b], k] = (reached - before[lows[b], q]) / unit[q]
            low = lows[size - 1]
            newest_late = max(newest_late, latest[k])
            latest[k] = newest_late if newest_late >= a - history else NONE
            if on_time[high] >= low:
                latest[k] = max(latest[k], day[on_time[high]])
            if latest[k] != NONE:
                while known[low] >= a:
                    low += 1
                first[k] = day[low]
    return sums, latest, first


@njit(cache=True, nogil=True)
def seen(offset: np.ndarray, day: np.ndarray, known: np.ndarray, as_of: np.ndarray, days: int) -> np.ndarray:
    """Whether a row is visible in the ``days`` before each date: bool (customers, dates); as_of ascends."""
    customers, dates = len(offset) - 1, len(as_of)
    found = np.zeros((customers, dates), np.bool_)
    for c in range(customers):
        covered = np.int64(2**31)
        for i in range(offset[c + 1] - 1, offset[c] - 1, -1):
            if known[i] < covered:
                first = after(as_of, 0, dates, known[i])
                while first < dates and as_of[first] <= min(day[i] + days, covered):
                    found[c, first] = True
                    first += 1
                covered = np.int64(known[i])
    return found


@njit(cache=True, nogil=True)
def last(
    offset: np.ndarray,
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
    for k in range(keys):
        a, start, end = as_of[k], offset[key_customer[k]], offset[key_customer[k] + 1]
        found_day, best = NONE, -1
        row = np.searchsorted(day[start:end], a) + start - 1
        while row >= start and day[row] >= a - history:
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
