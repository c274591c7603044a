"""A process that ends in the middle of a transaction.

It is forked, for what it needs is imported already: to do that for each of them took most of the time of their tests.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Engine, event

from kaon_coordinator.store.base import Store
from kaon_coordinator.store.bulk import Bulk
from kaon_coordinator.store.sql import open_store

from .build import batch, new_run


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _die_after(statements: int) -> None:
    left = statements

    def count(*_: Any) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            _die()

    event.listen(Engine, "after_cursor_execute", count)
    _count_bulk(count)


def _count_bulk(count: Callable[[], None]) -> None:
    """These statements go past SQLAlchemy."""
    many, one = Bulk.execute, Bulk.execute_one

    def execute(self: Bulk, connection: Connection, rows: Sequence[tuple[Any, ...]]) -> None:
        many(self, connection, rows)
        if rows:
            count()

    def execute_one(self: Bulk, connection: Connection, row: tuple[Any, ...]) -> int:
        changed = one(self, connection, row)
        count()
        return changed

    Bulk.execute, Bulk.execute_one = execute, execute_one  # type: ignore[method-assign]


def _commit(store: Store, statements: int) -> None:
    """A batch with something in every table."""
    run = store.load_run("run")
    epoch = store.claim_partition(3, "child")
    (start,) = store.unapplied(3)
    full = replace(batch(epoch, run), applied_inbox=[start.inbox_id], published={"run": 1})
    _die_after(statements)
    store.commit(full)


def _submit(store: Store, statements: int) -> None:
    """A new run with an idempotency key."""
    _die_after(statements)
    store.submit_run(new_run(run_id="run", idempotency_key="key"))


def _make(url: str, call: str, statements: int) -> None:
    {"commit": _commit, "submit": _submit}[call](open_store(url), statements)
    if statements == 0:
        _die()


def crash(url: str, call: str, statements: int) -> None:
    """Make the call in another process, which kills itself after that many statements of it; 0 means: after the commit."""
    child = multiprocessing.get_context("fork").Process(target=_make, args=(url, call, statements))
    child.start()
    child.join(60)
    assert child.exitcode == -signal.SIGKILL
    child.close()
