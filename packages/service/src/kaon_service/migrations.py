"""Migrates a database before anything else uses it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import (
    Column,
    Connection,
    MetaData,
    String,
    Table,
    column,
    inspect,
    select,
    table,
    text,
)

from kaon_service.databases import Database
from kaon_wire.errors import Conflict

if TYPE_CHECKING:
    from alembic.config import Config


@dataclass(frozen=True, kw_only=True)
class Migrations:
    """The migrations of one service's tables."""

    # Alembic's directory, with `env.py` and `versions/`.
    scripts: Path
    # The newest of `versions/`; a test keeps them equal. Repeated here so that an up-to-date database, the
    # common case, is recognised without loading Alembic.
    head: str
    # An advisory lock: any number that no other program on the same PostgreSQL database uses.
    lock: int
    # The tables as the newest migration leaves them; a test holds them together. An empty SQLite database gets them at once.
    tables: MetaData
    # What else the migrations make on SQLite, such as triggers.
    sqlite_extras: tuple[str, ...] = ()
    # The table of the database's revision; services that share a database have different ones.
    version_table: str = "alembic_version"

    def apply(self, database: Database) -> None:
        """Apply missing migrations in one transaction; processes that start together do it one after the other.

        Raises:
            Conflict: The database belongs to a newer version of Kaon.
        """
        with database.writer.begin() as connection:
            if not database.is_sqlite:
                connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": self.lock})
            if self.revision(connection) == self.head:
                return
            if database.is_sqlite and not inspect(connection).get_table_names():
                self._create(connection)
            else:
                self._upgrade(connection)

    def _create(self, connection: Connection) -> None:
        """Create everything in an empty database, without loading Alembic: that takes longer than the rest of a start."""
        self.tables.create_all(connection)
        for statement in self.sqlite_extras:
            connection.execute(text(statement))
        mark = Table(
            self.version_table,
            MetaData(),
            Column("version_num", String(32), primary_key=True, nullable=False),
        )
        mark.create(connection)
        connection.execute(mark.insert().values(version_num=self.head))

    def revision(self, connection: Connection) -> str | None:
        """Return the newest migration in the database; None when it has none."""
        if not inspect(connection).has_table(self.version_table):
            return None
        revision: str | None = connection.execute(
            select(column("version_num")).select_from(table(self.version_table))
        ).scalar()
        return revision

    def config(self, connection: Connection | None = None) -> Config:
        """Return the configuration for Alembic's commands."""
        from alembic.config import Config

        config = Config()
        config.set_main_option("script_location", str(self.scripts).replace("%", "%%"))
        config.set_main_option("path_separator", "os")
        config.attributes.update(connection=connection, version_table=self.version_table)
        return config

    def _upgrade(self, connection: Connection) -> None:
        from alembic import command
        from alembic.util import CommandError

        try:
            command.upgrade(self.config(connection), "head")
        except CommandError as error:
            raise Conflict(
                f"the database is at revision {self.revision(connection)}, which this version of Kaon does not know: "
                f"use a newer version of Kaon ({error})"
            ) from error
