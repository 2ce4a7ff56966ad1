"""What is known of a customer beside behaviour, as of a date: a value that never changes, or the history of one."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pyarrow as pa

from features import columns, windows
from features.customers import ALWAYS, refuse_repeats
from features.data_config import Attribute, Data
from features.rollup import Activity, Events, daily
from features.sources import Column, Source, Table, fetch, require

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
    return {
        name: parse(fetch(query(source, name, _few(index)), label(source.data, name)), source.data, name, index)
        for name in source.data.customers.attributes
    }


def label(data: Data, name: str) -> str:
    """The table an attribute comes from."""
    spec = data.customers.attributes[name]
    return spec.changes.table if spec.changes else spec.table or data.customers.table or ""


def query(source: Source, name: str, some: Sequence[str] | None = None) -> Table:
    """The rows that ``parse`` takes: id, value, and of a history at and known."""
    spec, own = source.data.customers.attributes[name], label(source.data, name)
    table, changes = source.table(own), spec.changes
    path = f"data.yaml: customers.attributes.{name}"
    wanted = {"id": source.data.customers.id, "value": (changes.value if changes else spec.column) or name}
    if changes is None:
        require(table, own, {path: wanted["value"], "data.yaml: customers.id": wanted["id"]})
    else:
        wanted |= {"at": changes.at} | ({"known": changes.known} if changes.known else {})
        require(table, own, {f"{path}.changes.{role}": column for role, column in wanted.items()})
    where = f"{path}.changes" if changes else f"{path}.type: {spec.type}"
    found = {"id": columns.text(table[wanted["id"]])}
    found["value"] = _typed(table[wanted["value"]], spec, f"{own}: {wanted['value']} ({where})")
    for role in ("at", "known"):
        if role in wanted:
            found[role] = columns.time(table[wanted[role]], f"{own}: {wanted[role]}")
    return columns.only(table, wanted["id"], some).select(**found)


def parse(rows: pa.Table, data: Data, name: str, index: pd.Index) -> History:
    """The attribute of the customers in ``index``. Raises DataError on a repeated customer."""
    spec = data.customers.attributes[name]
    if spec.changes:
        return _changing(rows, data, spec, index)
    frame = rows.to_pandas()
    frame = frame[frame["id"].notna()]
    refuse_repeats(frame["id"], f"{label(data, name)}: {data.customers.id}")
    return Static(_plain(frame.set_index("id")["value"].reindex(index), spec))


def _changing(rows: pa.Table, data: Data, spec: Attribute, index: pd.Index) -> Changing:
    day, time = columns.days(rows["at"], data)
    seen = columns.days(rows["known"], data, fill=ALWAYS)[0] if "known" in rows.column_names else day
    frame = pd.DataFrame({"day": day, "known": np.maximum(day, seen), "time": time, "value": rows["value"].to_pandas()})
    frame["customer"] = index.get_indexer(rows["id"].to_pandas())
    frame = frame[(frame["customer"] >= 0) & rows["at"].is_valid().to_pandas()]
    frame = frame.sort_values(["time", "known", "value"], ignore_index=True)
    number, one = np.arange(len(frame), dtype=np.int64), np.ones(len(frame), np.int64)
    code, began, known = (frame[column].to_numpy().astype(np.int32) for column in ("customer", "day", "known"))
    activity = daily(Events(code, began, known, one, one, number, frame["time"].to_numpy()))
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
