"""Statements of every turn, passed directly to the driver.

SQLAlchemy compiles the SQL once, and neither statements nor rows pass through it again: its overhead would be
more than half of a small transaction.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Table
from sqlalchemy.exc import DBAPIError

from kaon_service.databases import Database


class Bulk:
    """One statement, executed for each of many rows."""

    def __init__(self, database: Database, statement: Any, columns: Sequence[str]) -> None:
        compiled = statement.compile(dialect=database.writer.dialect)
        self._sql = str(compiled)
        expected = tuple(compiled.positiontup or ())
        if expected != tuple(columns):
            raise AssertionError(f"rows have the columns {columns}, the statement takes {expected}")

    def execute(self, connection: Connection, rows: Sequence[tuple[Any, ...]]) -> int:
        """Execute the statement for every row, if there are any, and return the number of changed rows."""
        if not rows:
            return 0
        with self._cursor(connection) as cursor:
            cursor.executemany(self._sql, rows)
            return int(cursor.rowcount)

    def execute_one(self, connection: Connection, row: tuple[Any, ...]) -> int:
        """Execute the statement for one row and return the number of changed rows."""
        with self._cursor(connection) as cursor:
            cursor.execute(self._sql, row)
            return int(cursor.rowcount)

    @contextmanager
    def _cursor(self, connection: Connection) -> Iterator[Any]:
        """Return the driver's cursor; convert its errors to SQLAlchemy's, and discard a broken connection."""
        dialect = connection.dialect
        cursor = connection.connection.cursor()
        try:
            yield cursor
        except dialect.loaded_dbapi.Error as error:
            broken = dialect.is_disconnect(error, connection.connection, cursor)
            if broken:
                connection.invalidate(error)
            raise DBAPIError.instance(
                self._sql,
                None,
                error,
                dialect.loaded_dbapi.Error,
                hide_parameters=True,
                connection_invalidated=broken,
                dialect=dialect,
            ) from error
        finally:
            cursor.close()


def upsert(database: Database, table: Table) -> Any:
    """Insert a row of all columns, or replace the row with its primary key."""
    statement = database.insert(table)
    keys = [column.name for column in table.primary_key]
    values = {
        column.name: statement.excluded[column.name]
        for column in table.columns
        if column.name not in keys
    }
    return statement.on_conflict_do_update(index_elements=keys, set_=values)
