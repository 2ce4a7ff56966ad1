"""What is known of a customer beside behaviour, as of a date: a value that never changes, or the history of one."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from features import columns, windows
from features.customers import ALWAYS, refuse_repeats
from features.data_config import Attribute
from features.rollup import Activity, Events, daily
from features.sources import Column, Source, fetch, require

AT_ONCE = 1_000


@dataclass(frozen=True)
class Static:
    """One value a customer: float64, or object (text or None) for a category."""

    values: np.ndarray

    def part(self, first: int, end: int) -> "Static":
        """That of the customers with a code in [first, end), which become 0 and up."""
        return Static(self.values[first:end])

    def at(self, customer: np.ndarray, as_of: np.ndarray) -> np.ndarray:
        """The value of each key."""
        return self.values[customer]


@dataclass(frozen=True)
class Changing:
    """The changes as an activity whose values are positions in ``values``; the last position means nothing known."""

    changes: Activity
    values: np.ndarray

    def part(self, first: int, end: int) -> "Changing":
        """That of the customers with a code in [first, end), which become 0 and up."""
        return replace(self, changes=self.changes.part(first, end))

    def at(self, customer: np.ndarray, as_of: np.ndarray) -> np.ndarray:
        """The visible change of each key that is last by (valid_from, known, value)."""
        found = windows.compute(self.changes, customer, as_of, [("last", None)], history_days=2**30)[:, 0]
        position = np.where(np.isnan(found), len(self.values) - 1, np.rint(np.nan_to_num(found) * 1e6))
        return self.values[position.astype(np.int64)]


History = Static | Changing


def load(source: Source, index: pd.Index) -> dict[str, History]:
    """Every attribute of ``data.yaml``. Raises DataError on a missing column, a wrong type, a repeated customer."""
    own = source.data.customers.attributes
    return {
        name: _static(source, name, spec, index) if spec.changes is None else _changing(source, name, spec, index)
        for name, spec in own.items()
    }


def _static(source: Source, name: str, spec: Attribute, index: pd.Index) -> Static:
    customers = source.data.customers
    table_name = spec.table or customers.table or ""
    table = source.table(table_name)
    column = spec.column or name
    path = f"data.yaml: customers.attributes.{name}"
    require(table, table_name, {path: column, "data.yaml: customers.id": customers.id})
    query = {"id": columns.text(table[customers.id])}
    query["value"] = _typed(table[column], spec, f"{table_name}: {column} ({path}.type: {spec.type})")
    rows = fetch(columns.only(table, customers.id, _few(index)).select(**query), table_name).to_pandas()
    rows = rows[rows["id"].notna()]
    refuse_repeats(rows["id"], f"{table_name}: {customers.id}")
    return Static(_plain(rows.set_index("id")["value"].reindex(index), spec))


def _changing(source: Source, name: str, spec: Attribute, index: pd.Index) -> Changing:
    changes = spec.changes
    assert changes is not None
    path = f"data.yaml: customers.attributes.{name}.changes"
    table = source.table(changes.table)
    column = changes.value or name
    wanted = {"id": source.data.customers.id, "at": changes.at, "value": column}
    wanted |= {"known": changes.known} if changes.known else {}
    require(table, changes.table, {f"{path}.{role}": column for role, column in wanted.items()})
    query = {"id": columns.text(table[wanted["id"]])}
    query["at"] = columns.time(table[changes.at], f"{changes.table}: {changes.at}")
    query["value"] = _typed(table[column], spec, f"{changes.table}: {column} ({path})")
    if changes.known:
        query["known"] = columns.time(table[changes.known], f"{changes.table}: {changes.known}")
    rows = fetch(columns.only(table, wanted["id"], _few(index)).select(**query), changes.table)
    day, time = columns.days(rows["at"], source.data)
    known = np.maximum(day, columns.days(rows["known"], source.data, fill=ALWAYS)[0]) if changes.known else day
    frame = pd.DataFrame({"day": day, "known": known, "time": time, "value": rows["value"].to_pandas()})
    frame["customer"] = index.get_indexer(rows["id"].to_pandas())
    frame = frame[(frame["customer"] >= 0) & rows["at"].is_valid().to_pandas()]
    frame = frame.sort_values(["time", "known", "value"], ignore_index=True)
    number, one = np.arange(len(frame), dtype=np.int64), np.ones(len(frame), np.int64)
    code, began, seen = (frame[column].to_numpy().astype(np.int32) for column in ("customer", "day", "known"))
    activity = daily(Events(code, began, seen, one, one, number, frame["time"].to_numpy()))
    nothing = pd.Series([None if spec.type == "category" else np.nan]).to_numpy()
    return Changing(activity, np.concatenate([_plain(frame["value"], spec), nothing]))


def _typed(column: Column, spec: Attribute, label: str) -> Column:
    if spec.type == "category":
        return columns.text(column)
    return columns.flag(column, label) if spec.type == "flag" else columns.number(column, label)


def _plain(values: pd.Series, spec: Attribute) -> np.ndarray:
    if spec.type == "category":
        return values.astype(object).where(values.notna(), None).to_numpy()
    return values.to_numpy(dtype=np.float64, na_value=np.nan)


def _few(index: pd.Index) -> Sequence[str] | None:
    """The ids, where they are few enough to ask a table for them alone."""
    return list(index) if len(index) < AT_ONCE else None
