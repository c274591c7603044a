"""An owner whose database has no space left, as SQLite itself finds it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.store import patient_calls
from kaon_coordinator.store.base import PartitionBatch, RunRecord
from kaon_coordinator.store.sql import SqlStore
from kaon_service.errors import DatabaseFull
from kaon_wire import canonical

from .world import Member, World, new_run

# No row of it fits into pages that the database has.
LARGE = "x" * 200_000
NO_BOUND = 2**31


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
async def member(world: World, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Member]:
    """A member that owns its partition."""
    monkeypatch.setattr(patient_calls, "_PAUSE_SECONDS", 0.01)
    member = Member(world, "first")
    await member.start()
    await world.until(lambda: member.coordinator.partitions_owned == 1)
    yield member
    await member.stop()


def _bound(member: Member, pages: int) -> None:
    """Let the database grow to so many pages at most: its file is a full disk then."""
    store = member.store.store
    assert isinstance(store, SqlStore)
    with store._kept.begin() as connection:
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages}").close()


def _refusals(member: Member) -> Callable[[], int]:
    """Count the transactions of turns that find no space from now on."""
    refused: list[DatabaseFull] = []
    write = member.store.store.commit_all

    def commit_all(batches: Sequence[PartitionBatch]) -> frozenset[int]:
        try:
            return write(batches)
        except DatabaseFull as error:
            refused.append(error)
            raise

    member.store.store.commit_all = commit_all  # type: ignore[method-assign]
    return lambda: len(refused)


async def test_who_submits_is_told_at_once_and_the_turn_goes_on_when_there_is_space(
    world: World, member: Member
) -> None:
    run = new_run(world, member, params={"p": canonical.dumps(LARGE)})
    refusals = _refusals(member)
    _bound(member, 1)
    with capture_logs() as logs:
        (told,) = await member.coordinator.begin([run])
        assert isinstance(told, DatabaseFull)
        # The client's next attempt: a turn is under way, so the store itself is asked.
        with pytest.raises(DatabaseFull):
            await member.store.run(member.store.store.submit_run, run)
        await world.until(lambda: refusals() >= 3)
        assert member.works
        _bound(member, NO_BOUND)
        await world.until(lambda: any("there is space on" in line["event"] for line in logs))
    # Once for all attempts, and once that it is over.
    assert [line["log_level"] for line in logs if "disk" in line["event"]] == ["error", "warning"]
    assert member.store.store.get_run("default", "run").row.status == t.RUNNING
    # The client's next attempt at another server, which makes another id.
    known, created = member.store.store.submit_run(replace(run, run_id="again"))
    assert (known.run_id, created) == ("run", False)
    (next_one,) = await member.coordinator.begin([new_run(world, member, "next")])
    assert isinstance(next_one, RunRecord)


async def test_a_process_that_stops_does_not_wait_for_space(world: World, member: Member) -> None:
    run = new_run(world, member, params={"p": canonical.dumps(LARGE)})
    _bound(member, 1)
    (told,) = await member.coordinator.begin([run])
    assert isinstance(told, DatabaseFull)
    member.coordinator.hurry()
    await world.until(lambda: not member.works)
    await asyncio.wait_for(member.stop(), 30)
