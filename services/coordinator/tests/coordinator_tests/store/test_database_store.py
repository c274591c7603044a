"""Opening, losing and leaving a database."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, OperationalError

from kaon_coordinator.store.base import PartitionBatch, Store
from kaon_coordinator.store.sql import open_store
from kaon_coordinator.store.thread import StoreThread
from kaon_local.postgres import Postgres, temporary_postgres
from kaon_service.databases import Durability, open_database, refusals
from kaon_service.errors import DatabaseFull, DatabaseUnavailable
from kaon_wire.errors import InvalidValue, Unavailable
from kaon_wire.postgres import PATIENCE

from .build import new_run, submitted


@pytest.mark.parametrize(
    "url", ["nonsense", "sqlite://", "sqlite:///:memory:", "mysql://me:secret@host/kaon"]
)
def test_a_url_that_names_no_database_is_refused(url: str) -> None:
    with pytest.raises(InvalidValue, match="database") as told:
        open_store(url)
    assert "secret" not in str(told.value)


def test_a_database_that_cannot_be_reached_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable):
        open_store(f"sqlite:///{tmp_path}/missing/kaon.db")
    with pytest.raises(Unavailable):
        open_store("postgresql+psycopg://kaon@127.0.0.1:1/kaon")


def test_a_refusal_for_lack_of_space_is_told_apart() -> None:
    """Of PostgreSQL; SQLite's own is in shell/test_disk_full.py."""
    for refusal, kind in (
        (psycopg.errors.DiskFull("could not extend file"), DatabaseFull),
        (psycopg.errors.AdminShutdown("terminating connection"), DatabaseUnavailable),
    ):
        with pytest.raises(DatabaseUnavailable) as told, refusals("commit"):
            raise OperationalError("INSERT", None, refusal)
        assert type(told.value) is kind


@pytest.mark.parametrize(
    ("durability", "synchronous"), [(Durability.FULL, 2), (Durability.RELAXED, 1)]
)
def test_sqlite_commits_as_durably_as_asked(
    tmp_path: Path, durability: Durability, synchronous: int
) -> None:
    database = open_database(f"sqlite:///{tmp_path}/kaon.db", durability)
    with database.writer.begin() as connection:
        assert connection.execute(text("PRAGMA synchronous")).scalar() == synchronous
        assert connection.execute(text("PRAGMA journal_mode")).scalar() == "wal"
    database.close()


@pytest.mark.real
@pytest.mark.parametrize(
    ("durability", "synchronous"), [(Durability.FULL, "on"), (Durability.RELAXED, "off")]
)
def test_postgresql_commits_as_durably_as_asked(
    postgres: Postgres, durability: Durability, synchronous: str
) -> None:
    database = open_database(postgres.url, durability)
    with database.writer.begin() as connection:
        assert connection.execute(text("SHOW synchronous_commit")).scalar() == synchronous
    database.close()


def test_readers_do_not_wait_for_a_transaction_under_way(store: Store, url: str) -> None:
    run = submitted(store)
    other = open_database(url, Durability.FULL)
    with other.writer.begin() as connection:
        connection.execute(text("UPDATE runs SET seq = 99"))
        assert store.get_run("default", run.run_id).row.seq == 0
        connection.rollback()
    other.close()


@pytest.mark.real
def test_an_owner_that_stops_in_the_middle_of_a_transaction_does_not_stop_its_successor(
    postgres: Postgres,
) -> None:
    store = open_store(postgres.url)
    epoch = store.claim_partition(5, "frozen")
    frozen = open_database(postgres.url, Durability.FULL)
    with frozen.writer.connect() as connection:
        transaction = connection.begin()
        connection.execute(text("UPDATE partitions SET epoch = epoch WHERE partition = 5"))
        began = time.monotonic()
        assert store.claim_partition(5, "successor") == epoch + 1
        assert time.monotonic() - began < PATIENCE + 5
        with pytest.raises(DBAPIError):
            connection.execute(text("SELECT 1"))
        transaction.close()
    frozen.close()
    store.close()


@pytest.mark.real
def test_a_server_that_comes_back_is_used_again() -> None:
    with temporary_postgres() as server:
        store = open_store(server.url)
        run = submitted(store)
        turn = PartitionBatch(partition=3, epoch=store.claim_partition(3, "me"))
        server.kill()
        calls = (
            lambda: store.commit(turn),
            store.check,
            lambda: store.submit_run(new_run()),
            lambda: store.load_run(run.run_id),
        )
        for call in calls:
            with pytest.raises(Unavailable):
                call()
        server.start()
        store.check()
        assert store.get_run("default", run.run_id) == run
        submitted(store)
        store.commit(turn)
        store.close()


async def test_writes_happen_in_the_order_in_which_they_were_asked_for(store: Store) -> None:
    thread = StoreThread(store)
    runs = [new_run(run_id=f"run-{number:02}") for number in range(30)]
    await asyncio.gather(*(thread.run(store.submit_run, run) for run in runs))
    rows = await thread.read(store.unapplied, 3)
    assert [row.run_id for row in rows] == [run.run_id for run in runs]
    await thread.close()


async def test_reads_do_not_queue_behind_writes(store: Store) -> None:
    thread = StoreThread(store)
    hold, held = threading.Event(), threading.Event()

    def write() -> None:
        held.set()
        hold.wait(20)

    writing = asyncio.ensure_future(thread.run(write))
    await asyncio.to_thread(held.wait, 20)
    assert await thread.read(store.unapplied, 3) == []
    assert not writing.done()
    hold.set()
    await writing
    await thread.close()
