"""With keys of lease tokens, only the runner that was given a lease speaks for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.settings import settings_from
from kaon_coordinator.shell.lease_proofs import LeaseProofs
from kaon_service.command_signatures import CommandSigner, CommandVerifier
from kaon_wire import topics
from kaon_wire.errors import InvalidValue
from kaon_wire.lease_tokens import LeaseKeys
from kaonapi.log.v1 import log_pb2
from kaonapi.runner.v1 import runner_pb2
from kaonapi.step.v1 import step_pb2

from .world import INCARNATION, Member, World

STARTED = {"started": step_pb2.StepStarted()}
SUCCEEDED = {"succeeded": step_pb2.StepSucceeded(outputs_json={"out": "1"})}
PROGRESS = {"progress": step_pb2.StepProgress(fraction=0.5)}
KEYS = LeaseKeys((b"k" * 32,))


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path)
    world.proofs = LeaseProofs(lambda: KEYS)
    return world


@pytest.fixture
async def member(world: World) -> AsyncIterator[Member]:
    member = Member(world, "first")
    await member.start()
    yield member
    await member.stop()


def status(member: Member, run_id: str = "run") -> int:
    return member.store.store.get_run("default", run_id).row.status


async def released(world: World, member: Member) -> step_pb2.StepRequest:
    """The step of a new run, released to a runner."""
    world.hello()
    world.submit(member)
    (request,) = await world.released()
    return request


def forged(key: step_pb2.StepKey, token: bytes = b"", **changes: object) -> step_pb2.StepKey:
    """A lease with another token."""
    other = step_pb2.StepKey()
    other.CopyFrom(key)
    other.lease_token = token
    for name, value in changes.items():
        setattr(other, name, value)
    return other


async def heard(world: World, member: Member, unproven: int) -> None:
    """Everything was read, and so many reports were dropped."""
    await world.until(lambda: world.heard(topics.STEP_EVENTS))
    assert member.coordinator.counters.unproven == unproven


async def test_the_runner_that_a_step_was_released_to_brings_it_to_its_end(
    world: World, member: Member
) -> None:
    request = await released(world, member)
    world.report(request.key, **STARTED)
    world.renew(request.key)
    world.report(request.key, **SUCCEEDED)
    await world.until(lambda: status(member) == t.SUCCEEDED)
    assert member.coordinator.counters.unproven == 0


async def test_a_forged_success_changes_nothing(world: World, member: Member) -> None:
    request = await released(world, member)
    world.report(request.key, **STARTED)
    key = request.key
    for lie in (
        forged(key),
        forged(key, key.lease_token[:1] + bytes(15)),
        forged(key, key.lease_token, generation=2),
        forged(key, key.lease_token, path="other"),
    ):
        world.report(lie, **SUCCEEDED)
    world.report(key, "runner-2", **SUCCEEDED)
    await heard(world, member, 5)
    assert status(member) == t.RUNNING
    world.report(request.key, **SUCCEEDED)
    await world.until(lambda: status(member) == t.SUCCEEDED)


async def test_a_token_that_is_shown_again_settles_no_later_attempt(
    world: World, member: Member
) -> None:
    first = await released(world, member)
    world.report(first.key, handed_back=step_pb2.StepHandedBack(reason="busy"))
    world.hello("runner-2")
    (second,) = await world.released()
    assert second.key.generation == 2
    world.report(first.key, **STARTED)
    world.report(first.key, **SUCCEEDED)
    # The old token with the new lease.
    world.report(forged(second.key, first.key.lease_token), **SUCCEEDED)
    await heard(world, member, 1)
    assert status(member) == t.RUNNING
    assert member.coordinator.counters.stale_leases >= 2


async def test_a_renewal_without_a_token_prolongs_nothing(world: World, member: Member) -> None:
    request = await released(world, member)
    world.report(request.key, **STARTED)
    await world.until(lambda: world.heard(topics.STEP_EVENTS))
    world.clock.now += 9
    world.renew(forged(request.key))
    await heard(world, member, 1)
    world.clock.now += 2
    await world.until(lambda: member.coordinator.counters.expired_leases == 1)


async def test_progress_and_output_that_no_token_proves_are_not_shown(
    world: World, member: Member
) -> None:
    request = await released(world, member)
    world.report(request.key, **STARTED)
    world.report(forged(request.key), **PROGRESS)
    world.report(request.key, **PROGRESS)
    for key, text in ((forged(request.key), "forged"), (request.key, "true")):
        lines = log_pb2.LogLines(key=key, incarnation=INCARNATION)
        lines.lines.add(sequence=1, text=text)
        world.broker.produce(topics.STEP_LOGS, 0, lines.SerializeToString())
    await world.until(lambda: member.sinks.logged and world.heard(topics.STEP_EVENTS))
    assert [event.progress.fraction for event in member.sinks.progressed] == [0.5]
    (shown,) = member.sinks.logged
    assert shown.lines[0].text == "true"
    assert not shown.key.lease_token


def test_records_without_progress_are_not_looked_at_for_it() -> None:
    key = step_pb2.StepKey(run_id="run", path="step", attempt=1, generation=1)
    proofs, asked = LeaseProofs(lambda: KEYS), []
    proofs.prove(key, "default", INCARNATION)
    told = [step_pb2.StepEvent(key=key, **event) for event in (STARTED, PROGRESS, SUCCEEDED)]
    records = [
        step_pb2.StepEvents(incarnation=INCARNATION, events=[event], renewal={"held": [key]})
        for event in told
    ]

    def tenant_of(number: int, run_id: str) -> str:
        asked.append((number, run_id))
        return "default"

    (shown,) = proofs.progress({3: records}, tenant_of)[3]
    assert list(shown.events) == [told[1]]
    assert asked == [(3, "run")]


async def test_a_runner_that_lost_a_lease_can_still_confirm_its_end(
    world: World, member: Member
) -> None:
    request = await released(world, member)
    world.report(request.key, **STARTED)
    await world.until(lambda: world.heard(topics.STEP_EVENTS))
    world.command(member, "run", cancel={})
    (command,) = await world.commanded()
    world.report(command.revoke.key, stopped=step_pb2.StepStopped())
    await world.until(lambda: status(member) == t.CANCELLED)
    assert member.coordinator.counters.unproven == 0


async def test_a_report_about_an_ended_run_is_answered_by_a_revoke_that_counts_only_with_its_token(
    world: World, member: Member
) -> None:
    request = await released(world, member)
    world.report(request.key, **STARTED)
    world.report(request.key, **SUCCEEDED)
    await world.until(lambda: status(member) == t.SUCCEEDED)
    # Of a generation that a retry may make.
    lie = forged(request.key, b"any", generation=2)
    world.report(lie, **SUCCEEDED)
    (command,) = await world.commanded()
    assert command.revoke.unproven
    assert command.revoke.key == lie


async def test_a_revoke_of_what_was_proven_says_so(world: World, member: Member) -> None:
    request = await released(world, member)
    world.report(request.key, **STARTED)
    await world.until(lambda: world.heard(topics.STEP_EVENTS))
    world.command(member, "run", cancel={})
    (command,) = await world.commanded()
    assert not command.revoke.unproven


async def test_while_a_system_changes_over_reports_without_tokens_are_counted_only(
    tmp_path: Path,
) -> None:
    world = World(tmp_path)
    world.proofs = LeaseProofs(lambda: KEYS, required=False)
    member = Member(world, "first")
    await member.start()
    request = await released(world, member)
    world.report(forged(request.key), **STARTED)
    world.renew(forged(request.key))
    world.report(forged(request.key), **SUCCEEDED)
    await world.until(lambda: status(member) == t.SUCCEEDED)
    assert member.coordinator.counters.unproven == 3
    await member.stop()


def test_the_variable_says_how_tokens_are_taken() -> None:
    assert settings_from({}).lease_tokens_required
    assert not settings_from({"KAON_LEASE_TOKENS": "optional"}).lease_tokens_required
    with pytest.raises(InvalidValue, match="KAON_LEASE_TOKENS: 'off'"):
        settings_from({"KAON_LEASE_TOKENS": "off"})


async def test_a_coordinator_with_a_key_signs_what_it_tells_runners(tmp_path: Path) -> None:
    key = Ed25519PrivateKey.generate()
    verifier = CommandVerifier((key.public_key(),), pool="default")
    world = World(tmp_path)
    world.seal = CommandSigner(key).seal
    member = Member(world, "first")
    await member.start()
    request = await released(world, member)
    world.report(request.key, **STARTED)
    await world.until(lambda: world.heard(topics.STEP_EVENTS))
    world.command(member, "run", cancel={})
    told: set[str] = set()
    while not {"revoke", "report"} <= told:
        for record in world.commands.poll():
            commands = runner_pb2.RunnerCommands.FromString(record.value)
            assert verifier.problem(record.value, commands) == ""
            told |= {str(command.WhichOneof("command")) for command in commands.commands}
        await asyncio.sleep(0.002)
    await member.stop()
