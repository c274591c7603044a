"""A call is answered when its row is durable; calls at the same time share a transaction."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from kaon_service.audit.log import AuditLog, AuditRules
from kaon_service.audit.store import AuditStore, Wanted
from kaon_service.errors import DatabaseUnavailable
from kaon_wire.audit.rows import AuditCall

from .conftest import call


class Counting(AuditStore):
    """Counts transactions, and refuses when it is told to."""

    transactions = 0
    away = False

    def append(self, calls: list[AuditCall]) -> None:  # type: ignore[override]
        self.transactions += 1
        if self.away:
            raise DatabaseUnavailable("away")
        super().append(calls)


def make(path: Path, now_us: int = 5) -> tuple[Counting, AuditLog]:
    store = Counting(f"sqlite:///{path / 'audit.db'}")
    return store, AuditLog(store, AuditRules(days=1), lambda: now_us)


async def test_calls_at_the_same_time_share_transactions(tmp_path: Path) -> None:
    store, log = make(tmp_path)
    await asyncio.gather(*(log.record(call(number)) for number in range(40)))
    assert len(store.newest(Wanted())) == 40
    assert store.transactions <= 3
    await log.close()


async def test_a_call_hears_that_its_row_was_not_written(tmp_path: Path) -> None:
    store, log = make(tmp_path)
    store.away = True
    with pytest.raises(DatabaseUnavailable):
        await log.record(call())
    store.away = False
    await log.record(call(1))
    assert [row.call.named for row in store.newest(Wanted())] == ["run_id=r1"]
    await log.close()


async def test_a_cancelled_caller_loses_no_row_of_others(tmp_path: Path) -> None:
    store, log = make(tmp_path)
    first = asyncio.create_task(log.record(call(1)))
    await asyncio.sleep(0)
    second = asyncio.create_task(log.record(call(2)))
    await asyncio.sleep(0)
    first.cancel()
    await second
    assert {row.call.named for row in store.newest(Wanted())} == {"run_id=r1", "run_id=r2"}
    await log.close()


async def test_keeping_signs_the_head_and_forgets_what_is_old(tmp_path: Path) -> None:
    day = 86_400_000_000
    _, old = make(tmp_path)
    await old.record(call())
    await old.keep()
    await old.close()
    store, log = make(tmp_path, now_us=2 * day)
    await log.record(call(1))
    await log.keep()
    assert [row.seq for row in store.newest(Wanted())] == [2]
    await log.close()
