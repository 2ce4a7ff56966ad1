"""Many rows into one table, at the speed of the driver, in the transaction of a connection."""

from collections.abc import Callable, Iterable, Sequence
from itertools import chain, repeat
from typing import Any

from sqlalchemy import JSON, Column, Connection, Float, String, Table
from sqlalchemy.exc import DBAPIError

from features.errors import DataError
from serving.stores.database import json_text

CACHE = -65_536  # KiB, negative as SQLite wants it: a batch that does not fit locks readers out while it is made


def insert(connection: Connection, table: Table, run_id: int, rows: Sequence[dict[str, Any]]) -> None:
    """Insert rows of a run, PostgreSQL by COPY; a column that a row lacks is NULL.

    Raises DataError for a NUL character or a text longer than its column, on either database.
    """
    names = list(dict.fromkeys(chain.from_iterable(rows))) if _differ(rows) else list(rows[0])
    values = _values(connection, [table.columns[name] for name in names], run_id, rows)
    listed = ", ".join(f'"{name}"' for name in (*names, "run_id"))
    try:
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql(f"PRAGMA cache_size={CACHE}")
            marks = ", ".join("?" * (len(names) + 1))
            connection.connection.cursor().executemany(f"INSERT INTO {table.name} ({listed}) VALUES ({marks})", values)
        else:
            with connection.connection.cursor().copy(f"COPY {table.name} ({listed}) FROM STDIN") as copy:
                for row in values:
                    copy.write_row(row)
    except connection.dialect.loaded_dbapi.Error as error:
        raise _wrapped(connection, error) from error


def _differ(rows: Sequence[dict[str, Any]]) -> bool:
    known = rows[0].keys()
    return any(row.keys() != known for row in rows)


def _values(
    connection: Connection, columns: list[Column[Any]], run_id: int, rows: Sequence[dict[str, Any]]
) -> list[Sequence[Any]]:
    """The rows as the driver takes them, the run last."""
    kept: list[Iterable[Any]] = []
    for column in columns:
        cells = [row.get(column.name) for row in rows]
        _check(column, cells)
        change = _change(connection, column)
        kept.append([None if value is None else change(value) for value in cells] if change else cells)
    return list(zip(*kept, repeat(run_id)))


def _change(connection: Connection, column: Column[Any]) -> Callable[[Any], Any] | None:
    if isinstance(column.type, JSON):
        return json_text
    if isinstance(column.type, Float):
        return None  # both drivers take numbers as they are
    return column.type.dialect_impl(connection.dialect).bind_processor(connection.dialect)


def _check(column: Column[Any], values: list[Any]) -> None:
    if not isinstance(column.type, String):
        return
    most = column.type.length or 0
    bad = [value for value in values if value is not None and (len(value) > most or "\0" in value)]
    if bad:
        raise DataError(
            f"{column.table.name}: {column.name}: {len(bad):,} texts hold a NUL character or more than {most} "
            "characters, which the store cannot keep; correct them in the customer table"
        )


def _wrapped(connection: Connection, error: Any) -> DBAPIError:
    """The driver's error as SQLAlchemy would raise it; a lost connection is not used again."""
    dialect = connection.dialect
    lost = dialect.is_disconnect(error, connection.connection.driver_connection, None)
    if lost:
        connection.invalidate(error)
    base = dialect.loaded_dbapi.Error
    wrapped = DBAPIError.instance(None, None, error, base, True, lost, dialect)
    assert isinstance(wrapped, DBAPIError)
    return wrapped
