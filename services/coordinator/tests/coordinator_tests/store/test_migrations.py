"""How a database comes to its tables."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Inspector, create_engine, inspect, text

from kaon_coordinator.store.base import Store
from kaon_coordinator.store.migrate import MIGRATIONS
from kaon_coordinator.store.sql import open_store
from kaon_coordinator.store.tables import metadata
from kaon_service.databases import Durability, open_database
from kaon_wire import canonical
from kaon_wire.errors import Conflict
from kaonapi.log.v1 import log_pb2
from kaonapi.step.v1 import step_pb2

from .build import submitted


@pytest.fixture
def prepared() -> bool:
    return False


# SQLAlchemy cannot read an index on an expression back from SQLite; from PostgreSQL it can.
@pytest.mark.filterwarnings("ignore:Skipped unsupported reflection of expression-based index")
@pytest.mark.filterwarnings("ignore:autogenerate skipping")
def test_the_migrations_make_the_tables_that_the_code_expects(store: Store, url: str) -> None:
    engine = create_engine(url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
        assert MIGRATIONS.revision(connection) == MIGRATIONS.head
    engine.dispose()


def test_the_newest_migration_is_the_one_that_is_looked_for() -> None:
    assert ScriptDirectory.from_config(MIGRATIONS.config()).get_current_head() == MIGRATIONS.head


def test_what_is_there_survives_another_start(
    store: Store, open_another: Callable[[], Store]
) -> None:
    run = submitted(store)
    assert open_another().get_run("default", run.run_id) == run


def test_processes_that_start_together_make_the_tables_once(url: str) -> None:
    with ThreadPoolExecutor(4) as threads:
        stores = list(threads.map(open_store, [url] * 4))
    run = submitted(stores[0])
    assert all(store.get_run("default", run.run_id) == run for store in stores)
    for store in stores:
        store.close()


def test_a_database_of_a_newer_version_is_left_alone(store: Store, url: str) -> None:
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(Conflict, match="newer version of Kaon"):
        open_store(url)
    with engine.connect() as connection:
        assert MIGRATIONS.revision(connection) == "9999"
    engine.dispose()


def test_runs_of_the_first_tables_are_there_after_the_upgrade(url: str) -> None:
    _fill(
        url,
        "0001",
        "INSERT INTO runs VALUES ('r', 'default', 'w', 'v', 3, '{}', 'me', NULL, 'd', 1, 3, 2, 1, 5, 0, '', 0, 1, 0, 1)",
    )
    store = open_store(url)
    (run,) = store.load_runs(3)
    assert (run.run_id, run.row.seq, run.row.priority, run.parent_run_id) == ("r", 2, 0, "")
    store.close()


def test_a_lease_that_was_full_goes_on_with_its_tail_after_the_upgrade(url: str) -> None:
    key = step_pb2.StepKey(run_id="r", path="p", attempt=1, generation=1)
    old, new = (
        log_pb2.LogLines(key=key, incarnation="i", lines=[log_pb2.LogLine(sequence=number)])
        for number in (10_001, 10_002)
    )
    data = old.SerializeToString().hex()
    payload = f"decode('{data}', 'hex')" if url.startswith("postgresql") else f"X'{data}'"
    _fill(
        url,
        "0005",
        'INSERT INTO log_leases (run_id, path, attempt, generation, incarnation, lines, bytes, "full") '
        "VALUES ('r', 'p', 1, 1, 'i', 10000, 5, 1)",
        "INSERT INTO log_chunks (run_id, lease_id, first_sequence, last_sequence, payload) "
        f"SELECT run_id, lease_id, 1, 10001, {payload} FROM log_leases",
    )
    store = open_store(url)
    store.archive_logs([old, new])
    assert [chunk.payload for chunk in store.read_logs("r")] == [
        each.SerializeToString(deterministic=True) for each in (old, new)
    ]
    store.close()


def test_artifacts_of_earlier_runs_belong_to_their_tenants_after_the_upgrade(url: str) -> None:
    given, passed, seen = "a" * 64, "b" * 64, "c" * 64
    outputs = {"out": _reference(given)}
    params = canonical.dumps({"data": _reference(passed)})
    data = canonical.dumps({"outputs": outputs, "inputs": {"in": _reference(seen)}})
    _fill(
        url,
        "0001",
        f"INSERT INTO runs VALUES ('r', 'blue', 'w', 'v', 3, '{params}', 'me', NULL, 'd', 1, 3, 2, 1, 5, 0, '', 0, 1, 0, 1)",
    )
    _fill(
        url,
        "0008",
        "INSERT INTO steps (run_id, path, position, name, status, attempt, generation, runner_id, incarnation, ready_us, "
        f"start_us, end_us, retry_us, data) VALUES ('r', 's', 1, 's', 4, 1, 1, '', '', 1, 1, 1, 0, '{data}')",
    )
    store = open_store(url)
    assert store.missing_grants("blue", {given, passed, seen}) == {seen}
    assert store.missing_grants("green", {given}) == {given}
    store.close()


def _reference(digest: str) -> str:
    return canonical.dumps({"artifact": {"digest": f"sha256:{digest}"}})


def _fill(url: str, revision: str, *statements: str) -> None:
    """Makes the tables of an earlier version, with something in them."""
    engine = create_engine(url)
    with engine.begin() as connection:
        command.upgrade(MIGRATIONS.config(connection), revision)
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()


def test_an_empty_sqlite_database_gets_what_the_migrations_make(tmp_path: Path) -> None:
    shapes = []
    for name in ("at-once", "step-by-step"):
        database = open_database(f"sqlite:///{tmp_path}/{name}.db", Durability.FULL)
        if name == "step-by-step":
            with database.writer.begin() as connection:
                command.upgrade(MIGRATIONS.config(connection), "head")
        MIGRATIONS.apply(database)
        with database.reader.connect() as connection:
            query = text("SELECT name, type, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'")
            inspector = inspect(connection)
            shapes.append({_shape(inspector, *row) for row in connection.execute(query)})
        database.close()
    assert shapes[0] == shapes[1]


def _shape(inspector: Inspector, name: str, kind: str, sql: str) -> tuple[object, ...]:
    """A table by its columns, anything else by the statement that made it."""
    if kind != "table":
        return name, " ".join(sql.replace('"', "").split())
    columns = inspector.get_columns(name)
    keys = tuple(inspector.get_pk_constraint(name)["constrained_columns"])
    return (
        name,
        frozenset((each["name"], str(each["type"]), each["nullable"]) for each in columns),
        keys,
    )
