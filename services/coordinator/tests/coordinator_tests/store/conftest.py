"""The same tests on both databases and on the store of the simulation."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from simulation.memory_store import MemoryStore

from kaon_coordinator.store.base import Store
from kaon_coordinator.store.sql import open_store
from kaon_local.postgres import Postgres

DATABASES = ["sqlite", pytest.param("postgresql", marks=pytest.mark.real)]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """The simulation's store keeps the same contract; only what looks into the tables themselves is for databases alone."""
    if "backend" in metafunc.fixturenames:
        looks_inside = "url" in inspect.signature(metafunc.function).parameters
        metafunc.parametrize(
            "backend", DATABASES if looks_inside else ["memory", *DATABASES], indirect=True
        )


@pytest.fixture
def backend(request: pytest.FixtureRequest) -> str:
    """The kind of store."""
    kind: str = request.param
    return kind


@pytest.fixture(scope="session")
def template(postgres: Postgres) -> str:
    """The name of a database with all tables: to copy it costs a sixth of making them."""
    name = "with_tables"
    open_store(postgres.create_database(name)).close()
    return name


@pytest.fixture
def prepared() -> bool:
    """Whether the tables may be there already; tests that are about how they are made say no."""
    return True


@pytest.fixture
def url(backend: str, prepared: bool, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database without a row."""
    if backend == "memory":
        return "memory"
    if backend == "sqlite":
        return f"sqlite:///{tmp_path}/kaon.db"
    server: Postgres = request.getfixturevalue("postgres")
    name = f"test_{uuid4().hex}"
    if not prepared:
        return server.create_database(name)
    return server.create_database(name, like=request.getfixturevalue("template"))


@pytest.fixture
def open_another(url: str) -> Iterator[Callable[[], Store]]:
    """Opens further stores on the same database, as other processes would."""
    stores: list[Store] = []
    memory = MemoryStore()

    def another() -> Store:
        stores.append(memory if url == "memory" else open_store(url))
        return stores[-1]

    yield another
    for store in stores:
        store.close()


@pytest.fixture
def store(open_another: Callable[[], Store]) -> Store:
    """A store on an empty database."""
    return open_another()
