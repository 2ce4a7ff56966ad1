"""One column of a ready-made table as a number, a flag or a category: recognised once, then read as in training."""

import re
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pyarrow as pa

from features.errors import DataError

YES, NO = ("true", "t", "yes", "y", "1"), ("false", "f", "no", "n", "0")
MANY, FREE, ENOUGH = 50, 0.5, 100
# More than FEW different numbers in MIXED of the values are a measure; fewer are steps, such as No, 1, 2.
MIXED, FEW, DATED = 0.05, 10, 0.95
_ID = "another whole number in every row; where it is an id, exclude it"
_DATES = "holds dates or times; give the days between it and the as-of date, or exclude it"
_CODE = re.compile("0[0-9]")
_DATE = re.compile("[0-9]{4}([-/])(0?[1-9]|1[0-2])\\1(0?[1-9]|[12][0-9]|3[01])([ T][0-9]{1,2}:[0-9]{2}.*)?")
_NUMBER = re.compile(r"[+-]?([0-9]{1,200}([.][0-9]*)?|[.][0-9]{1,200})(e[+-]?[0-9]{1,2})?|nan", re.IGNORECASE)
_UNITS = {"number": "value", "flag": "flag", "category": "category"}


@dataclass(frozen=True)
class Column:
    """values: float64, or text and None, (n,). unit: value, flag or category; empty: no feature.

    note: what was decided, in words; problem: why it cannot be read, and what to do.
    """

    unit: str = ""
    values: np.ndarray | None = None
    note: str = ""
    problem: str = ""


def recognised(raw: pa.ChunkedArray, kind: str | None) -> Column:
    """The column as the YAML says, or else as its values look."""
    if pa.types.is_temporal(raw.type):
        return Column(problem=_DATES)
    if not _readable(raw.type):
        return Column(problem=f"holds {raw.type}; numbers, text and true/false can be features: convert or exclude it")
    if len(raw.drop_null().unique()) < 2 and raw.null_count in (0, len(raw)):
        return Column(note="is the same in every row, and so left out")
    if kind:
        return take(raw, _UNITS[kind])
    found = _of_text(raw) if _is_text(raw.type) else take(raw, "flag" if pa.types.is_boolean(raw.type) else "value")
    return replace(found, note=_ID) if _numbers_the_rows(found) else found


def _numbers_the_rows(found: Column) -> bool:
    """Whether every row has another whole number."""
    values = found.values
    if found.unit != "value" or values is None or len(values) < ENOUGH or not (values % 1 == 0).all():
        return False
    return len(np.unique(values)) == len(values)


def take(raw: pa.ChunkedArray, unit: str) -> Column:
    """The column in this unit, or the problem with it."""
    try:
        return Column(unit, _READ[unit](raw))
    except DataError as error:
        return Column(problem=str(error))


def _of_text(raw: pa.ChunkedArray) -> Column:
    words = _words(raw)
    levels = words.dropna().unique()
    if len(levels) < 2 and not (len(levels) and words.isna().any()):
        return Column(note="is the same in every row, and so left out")
    codes = any(_CODE.match(word) for word in levels)
    if all(_NUMBER.fullmatch(word) for word in levels) and not codes:
        blank = int(words.isna().sum() - raw.null_count)
        return Column("value", _numbers(raw), f"numbers and {blank:,} blanks, which are read as null" if blank else "")
    if {word.lower() for word in levels} <= {*YES, *NO}:
        return Column("flag", _flags(raw))
    problem = _no_category(words.dropna(), codes)
    many = f"{len(levels):,} categories; the {MANY} most frequent are told apart, the others count as unknown"
    note = many if len(levels) > MANY else ""
    return Column(problem=problem) if problem else Column("category", _texts(raw), note)


def _no_category(words: pd.Series, codes: bool) -> str:
    """Why texts, blanks aside, are no category, or nothing. codes: whether any has a leading zero."""
    counts = words.value_counts()
    if _share(counts, _DATE) >= DATED:
        return _DATES
    numbers = counts[[bool(_NUMBER.fullmatch(word)) for word in counts.index]]
    text = len(words) - int(numbers.sum())
    if len(numbers) > FEW and not codes and text and numbers.sum() >= MIXED * len(words):
        return f"{text:,} values are text among numbers; make them null exclude it, or say types: category"
    if len(counts) > MANY and len(counts) > FREE * len(words):
        return f"{len(counts):,} different texts in {len(words):,} rows are no category; exclude it"
    return ""


def _share(counts: pd.Series, pattern: re.Pattern[str]) -> float:
    """The share of the values that look so; counts: how often each text stands there."""
    return float(counts[[bool(pattern.fullmatch(word)) for word in counts.index]].sum() / counts.sum())


def _numbers(raw: pa.ChunkedArray) -> np.ndarray:
    if not _is_text(raw.type):
        _refuse(not _readable(raw.type), f"holds {raw.type} where a number is needed; convert it")
        numbers = pd.to_numeric(raw.cast(pa.float64(), safe=False).to_pandas()).to_numpy(np.float64)
    else:
        words = _words(raw)
        bad = int((~words.dropna().map(lambda word: bool(_NUMBER.fullmatch(word))).astype(bool)).sum())
        _refuse(bad, f"{bad:,} values are text where numbers are needed; make them null in the table, or exclude it")
        numbers = words.astype(object).where(words.notna(), np.nan).astype(np.float64).to_numpy()
    endless = int(np.isinf(numbers).sum())
    _refuse(endless, f"{endless:,} values are infinite; make them null in the table, or exclude it")
    return numbers + 0.0


def _flags(raw: pa.ChunkedArray) -> np.ndarray:
    words = _texts(raw)
    lowered = np.array([None if word is None else word.lower() for word in words], object)
    known = np.array([word is not None for word in words], bool)
    yes = np.isin(lowered.astype(str), YES)
    bad = int((known & ~yes & ~np.isin(lowered.astype(str), NO)).sum())
    _refuse(bad, f"{bad:,} values are neither yes nor no; allowed: true/false, yes/no, 1/0")
    return np.where(known, yes.astype(np.float64), np.nan)


def _texts(raw: pa.ChunkedArray) -> np.ndarray:
    """Text, or None; 12 and 12.0 are both "12"."""
    if not _is_text(raw.type):
        _refuse(not _readable(raw.type), f"holds {raw.type} where text is needed; convert it")
        if pa.types.is_boolean(raw.type):
            raw = raw.cast(pa.string())
        else:
            numbers = _numbers(raw)
            return np.array([None if np.isnan(one) else f"{one:.15g}" for one in numbers], object)
    words = _words(raw)
    return words.astype(object).where(words.notna(), None).to_numpy(object)


def _words(raw: pa.ChunkedArray) -> pd.Series:
    """Text without blanks around it; null where nothing is left."""
    words = raw.cast(pa.string()).to_pandas().astype("str").str.strip()
    return words.where(words.notna() & (words != ""))


def _refuse(wrong: bool | int, problem: str) -> None:
    if wrong:
        raise DataError(problem)


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _readable(kind: pa.DataType) -> bool:
    numeric = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    return numeric or pa.types.is_boolean(kind) or _is_text(kind)


_READ = {"value": _numbers, "flag": _flags, "category": _texts}
