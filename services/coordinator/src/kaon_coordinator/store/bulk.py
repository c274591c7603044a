"""Statements of every turn, passed directly to the driver.

SQLAlchemy compiles the SQL once, and neither statements nor rows pass through it again: its overhead would be
more than half of a small transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import ARRAY, Connection, Table, bindparam, func, select
from sqlalchemy.exc import DBAPIError

from kaon_service.databases import Database

# Fewer rows than that cost no more one by one.
_FEW = 4


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
            self._send(cursor, rows)
            return int(cursor.rowcount)

    def execute_one(self, connection: Connection, row: tuple[Any, ...]) -> int:
        """Execute the statement for one row and return the number of changed rows."""
        with self._cursor(connection) as cursor:
            cursor.execute(self._sql, row)
            return int(cursor.rowcount)

    def _send(self, cursor: Any, rows: Sequence[tuple[Any, ...]]) -> None:
        cursor.executemany(self._sql, rows)

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


class BulkRows(Bulk):
    """Inserts rows of all columns of a table, or replaces those with their primary keys.

    PostgreSQL takes several with one statement, whose parameters are the columns: to bind and execute a statement for each
    costs both sides twice as much. A row's key must not come twice, then.

    Args:
        database: Where the table is.
        table: The table.
        complete: Completes the insert, from the one without conflicts.
    """

    def __init__(
        self,
        database: Database,
        table: Table,
        complete: Callable[[Any], Any] = lambda insert: insert,
    ) -> None:
        names = [column.name for column in table.columns]
        super().__init__(database, complete(database.insert(table)), names)
        self._arrays: _Arrays | None = None
        if not database.is_sqlite:
            self._arrays = _Arrays(database, table, complete)

    def _send(self, cursor: Any, rows: Sequence[tuple[Any, ...]]) -> None:
        if self._arrays is None or len(rows) < _FEW:
            super()._send(cursor, rows)
        else:
            cursor.execute(self._arrays.sql, self._arrays.of(rows))


class _Arrays:
    """An insert of many rows whose parameters are arrays, one for each column."""

    def __init__(self, database: Database, table: Table, complete: Callable[[Any], Any]) -> None:
        # Takes as long to load as many runs take that do without it.
        from psycopg.types.numeric import Int8

        columns = list(table.columns)
        given = (bindparam(f"all_{each.name}", type_=ARRAY(each.type)) for each in columns)
        source = func.unnest(*given).table_valued(*(each.name for each in columns))
        chosen = select(*source.render_derived().c)
        insert = complete(database.insert(table).from_select(columns, chosen))
        compiled = insert.compile(dialect=database.writer.dialect)
        # %b: values in binary form.
        self.sql = str(compiled).replace("%s::", "%b::")
        # The driver gives numbers the smallest type that holds them: each mixture of types would be another statement.
        self._numbers = [Int8 if each.type.python_type is int else None for each in columns]

    def of(self, rows: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
        """Return the columns of rows."""
        columns = zip(*rows, strict=True)
        return [
            list(map(number, column) if number is not None else column)
            for number, column in zip(self._numbers, columns, strict=True)
        ]


def upserts(database: Database, table: Table) -> BulkRows:
    """Return the statement that inserts rows of all columns, or replaces those with their primary keys."""
    return BulkRows(database, table, lambda insert: _replacing(insert, table))


def upsert(database: Database, table: Table) -> Any:
    """Insert a row of all columns, or replace the row with its primary key."""
    return _replacing(database.insert(table), table)


def _replacing(statement: Any, table: Table) -> Any:
    keys = [column.name for column in table.primary_key]
    values = {
        column.name: statement.excluded[column.name]
        for column in table.columns
        if column.name not in keys
    }
    return statement.on_conflict_do_update(index_elements=keys, set_=values)
