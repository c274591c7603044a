"""With keys of pools, a runner speaks for itself alone: forged heartbeats are counted and change nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from kaon_service.heartbeat_signatures import HeartbeatSigner, HeartbeatVerifier
from kaon_wire import topics
from kaonapi.runner.v1 import runner_pb2
from kaonapi.step.v1 import step_pb2

from .world import Member, World

KEY = b"k" * 32


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path)
    world.heartbeats = HeartbeatVerifier(
        lambda: {"default": (KEY,)}, lambda: int(world.clock.now * 1e6)
    )
    return world


@pytest.fixture
async def member(world: World) -> AsyncIterator[Member]:
    member = Member(world, "first")
    await member.start()
    yield member
    await member.stop()


def runner(world: World, key: bytes = KEY) -> str:
    """The incarnation of a runner that signs its heartbeats."""
    signer = HeartbeatSigner(key, pool="default")
    incarnation = f"host-{signer.name}"
    world.signers[incarnation] = signer
    return incarnation


async def releases_to(world: World, member: Member, count: int) -> set[str]:
    """Whom the next steps are released to."""
    found: list[str] = []

    def all_there() -> bool:
        for record in world.ready.poll():
            found.extend(receivers(record.value))
        return len(found) >= count

    await world.until(all_there)
    return set(found)


async def test_steps_go_to_the_runner_that_signs(world: World, member: Member) -> None:
    own = runner(world)
    world.hello(own)
    world.submit(member)
    assert await releases_to(world, member, 1) == {own}
    assert member.coordinator.counters.unproven_heartbeats == 0


async def test_forged_heartbeats_are_counted_and_change_nothing(
    world: World, member: Member
) -> None:
    own, stranger = runner(world), runner(world, b"x" * 32)
    world.hello(own)
    # Unsigned, of a pool whose key it does not have, and the leaving of another runner of its own pool.
    world.hello("ghost")
    world.hello(stranger)
    thief = HeartbeatSigner(KEY, pool="default")
    world.signers[own], kept = thief, world.signers[own]
    world.hello(own, leaving=True)
    world.signers[own] = kept
    await world.until(lambda: world.heard(topics.RUNNER_HEARTBEATS))
    assert member.coordinator.counters.unproven_heartbeats == 3
    for number in range(3):
        world.submit(member, f"run-{number}")
    assert await releases_to(world, member, 3) == {own}


async def test_a_heartbeat_that_is_sent_again_later_says_nothing(
    world: World, member: Member
) -> None:
    own = runner(world)
    heartbeat = runner_pb2.RunnerHeartbeat(
        pool="default", incarnation=own, sequence=1, time_us=int(world.clock.now * 1e6)
    )
    recorded = world.signers[own].seal(heartbeat)
    world.clock.now += 301
    world.broker.produce(topics.RUNNER_HEARTBEATS, 0, recorded)
    await world.until(lambda: world.heard(topics.RUNNER_HEARTBEATS))
    assert member.coordinator.counters.unproven_heartbeats == 1


def receivers(value: bytes) -> list[str]:
    """The runner that a record of releases is for, once for each step."""
    record = step_pb2.StepReleases.FromString(value)
    return [record.incarnation] * len(record.releases)
