"""Prepares a database for services that may not change its tables: migrates it, and grants their roles what they need."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from kaon_service.databases import Database, Durability, open_database
from kaon_service.migrations import Migrations
from kaon_wire.errors import InvalidValue, KaonError

# Of PostgreSQL's own names: what needs no quotes.
_ROLE = re.compile(r"[a-z_][a-z0-9_]{0,62}\Z")


class Rights(StrEnum):
    """What a role may do with the rows of a table."""

    READ = "SELECT"
    WRITE = "SELECT, INSERT, UPDATE, DELETE"


@dataclass(frozen=True, kw_only=True)
class Part:
    """The tables of one part of Kaon in the database."""

    migrations: Migrations
    # What those may do with them who only look at the rest.
    readers: Rights = Rights.READ


def prepare(
    database: Database, parts: Iterable[Part], *, writers: Sequence[str], readers: Sequence[str]
) -> None:
    """Migrate the database and grant rights; both may be done again at any time.

    Args:
        database: The connection of a role that owns the tables, or will.
        parts: The tables.
        writers: Roles that read and write all tables.
        readers: Roles that read.

    Raises:
        InvalidValue: A role has another form of name, or does not exist, or the database has no roles.
        Conflict: The database belongs to a newer version of Kaon.
    """
    roles = (*writers, *readers)
    if wrong := [role for role in roles if not _ROLE.match(role)]:
        raise InvalidValue(
            f"role {wrong[0]!r}: use lower-case letters, digits and underscores, at most 63"
        )
    if roles and database.is_sqlite:
        raise InvalidValue("SQLite has no roles: whoever may write the file may do everything")
    for part in parts:
        part.migrations.apply(database)
        with database.writer.begin() as connection:
            for role in writers:
                _grant(connection, part.migrations, role, Rights.WRITE)
            for role in readers:
                _grant(connection, part.migrations, role, part.readers)


def _grant(connection: Connection, migrations: Migrations, role: str, rights: Rights) -> None:
    connection.execute(text(f"GRANT USAGE ON SCHEMA public TO {role}"))
    for name in migrations.tables.tables:
        connection.execute(text(f"GRANT {rights} ON {name} TO {role}"))
    # Each start looks which migration the database is at.
    connection.execute(text(f"GRANT SELECT ON {migrations.version_table} TO {role}"))


def run(program: str, variable: str, parts: Sequence[Part]) -> int:
    """Run the command line of one service.

    Args:
        program: How it is called.
        variable: The environment variable with the database's URL.
        parts: The service's tables.

    Returns:
        The exit code: 0 prepared, 1 the database refused, 2 invalid arguments.
    """
    parser = argparse.ArgumentParser(
        prog=program,
        description="Migrates the database and grants roles the least that services need. Run it as the role that owns the tables, "
        f"before the services of a new version start; {variable} has the URL.",
    )
    parser.add_argument(
        "--writer", action="append", default=[], help="a role that reads and writes; repeatable"
    )
    parser.add_argument(
        "--reader", action="append", default=[], help="a role that only reads; repeatable"
    )
    given = parser.parse_args()
    try:
        database = open_database(os.environ.get(variable, ""), Durability.FULL)
    except KaonError as error:
        print(f"{program}: {variable}: {error}", file=sys.stderr)
        return 2
    try:
        prepare(database, parts, writers=given.writer, readers=given.reader)
    except (KaonError, DBAPIError) as error:
        print(f"{program}: {error}", file=sys.stderr)
        return 1
    finally:
        database.close()
    print(f"{len(parts)} parts of the database are ready")
    return 0
