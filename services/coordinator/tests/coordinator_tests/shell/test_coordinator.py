from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.shell.shell_settings import LEASE_SECONDS
from kaon_coordinator.store.base import PartitionBatch
from kaon_coordinator.transport.base import Send
from kaon_wire import topics
from kaonapi.runner.v1 import runner_pb2
from kaonapi.step.v1 import step_pb2
from kaonapi.workflow.v1 import definition_pb2 as d

from .world import Member, World

STARTED = {"started": step_pb2.StepStarted()}
SUCCEEDED = {"succeeded": step_pb2.StepSucceeded(outputs_json={"out": "1"})}


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def status(member: Member, run_id: str = "run") -> int:
    return member.store.store.get_run("default", run_id).row.status


async def leased(world: World, member: Member) -> step_pb2.StepRequest:
    """The step of a new run, which a runner holds."""
    world.hello()
    world.submit(member)
    (request,) = await world.released()
    world.report(request.key, **STARTED)
    await world.until(lambda: any(event.HasField("step_leased") for event in member.sinks.events))
    return request


async def test_a_submitted_run_whose_wakeup_was_lost_is_found_and_runs(
    world: World, member: Member
) -> None:
    world.hello()
    world.submit(member, steps=2)
    for request in await world.released(2):
        world.report(request.key, **STARTED)
        world.report(request.key, **SUCCEEDED)
    await world.until(lambda: status(member) == t.SUCCEEDED)


async def test_only_commits_that_notify_somebody_wake_the_notifier(
    world: World, member: Member
) -> None:
    world.hello()
    step = d.Block(name="s", step=d.Step(type="python", outputs={"out": d.VALUE_TYPE_INT}))
    quiet = d.WorkflowDefinition(name="quiet", body=d.Graph(blocks=[step]))
    loud = d.WorkflowDefinition(name="loud", body=d.Graph(blocks=[step]))
    loud.notifications.add(on=[d.OCCASION_SUCCEEDED], channel="ops")
    for run_id, definition in (("one", quiet), ("two", loud)):
        world.submit_run(member, definition.name, world.register(member, definition), run_id)
        (request,) = await world.released()
        world.report(request.key, **STARTED)
        world.report(request.key, **SUCCEEDED)
        await world.until(lambda run_id=run_id: status(member, run_id) == t.SUCCEEDED)
        # The notifier is woken after the commit that shows the status.
        await world.until(lambda run_id=run_id: member.sinks.notices == (run_id == "two"))


async def test_what_is_stored_with_an_event_is_stored_also_when_a_turn_is_written_run_by_run(
    world: World, member: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Notices and updates of datasets, each once, although the database refuses their turns as a whole."""
    store = member.store.store
    commit_all, refused = store.commit_all, set()

    def refusing(batches: Sequence[PartitionBatch]) -> frozenset[int]:
        keys = {each.key for batch in batches for each in batch.dataset_updates}
        if keys - refused:
            refused.update(keys)
            raise ValueError("as a whole it is refused")
        return commit_all(batches)

    monkeypatch.setattr(store, "commit_all", refusing)
    world.hello()
    step = d.Block(name="s", step=d.Step(type="python", outputs={"out": d.VALUE_TYPE_INT}))
    step.step.datasets["ratings"] = "eu"
    definition = d.WorkflowDefinition(name="w", body=d.Graph(blocks=[step]))
    definition.notifications.add(on=[d.OCCASION_SUCCEEDED], channel="ops")
    version = world.register(member, definition)
    for run_id in ("one", "two"):
        world.submit_run(member, "w", version, run_id)
    for request in await world.released(2):
        world.report(request.key, **STARTED)
        world.report(request.key, **SUCCEEDED)
    await world.until(lambda: all(status(member, each) == t.SUCCEEDED for each in ("one", "two")))
    monkeypatch.undo()
    assert len(refused) == 2
    updates = store.dataset_updates_since("default", "ratings", 0, {}, 10)
    assert sorted(each.run_id for each in updates) == ["one", "two"]
    assert {(each.part, each.path, each.outputs["out"]) for each in updates} == {("eu", "s", "1")}
    notices = store.take_notices(world.now_us(), world.now_us() + 1, 10)
    assert sorted(each.run_id for each in notices) == ["one", "two"]


async def test_a_lease_expires_only_after_what_was_said_before_has_been_heard(
    world: World, member: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await leased(world, member)
    send, barriers = member.transport.send, []

    async def renewal_first(sends: Sequence[Send]) -> None:
        """The runner's renewal arrives right before the barrier, and is read together with it."""
        if any(
            step_pb2.StepEvents.FromString(s.value).barrier
            for s in sends
            if s.topic == topics.STEP_EVENTS
        ):
            barriers.append(member.transport)
            world.renew(first.key)
        await send(sends)

    monkeypatch.setattr(member.transport, "send", renewal_first)
    world.clock.now += 11
    world.hello(running=[first.key])
    await world.until(lambda: barriers and world.heard(topics.STEP_EVENTS))
    monkeypatch.undo()
    # The next barrier has nothing before it.
    world.clock.now += 11
    world.hello("runner-2")
    (second,) = await world.released()
    assert member.coordinator.counters.expired_leases == 1
    assert (second.key.attempt, second.key.generation) == (1, 2)
    assert not barriers[1:]


async def test_a_silent_broker_costs_no_lease(
    world: World, member: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    await leased(world, member)
    monkeypatch.setattr(type(member.transport), "connected", property(lambda _: False))
    world.clock.now += 60
    await asyncio.sleep(0.05)
    monkeypatch.undo()
    await asyncio.sleep(0.05)
    assert member.coordinator.counters.expired_leases == 0


async def test_a_broker_that_is_away_while_something_is_sent_costs_no_lease(
    world: World, member: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = await leased(world, member)
    send, sent = member.transport.send, []

    async def slowly(sends: Sequence[Send]) -> None:
        # History is published beside the turns, which do not wait for it.
        if all(each.topic != topics.RUN_EVENTS for each in sends):
            if not sent:
                world.clock.now += 60
            sent.append(sends)
        await send(sends)

    monkeypatch.setattr(member.transport, "send", slowly)
    await world.until(lambda: len(sent) > 50)
    assert member.coordinator.counters.expired_leases == 0
    world.clock.now += 11
    world.hello(running=[request.key])
    await world.until(lambda: member.coordinator.counters.expired_leases == 1)


async def test_the_late_word_of_an_old_holder_changes_nothing_and_is_answered_with_a_revoke(
    world: World, member: Member
) -> None:
    first = await leased(world, member)
    world.clock.now += 11
    world.hello("runner-2")
    (second,) = await world.released()
    await world.commanded()
    world.renew(first.key)
    (command,) = await world.commanded()
    assert command.revoke.reason == runner_pb2.REVOKE_REASON_STALE_LEASE
    assert command.revoke.epoch == 1
    world.report(first.key, **SUCCEEDED)
    world.report(second.key, "runner-2", **STARTED)
    world.report(second.key, "runner-2", **SUCCEEDED)
    await world.until(lambda: any(event.HasField("run_ended") for event in member.sinks.events))
    holders = [
        event.step_leased.incarnation
        for event in member.sinks.events
        if event.HasField("step_leased")
    ]
    assert holders == ["runner-1", "runner-2"]


async def test_an_owner_that_was_succeeded_writes_nothing_and_lets_nothing_out(
    world: World, member: Member
) -> None:
    world.hello()
    world.submit(member)
    (request,) = await world.released()
    # Another process takes the partition over while this one sleeps through it.
    member.store.store.claim_partition(0, "second")
    before = member.store.store.history("run")
    await world.until(lambda: world.broker.end_offset(topics.RUN_EVENTS, 0) > 0)
    sent = world.broker.end_offset(topics.RUN_EVENTS, 0)
    world.report(request.key, **STARTED)
    await world.until(lambda: member.coordinator.counters.fenced == 1)
    assert member.store.store.history("run") == before
    assert world.broker.end_offset(topics.RUN_EVENTS, 0) == sent


async def test_an_owner_without_work_notices_a_late_claim_and_takes_the_partition_back(
    world: World, member: Member
) -> None:
    store = member.store.store
    await world.until(lambda: member.coordinator.pools.owned() == ["default"])
    # A member that is late claims the partition, and gives it up.
    late = store.claim_partition(0, "late")
    world.clock.now += 2
    await world.until(lambda: member.coordinator.counters.fenced == 1)
    world.clock.now += LEASE_SECONDS + 1
    await world.until(lambda: store.partition_epochs([0]) == {0: late + 1})
    world.hello()
    world.submit(member)
    (request,) = await world.released()
    assert request.epoch == late + 1


async def test_what_was_published_is_noted_although_nothing_follows(
    world: World, member: Member
) -> None:
    world.hello()
    world.submit(member)
    await world.released()
    seq = len(member.store.store.history("run"))
    world.clock.now += 2
    await world.until(lambda: member.store.store.get_run("default", "run").published_seq == seq)


async def test_the_next_owner_derives_what_was_in_flight(world: World, member: Member) -> None:
    world.hello()
    world.submit(member, steps=2)
    held, ready = await world.released(2)
    world.report(held.key, **STARTED)
    await world.until(lambda: any(event.HasField("step_leased") for event in member.sinks.events))
    await member.transport.stop()
    successor = Member(world, "second")
    await successor.start()
    try:
        pools, key = successor.coordinator.pools, ready.key
        await world.until(lambda: pools.explain("default", key.run_id, key.path) is not None)
        # A new matcher waits for runners to say what they have before it trusts what engines say is READY.
        world.clock.now += 3
        world.hello("runner-2")
        world.hello(running=[held.key])
        (again,) = await world.released()
        assert again.key == ready.key, "what was READY is requested again, what is held is not"
        assert again.epoch == 2
        for key, who in ((held.key, "runner-1"), (again.key, "runner-2")):
            world.report(key, who, **SUCCEEDED)
        await world.until(lambda: status(successor) == t.SUCCEEDED)
    finally:
        await successor.stop()


async def test_bytes_that_are_no_message_go_to_the_dead_letters_and_stop_nobody(
    world: World, member: Member
) -> None:
    for topic in (
        topics.STEP_EVENTS,
        topics.RUN_COMMANDS,
        topics.STEP_REQUESTS,
        topics.RUNNER_HEARTBEATS,
    ):
        world.broker.produce(topic, 0, b"\xff\xff\xff")
    await world.until(lambda: member.coordinator.counters.quarantined == 4)
    assert world.broker.end_offset(topics.dead_letters(topics.STEP_EVENTS), 0) == 1
    world.hello()
    world.submit(member)
    assert await world.released()
