"""One customer taken out of what is kept in files: stored daily activity, tables with its id; where else it stands."""

import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as parquet

from features import columns, manifest, partition, store
from features.data_config import Data
from features.errors import DataError, InputError
from features.ready.config import Table
from features.sources import Source

ID, UNIT = "customer_id", "unit"
PARQUET, STREAM = b"PAR1", b"\xff\xff\xff\xff"
Section = tuple[pa.Schema, Iterator[pa.Table]]


def holds(path: Path, customer: str) -> int:
    """How many rows a file has of a customer, or of those who belong to it; 0 for a file that is no such table.

    Raises DataError when damaged.
    """
    rows = 0
    with _readable(path):
        for schema, tables in _sections(path):
            if ID in schema.names:
                rows += sum(_rows(table, ID, customer) + _rows(table, UNIT, customer) for table in tables)
    return rows


def rewrite(path: Path, customer: str, alias: str, into: Path) -> None:
    """Write the rows of all others, in their order, into another file, on the disk when this returns.

    alias: what those who belong to the customer have as their unit from now on.
    """
    with _readable(path), into.open("wb") as file:
        write = _to_parquet if _begins(path) == PARQUET else _to_stream
        for schema, tables in _sections(path):
            write(file, schema, (_alone(_others(table, ID, customer), customer, alias) for table in tables))
        file.flush()
        os.fsync(file.fileno())


def activity(folder: Path, customer: str, about_to: Callable[[int], None]) -> None:
    """Take a customer out of one folder of stored activity. Raises DataError if damaged.

    about_to: told how many rows go, when there are any, before they do. Killed at any point, the store is as it was or
    as it is to be; a second call removes what the first left over.
    """
    with store.locked(folder, fcntl.LOCK_EX):
        state = manifest.load(folder)
        if state is None:
            store.sweep(folder, manifest.Manifest({}))  # nothing here is used: the next update reads everything again
            return
        days, rows = dict(state.days), 0
        for day, own in state.days.items():
            found = sum(_rows(table, "id", customer) for table in partition.read(folder / own.file))
            if found:
                days, rows = days | {day: _day(folder, day, own, customer)}, rows + found
        if rows:
            about_to(rows)
            state = replace(state, days={day: own for day, own in days.items() if own.events})
            state.save(folder)
        store.sweep(folder, state)


def _day(folder: Path, day: int, own: partition.Partition, customer: str) -> partition.Partition:
    tables = (_others(table, "id", customer) for table in partition.read(folder / own.file))
    pieces = [table for table in tables if table.num_rows]
    if not pieces:
        return partition.Partition("", 0, 0)
    return partition.write(folder, partition.named(day), iter(pieces))


def standing(data: Data, customer: str) -> Iterator[tuple[str, str | None]]:
    """The source tables in which a customer stands, and those that cannot be read, with the reason."""
    try:
        source = Source(data)
    except InputError as error:
        yield "all tables", str(error)
        return
    for name, column in sorted(_ids(data)):
        try:
            if column in (table := source.table(name)).columns:
                found = columns.only(table, column, [customer]).limit(1).select(id=columns.text(table[column]))
                if any(piece.num_rows for piece in source.batches(found, name)):
                    yield name, None
        except InputError as error:
            yield name, str(error)


def _ids(data: Data) -> set[tuple[str, str]]:
    """Every table with the column of its customers."""
    if isinstance(data, Table):
        return {(data.table, data.id)}
    found = {(name, data.customers.id) for name in data.tables()}
    if data.subscriptions:
        found.add((data.subscriptions.table, data.subscriptions.id or data.customers.id))
    return found | {(stream.table, stream.id) for stream in data.streams.values() if stream.id}


def sha256(path: Path) -> str | None:
    """Of the content of a file; None where there is none."""
    if not path.is_file():
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, EOFError, OSError) as error:
        if isinstance(error, OSError) and error.errno:  # the system's, which may pass; Arrow's own has no number
            raise
        raise DataError(f"{path}: cannot be read ({str(error).splitlines()[0]}); remove it, or restore it") from None


def _begins(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(4)


def _sections(path: Path) -> Iterator[Section]:
    """The tables of a file, one after the other; each is to be read to its end before the next one."""
    begins = _begins(path)
    if begins == PARQUET:
        with _readable(path), parquet.ParquetFile(path) as file:
            yield file.schema_arrow, (file.read_row_group(group) for group in range(file.num_row_groups))
    elif begins == STREAM:
        with _readable(path), pa.memory_map(str(path)) as source:
            while source.tell() < source.size():
                reader = pa.ipc.open_stream(source)
                batches = iter(reader)
                yield reader.schema, (pa.Table.from_batches([batch]) for batch in batches)
                for _ in batches:
                    pass


def _theirs(table: pa.Table, column: str, customer: str) -> pa.ChunkedArray:
    """Which rows name the customer. A unit may be a number that only counts the units."""
    if column == UNIT and (UNIT not in table.column_names or not pa.types.is_string(table[UNIT].type)):
        return pa.chunked_array([pa.repeat(False, table.num_rows)])
    return pc.fill_null(pc.equal(table[column].cast(pa.string()), customer), False)


def _rows(table: pa.Table, column: str, customer: str) -> int:
    return int(pc.sum(_theirs(table, column, customer)).as_py() or 0)


def _others(table: pa.Table, column: str, customer: str) -> pa.Table:
    """Copies without the customer: also the words of a dictionary are only those that are still in use."""
    table = table.filter(pc.invert(_theirs(table, column, customer)))
    for place, field in enumerate(table.schema):
        if pa.types.is_dictionary(field.type):
            words = table.column(place).cast(field.type.value_type).combine_chunks().dictionary_encode()
            table = table.set_column(place, field, words.cast(field.type))
    return table


def _alone(table: pa.Table, customer: str, alias: str) -> pa.Table:
    """With the alias where the unit is the customer."""
    theirs = _theirs(table, UNIT, customer)
    if not pc.any(theirs).as_py():
        return table
    place = table.column_names.index(UNIT)
    return table.set_column(place, table.schema.field(place), pc.if_else(theirs, alias, table[UNIT]))


def _to_parquet(file: BinaryIO, schema: pa.Schema, tables: Iterator[pa.Table]) -> None:
    with parquet.ParquetWriter(file, schema) as writer:
        for table in tables:
            writer.write_table(table.cast(schema), row_group_size=max(table.num_rows, 1))


def _to_stream(file: BinaryIO, schema: pa.Schema, tables: Iterator[pa.Table]) -> None:
    with pa.ipc.new_stream(file, schema) as writer:
        for table in tables:
            for batch in table.combine_chunks().to_batches():
                writer.write_batch(batch)
