"""Statements for many rows, straight to the driver: SQLAlchemy writes the SQL once, and no row passes through it again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Table

from kaon_coordinator.store.database import Database


class Bulk:
    """One statement, run for each of many rows."""

    def __init__(self, database: Database, statement: Any, columns: Sequence[str]) -> None:
        compiled = statement.compile(dialect=database.writer.dialect)
        self._sql = str(compiled)
        expected = tuple(compiled.positiontup or ())
        if expected != tuple(columns):
            raise AssertionError(f"rows have the columns {columns}, the statement takes {expected}")

    def execute(self, connection: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
        """Runs the statement for every row; nothing happens without one."""
        if rows:
            connection.exec_driver_sql(self._sql, list(rows))

    def execute_one(self, connection: Connection, row: tuple[Any, ...]) -> int:
        """Runs the statement for one row and returns how many rows of the table it has changed."""
        return connection.exec_driver_sql(self._sql, row).rowcount


def upsert(database: Database, table: Table) -> Any:
    """Inserts a row of all columns, or replaces what stands under its primary key."""
    statement = database.insert(table)
    keys = [column.name for column in table.primary_key]
    values = {
        column.name: statement.excluded[column.name] for column in table.columns if column.name not in keys
    }
    return statement.on_conflict_do_update(index_elements=keys, set_=values)
