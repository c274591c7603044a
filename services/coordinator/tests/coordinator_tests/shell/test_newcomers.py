"""Runs that begin in the transaction that stores them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.shell.effects import Effects, effects_of
from kaon_coordinator.shell.turn import Turn
from kaon_coordinator.store.base import PartitionBatch, RunRecord
from kaon_wire import topics
from kaon_wire.errors import Unavailable

from .world import Member, World, new_run


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
async def member(world: World) -> AsyncIterator[Member]:
    """A member that owns its partition."""
    member = Member(world, "first")
    await member.start()
    await world.until(lambda: member.coordinator.partitions_owned == 1)
    yield member
    await member.stop()


def _batches(member: Member) -> list[PartitionBatch]:
    """What every transaction of turns holds from now on."""
    seen: list[PartitionBatch] = []
    write = member.store.store.commit_all

    def commit_all(batches: Sequence[PartitionBatch]) -> frozenset[int]:
        lost = write(batches)
        seen.extend(batches)
        return lost

    member.store.store.commit_all = commit_all  # type: ignore[method-assign]
    return seen


async def test_a_run_and_its_first_steps_are_one_transaction(world: World, member: Member) -> None:
    batches = _batches(member)
    (record,) = await member.coordinator.begin([new_run(world, member)])
    assert isinstance(record, RunRecord)
    (batch,) = [batch for batch in batches if batch.begun]
    assert [row.status for row in batch.steps["run"]] == [t.READY]
    stored = member.store.store.get_run("default", "run")
    assert (stored.row.status, dict(stored.labels)) == (t.RUNNING, {"team": "a"})
    assert member.store.store.unapplied(record.partition) == []
    world.hello()
    (release,) = await world.released()
    assert (release.key.run_id, release.key.path) == ("run", "s")


async def test_runs_that_come_together_share_a_transaction(world: World, member: Member) -> None:
    batches = _batches(member)
    runs = [new_run(world, member, f"run-{number}") for number in range(9)]
    together = member.coordinator.begin(runs[3:])
    alone = [member.coordinator.begin([run]) for run in runs[:3]]
    records = await asyncio.gather(together, *alone)
    assert [len(each) for each in records] == [6, 1, 1, 1]
    assert all(isinstance(each, RunRecord) for group in records for each in group)
    begun = [batch for batch in batches if batch.begun]
    # One for each partition.
    assert len(begun) == len({run.partition for run in runs})


async def test_a_key_that_is_taken_leaves_nothing_behind_and_the_others_begin(
    world: World, member: Member
) -> None:
    first = new_run(world, member, "first")
    assert await member.coordinator.begin([first]) != [None]
    again = new_run(world, member, "again", idempotency_key=first.idempotency_key)
    other = new_run(world, member, "other")
    answers = await member.coordinator.begin([again, other])
    assert [answer is None for answer in answers] == [True, False]
    assert member.coordinator.find_run("again") is None
    assert member.coordinator.find_run("other") is not None
    (known, created) = member.store.store.submit_run(again)
    assert (known.row.run_id, created) == ("first", False)


async def test_a_run_of_another_owner_and_a_fork_are_stored_first(
    world: World, member: Member
) -> None:
    fork = new_run(world, member, "fork", fork_run_id="run", fork_seq=1)
    assert await member.coordinator.begin([fork]) == [None]
    await member.coordinator.on_revoked(topics.STEP_EVENTS, range(world.catalogue.run_partitions))
    assert await member.coordinator.begin([new_run(world, member, "elsewhere")]) == [None]


async def test_a_run_whose_first_turn_fails_is_stored_first(world: World, member: Member) -> None:
    run = new_run(world, member, version="sha256:unknown")
    assert await member.coordinator.begin([run]) == [None]
    assert member.coordinator.find_run("run") is None


async def test_a_turn_that_waits_for_the_broker_delays_no_acknowledgement(
    world: World, member: Member
) -> None:
    hasty = Member(world, "hasty", begin_seconds=0.0)
    await member.stop()
    await hasty.start()
    await world.until(lambda: hasty.coordinator.partitions_owned == 1)
    async with hasty.coordinator._lock:
        assert await hasty.coordinator.begin([new_run(world, hasty)]) == [None]
    await hasty.stop()


async def test_a_transaction_that_may_have_taken_place_is_reported_as_unknown(
    world: World, member: Member
) -> None:
    run = new_run(world, member)

    def commit_all(batches: Sequence[PartitionBatch]) -> frozenset[int]:
        raise Unavailable("the database is away")

    member.store.store.commit_all = commit_all  # type: ignore[method-assign]
    (told,) = await member.coordinator.begin([run])
    assert isinstance(told, Unavailable)
    assert "the database is away" in str(told)


async def test_no_turn_follows_one_of_which_nobody_knows_whether_it_is_stored(
    world: World, member: Member
) -> None:
    waiting: list[asyncio.Task[None]] = []

    async def fails() -> None:
        async with member.coordinator._lock:
            waiting.append(asyncio.create_task(member.coordinator.on_batch([])))
            # It begins, and waits for the turn.
            await asyncio.sleep(0)
            raise Unavailable("the database is away")

    with pytest.raises(Unavailable, match="the database is away"):
        await fails()
    with pytest.raises(Unavailable, match="this coordinator ends, since a turn has failed"):
        await waiting[0]


def _prepared(monkeypatch: pytest.MonkeyPatch, saw: Callable[[set[str]], None]) -> None:
    """Tell of the runs for which requests are made, of each turn."""

    def watched(turn: Turn, *arguments: Any, **named: Any) -> Effects:
        effects = effects_of(turn, *arguments, **named)
        saw({each.key.run_id for group in effects.requests.values() for each in group})
        return effects

    monkeypatch.setattr("kaon_coordinator.shell.partition.effects_of", watched)


async def test_requests_are_made_while_a_turn_is_written_and_leave_when_it_is_durable(
    world: World, member: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.hello()
    await world.until(lambda: member.coordinator.pools.runners("default"))
    loop, made, go_on = asyncio.get_running_loop(), asyncio.Event(), threading.Event()
    write = member.store.store.commit_all
    partitions = range(world.catalogue.runner_partitions)
    sent: list[int] = []

    def commit_all(batches: Sequence[PartitionBatch]) -> frozenset[int]:
        if any(batch.begun for batch in batches):
            assert go_on.wait(10)
            ends = (world.broker.end_offset(topics.step_ready("default"), p) for p in partitions)
            sent.append(sum(ends))
        return write(batches)

    member.store.store.commit_all = commit_all  # type: ignore[method-assign]
    _prepared(monkeypatch, lambda runs: made.set() if runs else None)
    beginning = loop.create_task(member.coordinator.begin([new_run(world, member)]))
    async with asyncio.timeout(10):
        await made.wait()
    assert not beginning.done()
    go_on.set()
    (record,) = await beginning
    assert isinstance(record, RunRecord)
    (release,) = await world.released()
    assert (release.key.run_id, sent) == ("run", [0])


async def test_what_was_made_for_a_run_that_is_not_stored_does_not_leave(
    world: World, member: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.hello()
    await world.until(lambda: member.coordinator.pools.runners("default"))
    first = new_run(world, member, "first")
    await member.coordinator.begin([first])
    assert [each.key.run_id for each in await world.released()] == ["first"]
    made: list[set[str]] = []
    _prepared(monkeypatch, made.append)
    again = new_run(world, member, "again", idempotency_key=first.idempotency_key)
    await member.coordinator.begin([again, new_run(world, member, "other")])
    assert {"again", "other"} in made
    assert [each.key.run_id for each in await world.released()] == ["other"]
    await member.coordinator.begin([new_run(world, member, "last")])
    # Nothing came between them.
    assert [each.key.run_id for each in await world.released()] == ["last"]
