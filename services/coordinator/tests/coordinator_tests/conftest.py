"""What tests of several parts share."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from kaon_local.postgres import Postgres, PostgresConfig


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """One PostgreSQL server for all tests; each test has a database of its own in it."""
    state = Path(tempfile.mkdtemp(prefix="kaon-postgres-"))
    # The server runs as another user when we are root.
    state.chmod(0o711)
    server = Postgres(PostgresConfig(state=state, durable=False))
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(state, ignore_errors=True)
