"""Connections to the two databases, their differences and their refusals."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, Table, create_engine, event
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from kaon_service.errors import DatabaseFull, DatabaseUnavailable
from kaon_wire.errors import InvalidValue
from kaon_wire.postgres import connect_arguments

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql

# Another process may hold SQLite's only write lock; its transactions take milliseconds.
_BUSY_MS = 20_000
# Pages after which SQLite checkpoints its write-ahead log: 32 MiB, so that it seldom stalls a commit.
_CHECKPOINT_PAGES = 8_000
# As many as threads read: the engine's, the callers' and those of long reads.
_READ_CONNECTIONS = 6
# PostgreSQL's classes of errors caused by the written values, though its driver may call them operational (an
# index cannot take so long a value). A retry gets the same answer.
_DATA_CLASSES = ("22", "23", "54")
# PostgreSQL's code of a statement for which there is no space.
_DISK_FULL = "53100"


class Durability(StrEnum):
    """What a committed transaction survives."""

    # A crash of the machine.
    FULL = "full"
    # A crash of the process; a machine that loses power may lose the newest transactions.
    RELAXED = "relaxed"


@dataclass(frozen=True, kw_only=True)
class Database:
    """One engine for writing transactions and one for read-only ones."""

    writer: Engine
    reader: Engine

    @property
    def is_sqlite(self) -> bool:
        """Tell whether this is the embedded database."""
        return self.writer.dialect.name == "sqlite"

    def insert(self, table: Table) -> sqlite.Insert | postgresql.Insert:
        """Return an INSERT with this database's ON CONFLICT."""
        if self.is_sqlite:
            return sqlite.insert(table)
        # Takes as long to load as many runs take that do without it.
        from sqlalchemy.dialects import postgresql

        return postgresql.insert(table)

    def close(self) -> None:
        """Close every connection."""
        self.reader.dispose()
        self.writer.dispose()


def open_database(url: str, durability: Durability) -> Database:
    """Prepare connections to `sqlite:///FILE` or `postgresql+psycopg://USER@HOST:PORT/NAME`; none is opened yet.

    Raises:
        InvalidValue: The URL names neither.
    """
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise InvalidValue(f"not a database URL: {error}") from error
    if parsed.get_backend_name() == "sqlite" and parsed.database not in {None, "", ":memory:"}:
        return _sqlite(parsed, durability)
    if parsed.drivername == "postgresql+psycopg":
        return _postgresql(parsed, durability)
    shown = parsed.render_as_string(hide_password=True)
    raise InvalidValue(
        f"database {shown}: use sqlite:///FILE or postgresql+psycopg://USER@HOST:PORT/NAME"
    )


@contextmanager
def refusals(what: str) -> Iterator[None]:
    """Convert temporary refusals of a database to `DatabaseUnavailable`, those for lack of space to `DatabaseFull`."""
    try:
        yield
    except (OperationalError, InterfaceError, PoolTimeout) as error:
        if _refuses_the_data(error):
            raise
        if _lacks_space(error):
            raise DatabaseFull(f"the database's disk is full ({what}): {error.args[0]}") from error
        raise DatabaseUnavailable(
            f"the database does not answer ({what}): {error.args[0]}"
        ) from error
    except DBAPIError as error:
        if error.connection_invalidated:
            words = f"the connection to the database broke ({what}): {error.args[0]}"
            raise DatabaseUnavailable(words) from error
        raise


def _sqlite(url: URL, durability: Durability) -> Database:
    synchronous = "FULL" if durability is Durability.FULL else "NORMAL"
    settings = (
        "PRAGMA journal_mode=WAL",
        f"PRAGMA synchronous={synchronous}",
        f"PRAGMA busy_timeout={_BUSY_MS}",
        f"PRAGMA wal_autocheckpoint={_CHECKPOINT_PAGES}",
        "PRAGMA foreign_keys=ON",
        "PRAGMA cache_size=-32000",
    )
    writer = create_engine(url, pool_size=1, max_overflow=0)
    # IMMEDIATE: a writing transaction never has to upgrade a read lock, which SQLite may refuse.
    _use_transactions(writer, settings, "BEGIN IMMEDIATE")
    reader = create_engine(url, pool_size=_READ_CONNECTIONS, max_overflow=0)
    _use_transactions(reader, (*settings, "PRAGMA query_only=ON"), "BEGIN")
    return Database(writer=writer, reader=reader)


def _use_transactions(engine: Engine, settings: Sequence[str], begin: str) -> None:
    """Control transactions here instead of in Python's driver, which begins them late."""

    @event.listens_for(engine, "connect")
    def connect(connection: Any, _record: object) -> None:
        connection.isolation_level = None
        for setting in settings:
            connection.execute(setting).close()

    @event.listens_for(engine, "begin")
    def start(connection: Connection) -> None:
        connection.connection.execute(begin).close()


def _postgresql(url: URL, durability: Durability) -> Database:
    synchronous = "on" if durability is Durability.FULL else "off"
    arguments = connect_arguments(f"-c synchronous_commit={synchronous} -c timezone=UTC")
    # READ COMMITTED, the default: an update that waited for a lock sees the other's commit, which the fence
    # needs.
    writer = create_engine(
        url, connect_args=arguments, pool_size=2, max_overflow=2, paramstyle="format"
    )
    reader = create_engine(url, connect_args=arguments, pool_size=_READ_CONNECTIONS, max_overflow=0)
    return Database(writer=writer, reader=reader)


def _lacks_space(error: Exception) -> bool:
    refusal = getattr(error, "orig", None)
    if isinstance(refusal, sqlite3.Error):
        return getattr(refusal, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
    return getattr(refusal, "sqlstate", None) == _DISK_FULL


def _refuses_the_data(error: Exception) -> bool:
    state = getattr(getattr(error, "orig", None), "sqlstate", None)
    return isinstance(state, str) and state.startswith(_DATA_CLASSES)
