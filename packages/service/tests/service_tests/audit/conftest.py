"""An audit log on SQLite, and on PostgreSQL where a server may be started."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import create_engine, text

from kaon_local.postgres import Postgres, temporary_postgres
from kaon_service.audit.store import AuditStore
from kaon_wire.audit.rows import AuditCall


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with temporary_postgres(durable=False) as server:
        yield server


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.real)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'audit.db'}"
    server: Postgres = request.getfixturevalue("postgres")
    return server.create_database(f"audit_{uuid4().hex}")


@pytest.fixture
def store(url: str) -> Iterator[AuditStore]:
    store = AuditStore(url)
    yield store
    store.close()


def call(number: int = 0, **changed: str | int) -> AuditCall:
    """Return a call."""
    told = {
        "time_us": 1_000_000 + number,
        "tenant": "red",
        "principal": "ada",
        "authentication": "token",
        "method": "kaonapi.run.v1.RunService/CancelRun",
        "named": f"run_id=r{number}",
        "outcome": "OK",
        "request_digest": "",
    }
    return AuditCall(**(told | changed))  # type: ignore[arg-type]


def tamper(url: str, statement: str) -> None:
    """Change the database behind the log's back."""
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text(statement))
    engine.dispose()
