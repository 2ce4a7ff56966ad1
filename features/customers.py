"""The customers: id, parent, owner, name, since when they are known."""

from collections.abc import Sequence

import pandas as pd
import pyarrow as pa

from features import columns
from features.errors import DataError
from features.sources import Source, fetch, require

ALWAYS = -(2**31)


def load(source: Source, some: Sequence[str] | None = None) -> pd.DataFrame:
    """One row per customer, sorted by id; the row number is the customer's code everywhere.

    Columns: id, unit (parent, else the customer), known_from (day number), name, owner, opted_out. Raises DataError
    on an empty table, a null or a repeated id.
    """
    spec = source.data.customers
    if spec.table is None:
        stream = source.data.streams[spec.from_stream or ""]
        table = source.table(stream.table)
        column = stream.id or spec.id
        require(table, stream.table, {f"data.yaml: streams.{spec.from_stream}.id": column})
        ids = columns.only(table, column, some).select(id=columns.key(table[column])).distinct()
        found = fetch(ids, stream.table)["id"].drop_null().cast(pa.string())
        frame = pd.DataFrame({"id": found.to_pandas()}).sort_values("id", ignore_index=True)
        return frame.assign(unit=frame["id"], known_from=ALWAYS, name=None, owner=None, opted_out=False)
    table = source.table(spec.table)
    named = {"id": spec.id, "unit": spec.parent, "known_from": spec.known_from, "name": spec.name}
    named |= {"owner": spec.owner, "opted_out": spec.opted_out}
    wanted = {role: column for role, column in named.items() if column}
    require(table, spec.table, {f"data.yaml: customers.{role}": column for role, column in wanted.items()})
    query = {
        role: columns.text(table[column]) for role, column in wanted.items() if role not in ("known_from", "opted_out")
    }
    if spec.known_from:
        query["known_from"] = columns.time(table[spec.known_from], f"{spec.table}: {spec.known_from}")
    if spec.opted_out:
        query["opted_out"] = columns.flag(table[spec.opted_out], f"{spec.table}: {spec.opted_out}")
    rows = fetch(columns.only(table, spec.id, some).select(**query), spec.table)
    if rows.num_rows == 0 and some is None:
        raise DataError(f"{spec.table}: no customer in it; give a table with one row a customer")
    known_from = columns.days(rows["known_from"], source.data, fill=ALWAYS)[0] if spec.known_from else ALWAYS
    frame = rows.to_pandas().assign(known_from=known_from)
    refuse_repeats(frame["id"], f"{spec.table}: {spec.id}")
    for column in ("name", "owner"):
        frame[column] = frame[column].astype(object).where(frame[column].notna(), None) if column in frame else None
    frame["opted_out"] = frame["opted_out"].fillna(0).astype(bool) if spec.opted_out else False
    frame["unit"] = frame["unit"].fillna("~" + frame["id"]) if spec.parent else frame["id"]
    return frame.sort_values("id", ignore_index=True)


def refuse_repeats(ids: pd.Series, label: str) -> None:
    """Raise DataError unless every row has an id and each id one row."""
    if ids.isna().any():
        raise DataError(f"{label}: {ids.isna().sum():,} rows have no customer id; remove them")
    twice = ids[ids.duplicated()]
    if len(twice):
        raise DataError(
            f"{label}: {twice.nunique():,} customers stand in more than one row (first: {twice.iloc[0]}); "
            "one row a customer is needed"
        )
