"""The connection that stays open between transactions."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError

from kaon_coordinator.store.kept_connection import KeptConnection
from kaon_service.databases import Database, Durability, open_database


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = open_database(f"sqlite:///{tmp_path / 'kaon.db'}", Durability.RELAXED)
    yield database
    database.close()


@pytest.fixture
def kept(database: Database) -> Iterator[KeptConnection]:
    kept = KeptConnection(database)
    with kept.begin() as connection:
        connection.execute(text("CREATE TABLE numbers (number INTEGER PRIMARY KEY)"))
    yield kept
    kept.close()


def _add(connection: Connection, number: int) -> None:
    connection.execute(text("INSERT INTO numbers VALUES (:number)"), {"number": number})


def _add_twice(connection: Connection, number: int) -> None:
    _add(connection, number)
    _add(connection, number)


def _numbers(database: Database) -> list[int]:
    with database.reader.begin() as connection:
        return list(connection.execute(text("SELECT number FROM numbers")).scalars())


def test_transactions_follow_one_another_on_one_connection(
    database: Database, kept: KeptConnection
) -> None:
    used = []
    for number in (1, 2):
        with kept.begin() as connection:
            used.append(connection)
            _add(connection, number)
    assert used[0] is used[1]
    assert _numbers(database) == [1, 2]


def test_a_refused_transaction_leaves_nothing_and_the_next_one_works(
    database: Database, kept: KeptConnection
) -> None:
    with pytest.raises(IntegrityError), kept.begin() as connection:
        _add_twice(connection, 1)
    with kept.begin() as connection:
        _add(connection, 2)
    assert _numbers(database) == [2]


def test_threads_take_turns(database: Database, kept: KeptConnection) -> None:
    def add() -> None:
        with kept.begin() as connection:
            _add(connection, 2)

    other = threading.Thread(target=add)
    with kept.begin() as connection:
        other.start()
        _add(connection, 1)
    other.join()
    assert _numbers(database) == [1, 2]
