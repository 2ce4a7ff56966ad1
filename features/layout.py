"""All tables of some customers in one frame of few columns, and the facts again that lie in some of its rows."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from features import attributes, customers, events, pushdown, subscriptions
from features.data_config import Data, workspace
from features.erased import Erased
from features.facts import Facts
from features.gathered import Codes, Gathered
from features.scratch import Space
from features.sources import Column, Source, Table

KINDS = {"n": "int64", "x": "float64", "s": "string"}


@dataclass(frozen=True)
class Sheet:
    """One table of the frame: its own columns with their types, and in which slot (n0, x0, s0 …) each but id lies."""

    schema: pa.Schema
    slots: dict[str, str]

    def laid(self, table: Table) -> Table:
        """The query with its columns in their slots: the id as text, times and days as whole numbers."""
        slots = {slot: _plain(table[column]) for column, slot in self.slots.items() if column != "id"}
        return table.select(id=table["id"].cast("string"), **slots)

    def rows(self, batches: list[pa.RecordBatch]) -> pa.Table:
        """The rows as the query gave them, but for the id, which is text."""
        if not batches:
            return self.schema.empty_table()
        columns = {name: pa.chunked_array([batch[slot] for batch in batches]) for name, slot in self.slots.items()}
        return pa.table({field.name: _cast(columns[field.name], field.type) for field in self.schema})


@dataclass(frozen=True)
class Layout:
    """The tables of one frame by name; in its column ``sheet`` stands the place of a row's table among them.

    erased: goes with it, for an executor does not see the workspace.
    """

    data: Data
    today: int
    sheets: dict[str, Sheet]
    erased: Erased

    def facts(self, batches: Iterable[pa.RecordBatch]) -> Facts:
        """The facts of the customers whose rows these are, in any order: the walk of ``facts.read``."""
        tables, data = self._tables(batches), self.data
        everyone = customers.parse(tables["customers"], data, self.erased)
        index = pd.Index(everyone["id"])
        terms = subscriptions.parse(tables["subscriptions"], data, index) if data.subscriptions else None
        own = data.customers.attributes
        histories = {name: attributes.parse(tables[f"attribute {name}"], data, name, index) for name in own}
        codes, space, gathered = Codes(index), Space(), list[Gathered]()
        for name, spec in data.streams.items():
            gathered.append(Gathered({name: spec}, codes, space, self.today))
            gathered[-1].add(events.of_rolled(tables.pop(f"stream {name}"), data, name))
            gathered[-1].close(whole=False)
        return Facts(data, everyone, terms, histories, gathered, self.today)

    def _tables(self, batches: Iterable[pa.RecordBatch]) -> dict[str, pa.Table]:
        found: list[list[pa.RecordBatch]] = [[] for _ in self.sheets]
        for batch in batches:
            for number in pc.unique(batch["sheet"]).to_pylist():
                found[number].append(batch.filter(pc.equal(batch["sheet"], number)))
        return {name: sheet.rows(own) for own, (name, sheet) in zip(found, self.sheets.items())}


def queries(source: Source) -> dict[str, Table]:
    """The tables of ``data.yaml`` by name, each with a column ``id``; streams rolled up. Raises DataError."""
    data = source.data
    found = {"customers": customers.query(source)}
    if data.subscriptions:
        found["subscriptions"] = subscriptions.query(source)
    found |= {f"attribute {name}": attributes.query(source, name) for name in data.customers.attributes}
    return found | {f"stream {name}": events.rolled(source, name) for name in data.streams}


def of(data: Data, today: int, tables: dict[str, Table]) -> Layout:
    """Where each column of the tables goes: the fewest columns, for each costs 8 bytes in every row of Spark."""
    sheets = {name: _sheet(table) for name, table in tables.items()}
    return Layout(data, today, sheets, Erased.of(workspace(data)))


def _sheet(table: Table) -> Sheet:
    number, slots = Counter[str](), {"id": "id"}
    for name in table.columns:
        if name != "id":
            letter = _letter(table[name])
            slots[name] = f"{letter}{number[letter]}"
            number[letter] += 1
    kinds = {name: kind.to_pyarrow() for name, kind in table.schema().items()}
    return Sheet(pa.schema(list((kinds | {"id": pa.string()}).items())), slots)


def _letter(column: Column) -> str:
    kind = column.type()
    return "s" if kind.is_string() else "x" if kind.is_floating() else "n"


def _plain(column: Column) -> Column:
    kind = column.type()
    if kind.is_timestamp() or kind.is_date():
        return pushdown.whole(column)
    return column.cast(KINDS[_letter(column)])


def _cast(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    return column.cast(pa.int32()).cast(kind) if pa.types.is_date32(kind) else column.cast(kind)
