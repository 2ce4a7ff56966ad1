"""One column of a ready-made table as a number, a flag or a category: recognised once, then read as in training."""

import re
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pyarrow as pa

from features.errors import DataError

YES, NO = ("true", "t", "yes", "y", "1"), ("false", "f", "no", "n", "0")
MANY, FREE, ENOUGH = 50, 0.5, 100
_ID = "another whole number in every row; where it is an id, exclude it"
_CODE = re.compile("0[0-9]")
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
        return Column(problem="holds dates or times; give the days between it and the as-of date, or exclude it")
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
    if all(_NUMBER.fullmatch(word) for word in levels) and not any(_CODE.match(word) for word in levels):
        blank = int(words.isna().sum() - raw.null_count)
        return Column("value", _numbers(raw), f"numbers and {blank:,} blanks, which are read as null" if blank else "")
    if {word.lower() for word in levels} <= {*YES, *NO}:
        return Column("flag", _flags(raw))
    return _category(raw, words, len(levels))


def _category(raw: pa.ChunkedArray, words: pd.Series, levels: int) -> Column:
    numbers = int(words.dropna().map(lambda word: bool(_NUMBER.fullmatch(word))).sum())
    if levels > MANY and numbers > FREE * words.notna().sum():
        bad = int(words.notna().sum()) - numbers
        return Column(problem=f"{bad:,} values are text among numbers; make them null in the table, or exclude it")
    if levels > MANY and levels > FREE * words.notna().sum():
        return Column(problem=f"{levels:,} different texts in {len(words):,} rows are no category; exclude it")
    many = f"{levels:,} categories; the {MANY} most frequent are told apart, the others count as unknown"
    return Column("category", _texts(raw), many if levels > MANY else "")


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
