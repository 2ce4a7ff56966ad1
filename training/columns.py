"""The columns of a model's matrix, and how a snapshot becomes one."""

from typing import Literal

import numpy as np
import pandas as pd
from typing_extensions import TypedDict

from features.errors import DataError


class Column(TypedDict):
    """A ``features.catalogue.Feature`` as a dict, with its categories in code order."""

    name: str
    source: str
    measure: str
    days: int | None
    family: str
    kind: Literal["number", "category"]
    unit: str
    label: dict[str, str]
    categories: list[str] | None


def encode(frame: pd.DataFrame, columns: list[Column]) -> np.ndarray:
    """(n, f) float64: numbers as they are, categories as codes, NaN for null and for an unknown category.

    Raises DataError for a missing column, a column of the wrong type, or an infinity.
    """
    matrix = np.empty((len(frame), len(columns)))
    for position, column in enumerate(columns):
        if column["name"] not in frame:
            raise DataError(f"{column['name']}: this column is missing; the model needs it")
        encoded = _codes if column["kind"] == "category" else _numbers
        matrix[:, position] = encoded(frame[column["name"]], column)
    return matrix


def _numbers(values: pd.Series, column: Column) -> np.ndarray:
    if values.dtype == object and values.isna().all():
        return np.full(len(values), np.nan)
    if not pd.api.types.is_numeric_dtype(values):
        raise DataError(f"{column['name']}: holds {values.dtype}; a number is needed")
    numbers = values.to_numpy(np.float64, na_value=np.nan)
    if np.isinf(numbers).any():
        raise DataError(f"{column['name']}: holds an infinity; finite numbers and nulls are allowed")
    return numbers


def _codes(values: pd.Series, column: Column) -> np.ndarray:
    if not (values.isna().all() or pd.api.types.infer_dtype(values, skipna=True) == "string"):
        raise DataError(f"{column['name']}: holds {values.dtype}; text is needed")
    codes = pd.Index(column["categories"] or [], dtype=object).get_indexer(values.astype(object))
    return np.where(codes < 0, np.nan, codes)
