"""Many rows into one table, at the speed of the driver, in the transaction of a connection."""

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import JSON, Column, Connection, String, Table
from sqlalchemy.exc import DBAPIError

from features.errors import DataError
from serving.database import json_text

CACHE = -65_536  # KiB, negative as SQLite wants it: a batch that does not fit locks readers out while it is made


def insert(connection: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    """Insert rows, PostgreSQL by COPY; a column that a row lacks is NULL.

    Raises DataError for a NUL character or a text longer than its column, on either database.
    """
    columns = list(table.columns)
    names = ", ".join(f'"{column.name}"' for column in columns)
    values = _values(connection, columns, rows)
    try:
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql(f"PRAGMA cache_size={CACHE}")
            marks = ", ".join("?" * len(columns))
            connection.connection.cursor().executemany(f"INSERT INTO {table.name} ({names}) VALUES ({marks})", values)
        else:
            with connection.connection.cursor().copy(f"COPY {table.name} ({names}) FROM STDIN") as copy:
                for row in values:
                    copy.write_row(row)
    except connection.dialect.loaded_dbapi.Error as error:
        raise _wrapped(connection, error) from error


def _values(connection: Connection, columns: list[Column[Any]], rows: Sequence[dict[str, Any]]) -> list[Sequence[Any]]:
    """The rows as the driver takes them."""
    kept = [[row.get(column.name) for row in rows] for column in columns]
    for number, column in enumerate(columns):
        _check(column, kept[number])
        if change := _change(connection, column):
            kept[number] = [None if value is None else change(value) for value in kept[number]]
    return list(zip(*kept))


def _change(connection: Connection, column: Column[Any]) -> Callable[[Any], Any] | None:
    if isinstance(column.type, JSON):
        return json_text
    return column.type.dialect_impl(connection.dialect).bind_processor(connection.dialect)


def _check(column: Column[Any], values: list[Any]) -> None:
    if not isinstance(column.type, String):
        return
    most = column.type.length or 0
    bad = sum(1 for value in values if value is not None and ("\0" in value or len(value) > most))
    if bad:
        raise DataError(
            f"{column.table.name}: {column.name}: {bad:,} texts hold a NUL character or more than {most} characters, "
            "which the store cannot keep; correct them in the customer table"
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
