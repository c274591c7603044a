"""Brings a database up to date before anything else uses it."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, inspect, text

from kaon_coordinator.store.database import Database
from kaon_wire.errors import Conflict

# The newest of migrations/versions; a test holds them together. Known here so that an up-to-date database, the common case, is
# recognised without loading Alembic.
HEAD = "0006"

# Any number, as long as no other program on the same PostgreSQL database uses it.
_LOCK = 5_262_030


def migrate(database: Database) -> None:
    """Applies the missing migrations in one transaction; processes that start together do it one after the other.

    Raises:
        Conflict: the database belongs to a newer version of Kaon.
    """
    with database.writer.begin() as connection:
        if not database.is_sqlite:
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        if revision(connection) != HEAD:
            _upgrade(connection)


def revision(connection: Connection) -> str | None:
    """The newest migration that the database has; None when it is empty."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def _upgrade(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise Conflict(
            f"the database is at revision {revision(connection)}, which this version of Kaon does not know: "
            f"use a newer version of Kaon ({error})"
        ) from error
