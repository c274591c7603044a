"""Roles of services that own nothing, over TLS, at a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from kaon_coordinator.prepare_database import PARTS
from kaon_coordinator.store.sql import open_store
from kaon_coordinator.store.view_reads import open_view_reads
from kaon_local.postgres import Postgres, temporary_postgres
from kaon_service.audit.store import AuditStore
from kaon_service.databases import Durability, open_database
from kaon_service.preparing import prepare
from kaon_wire.errors import InvalidValue, Unavailable
from kaonapi.workflow.v1 import definition_pb2

pytestmark = pytest.mark.real
_INSUFFICIENT_PRIVILEGE = "42501"
WRITER, READER = "kaon_coordinator", "kaon_view"


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with temporary_postgres(durable=False, tls=True) as server:
        database = open_database(server.url, Durability.RELAXED)
        with database.writer.begin() as connection:
            for role in (WRITER, READER):
                connection.execute(text(f"CREATE ROLE {role} LOGIN NOSUPERUSER"))
            connection.execute(text("REVOKE ALL ON SCHEMA public FROM PUBLIC"))
        # Twice: it may be done again.
        for _ in range(2):
            prepare(database, PARTS, writers=[WRITER], readers=[READER])
        database.close()
        yield server


def refused(url: str, statement: str) -> bool:
    database = open_database(url, Durability.RELAXED)
    try:
        with database.writer.begin() as connection:
            connection.execute(text(statement))
    except ProgrammingError as error:
        return getattr(error.orig, "sqlstate", "") == _INSUFFICIENT_PRIVILEGE
    finally:
        database.close()
    return False


def test_a_coordinator_works_as_a_role_that_owns_no_table(server: Postgres) -> None:
    store = open_store(server.url_of(WRITER))
    definition = definition_pb2.WorkflowDefinition(name="w")
    store.put_workflow("default", definition, "v1", 1)
    assert store.get_workflow("default", "w", "v1").version == "v1"
    epoch = store.claim_partition(0, "me")
    assert store.claim_partition(0, "you") == epoch + 1
    store.close()
    audit = AuditStore(server.url_of(WRITER))
    audit.close()


def test_a_view_reads_all_that_it_shows_and_changes_nothing(server: Postgres) -> None:
    reads = open_view_reads(server.url_of(READER))
    assert reads.store.list_schedules("default") == []
    reads.close()
    AuditStore(server.url_of(READER)).close()
    for statement in (
        "DELETE FROM runs",
        "INSERT INTO permits VALUES (1)",
        "UPDATE runs SET seq=0",
    ):
        assert refused(server.url_of(READER), statement)


@pytest.mark.parametrize("role", [WRITER, READER])
@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE runs",
        "CREATE TABLE mine (n int)",
        "DELETE FROM alembic_version",
        "ALTER TABLE runs ADD n int",
    ],
)
def test_no_service_changes_tables(server: Postgres, role: str, statement: str) -> None:
    assert refused(server.url_of(role), statement)


def test_a_certificate_of_another_authority_and_a_line_without_tls_are_refused(
    server: Postgres, tmp_path: Path
) -> None:
    trustme.CA().cert_pem.write_to_path(tmp_path / "foreign.pem")
    url = server.url_of(WRITER)
    foreign = url.replace(str(server.ca), str(tmp_path / "foreign.pem"))
    for wrong in (
        foreign,
        url.replace("sslmode=verify-full", "sslmode=disable"),
        # The certificate is for the address alone.
        url.replace("127.0.0.1", "localhost"),
    ):
        with pytest.raises(Unavailable):
            open_store(wrong)


def test_a_role_that_cannot_be_is_named(server: Postgres, tmp_path: Path) -> None:
    database = open_database(server.url, Durability.RELAXED)
    with pytest.raises(InvalidValue, match="role 'x; DROP'"):
        prepare(database, PARTS, writers=["x; DROP"], readers=[])
    database.close()
    file = open_database(f"sqlite:///{tmp_path}/kaon.db", Durability.RELAXED)
    with pytest.raises(InvalidValue, match="SQLite has no roles"):
        prepare(file, PARTS, writers=[WRITER], readers=[])
    file.close()
