"""How the model registry's database comes to its tables, and keeps what was there before it had migrations."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, create_engine, inspect, text

from kaon_local.postgres import Postgres, temporary_postgres
from kaon_publisher.store.migrate import MIGRATIONS
from kaon_publisher.store.registry import ModelStore
from kaon_publisher.store.tables import metadata
from kaon_wire.errors import Conflict
from kaonapi.model.v1 import model_pb2

# The registry's announcements before a version could be announced again.
OLD_ANNOUNCEMENTS = """
    CREATE TABLE announcements (
        tenant VARCHAR NOT NULL, cursor BIGINT NOT NULL, model VARCHAR NOT NULL, version BIGINT NOT NULL,
        announce_us BIGINT NOT NULL, sent BOOLEAN NOT NULL,
        PRIMARY KEY (tenant, cursor), UNIQUE (tenant, model, version)
    )
"""


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    """A server that all tests of this module share."""
    with temporary_postgres(durable=False) as server:
        yield server


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.real)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/models.db"
    server: Postgres = request.getfixturevalue("postgres")
    return server.create_database(f"test_{uuid4().hex}")


@pytest.fixture
def inside(url: str) -> Iterator[Engine]:
    """Looks into the database."""
    inside = create_engine(url)
    yield inside
    inside.dispose()


def publish(store: ModelStore, count: int) -> None:
    for number in range(1, count + 1):
        record = model_pb2.ModelVersion(model="m", tenant="t", image_digest="sha256:1")
        store.announce(record, f"k{number}", "p", number)


def announced(store: ModelStore) -> list[tuple[int, int, int]]:
    return [
        (each.kind, each.version.version, each.replaces) for each in store.announcements("t", 0)
    ]


def has_the_tables_of_the_code(inside: Engine) -> bool:
    with inside.connect() as connection:
        options = {"compare_type": True, "version_table": MIGRATIONS.version_table}
        context = MigrationContext.configure(connection, opts=options)
        return (
            compare_metadata(context, metadata) == []
            and MIGRATIONS.revision(connection) == MIGRATIONS.head
        )


def test_the_migrations_make_the_tables_that_the_code_expects(url: str, inside: Engine) -> None:
    ModelStore(url).close()
    assert has_the_tables_of_the_code(inside)


def test_the_newest_migration_is_the_one_that_is_looked_for() -> None:
    assert ScriptDirectory.from_config(MIGRATIONS.config()).get_current_head() == MIGRATIONS.head


def test_a_registry_that_was_made_without_migrations_is_adopted_as_it_is(
    url: str, inside: Engine
) -> None:
    metadata.create_all(inside)
    with inside.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO model_versions VALUES ('t', 'm', 1, 'k1', 'p', "
                """'{"tenant": "t", "model": "m", "version": "1", "stage": "STAGE_ANNOUNCED"}')"""
            )
        )
        connection.execute(
            text(
                "INSERT INTO model_announcements VALUES ('t', 1, 'm', 1, 5, 1, 0, 'ann', 'first', false)"
            )
        )
        connection.execute(text("INSERT INTO consumers VALUES ('t', 'shop', 1)"))
        connection.execute(text("INSERT INTO pickups VALUES ('t', 'shop', 'm', 1, 7)"))
        connection.execute(text("INSERT INTO pushes VALUES ('t', 'm', 'sha256:9', 3)"))
    store = ModelStore(url)
    assert has_the_tables_of_the_code(inside)
    (announcement,) = store.announcements("t", 0)
    assert (announcement.principal, announcement.reason, announcement.version.version) == (
        "ann",
        "first",
        1,
    )
    assert [(each.consumer, each.time_us) for each in store.version("t", "m")[1]] == [("shop", 7)]
    assert (store.acknowledged("t", "shop"), store.unsent()) == (1, [("t", 1)])
    assert store.abandoned(10) == [("t", "m", "sha256:9")]
    publish(store, 2)
    assert announced(store)[1:] == [(1, 2, 1)], "the first key was there"
    store.close()


def test_a_registry_of_the_first_version_is_taken_over(url: str, inside: Engine) -> None:
    store = ModelStore(url)
    publish(store, 2)
    store.close()
    with inside.begin() as connection:
        connection.execute(text(OLD_ANNOUNCEMENTS))
        columns = "tenant, cursor, model, version, announce_us, sent"
        connection.execute(
            text(f"INSERT INTO announcements SELECT {columns} FROM model_announcements")
        )
        for table in ("model_announcements", "pushes", MIGRATIONS.version_table):
            connection.execute(text(f"DROP TABLE {table}"))
    store = ModelStore(url)
    assert has_the_tables_of_the_code(inside)
    assert not inspect(inside).has_table("announcements")
    assert announced(store) == [(1, 1, 0), (1, 2, 1)]
    assert store.current("t", "m") == 2
    store.close()


def test_publishers_that_start_together_make_the_tables_once(url: str) -> None:
    with ThreadPoolExecutor(4) as threads:
        stores = list(threads.map(ModelStore, [url] * 4))
    publish(stores[0], 1)
    assert all(store.current("t", "m") == 1 for store in stores)
    for store in stores:
        store.close()


def test_a_registry_of_a_newer_version_is_left_alone(url: str, inside: Engine) -> None:
    ModelStore(url).close()
    with inside.begin() as connection:
        connection.execute(text(f"UPDATE {MIGRATIONS.version_table} SET version_num = '9999'"))
    with pytest.raises(Conflict, match="newer version of Kaon"):
        ModelStore(url)
    with inside.connect() as connection:
        assert MIGRATIONS.revision(connection) == "9999"
