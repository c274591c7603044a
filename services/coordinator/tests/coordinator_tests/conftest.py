"""What tests of several parts share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from kaon_local.postgres import Postgres, temporary_postgres


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """One PostgreSQL server for all tests; each test has a database of its own in it."""
    with temporary_postgres(durable=False) as server:
        yield server
