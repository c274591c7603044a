"""What the engine wants done outside, done: artifacts, memos, permits, other runs, commands, forks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kaon_coordinator import replay
from kaon_coordinator.engine.rows.codec import digest
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.shell.artifact_io import ArtifactIO
from kaon_coordinator.shell.fork_states import definitions
from kaon_coordinator.store.base import RunRecord
from kaon_wire import canonical
from kaon_wire.errors import InvalidValue
from kaonapi.run.v1 import command_pb2, history_pb2
from kaonapi.runner.v1 import runner_pb2
from kaonapi.step.v1 import step_pb2
from kaonapi.workflow.v1 import definition_pb2 as d

from ..engine.build import chain, fan, for_each, literal, output, step
from .player import playing
from .world import Member, World

WAITS = lambda request: None  # noqa: E731
BAD = step_pb2.StepError(error_class=step_pb2.ERROR_CLASS_USER, type="ValueError", message="no")


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, run_partitions=3)


def run_of(member: Member, run_id: str = "run") -> RunRecord:
    return member.store.store.get_run("default", run_id)


def ended(member: Member, run_id: str = "run") -> bool:
    return run_of(member, run_id).row.status in t.TERMINAL


def happened(member: Member, kind: str, run_id: str = "run") -> list[history_pb2.HistoryEvent]:
    return [
        event for event in member.store.store.history(run_id) if event.WhichOneof("event") == kind
    ]


def verified(member: Member, run_id: str = "run") -> None:
    """Replaying the history gives what the rows say."""
    store = member.store.store
    run = store.load_run(run_id)
    compiled = definitions(store)
    folded = replay.replay(store, run, run.row.seq, compiled)
    restored = replay.stored(run, compiled(run.tenant, run.workflow, run.version))
    assert digest(folded) == digest(restored)


def workflow(body: d.Graph, name: str = "w", **fields: Any) -> d.WorkflowDefinition:
    return d.WorkflowDefinition(name=name, body=body, **fields)


async def test_a_foreach_takes_its_items_from_an_artifact_of_json_lines(
    world: World, member: Member
) -> None:
    lines = "".join(f'{{"id":"c{number}"}}\n' for number in range(3))
    kept = canonical.dumps({"artifact": world.artifacts.put_bytes(lines.encode()).to_json()})
    items = d.Binding(literal_json=kept)
    version = world.register(member, workflow(chain(for_each("each", items, fan(step("s"))))))
    async with playing(world) as player:
        world.submit_run(member, "w", version)
        await world.until(lambda: ended(member))
    assert run_of(member).row.status == t.SUCCEEDED
    assert {request.key.path for request in player.requests} == {f"each[c{n}]/s" for n in range(3)}
    verified(member)


@pytest.mark.parametrize(
    ("content", "told"),
    [(b"{\n", "line 1: not JSON"), (None, "is not at"), (b"1\n" * 100_001, "foreach_items")],
)
async def test_items_that_cannot_be_read_fail_their_foreach(
    world: World, member: Member, content: bytes | None, told: str
) -> None:
    artifact = world.artifacts.put_bytes(content or b"x")
    if content is None:
        world.artifacts.delete(artifact)
    items = literal({"artifact": artifact.to_json()})
    version = world.register(member, workflow(chain(for_each("each", items, fan(step("s"))))))
    world.submit_run(member, "w", version)
    await world.until(lambda: ended(member))
    assert run_of(member).row.status == t.FAILED
    assert told in run_of(member).row.error


@pytest.mark.parametrize(
    "told", [{"uri": "file:///etc/passwd"}, {"size": 1 << 62}, {"size": "many", "uri": ""}]
)
async def test_of_a_reference_only_its_digest_says_where_an_artifact_is(
    world: World, told: dict[str, object]
) -> None:
    kept = world.artifacts.put_bytes(b"1\n2\n").to_json() | told
    artifact_io = ArtifactIO(world.artifacts)
    assert await artifact_io.read_items(canonical.dumps({"artifact": kept})) == ("1", "2")
    assert await artifact_io.all_exist({"x": canonical.dumps({"artifact": kept})})
    await artifact_io.close()


@pytest.mark.parametrize("line", ['{"artifact":%s}', '[{"of":{"artifact":%s}}]'])
async def test_items_in_a_file_refer_to_no_artifacts(world: World, line: str) -> None:
    others = canonical.dumps(world.artifacts.put_bytes(b"of another tenant").to_json())
    for word in ("artifact", "\\u0061rtifact"):
        text = (line % others).replace("artifact", word, 1)
        kept = world.artifacts.put_bytes(f"1\n{text}\n".encode()).to_json()
        artifact_io = ArtifactIO(world.artifacts)
        with pytest.raises(InvalidValue, match=r"line 2: items of a file refer to no artifacts"):
            await artifact_io.read_items(canonical.dumps({"artifact": kept}))
        await artifact_io.close()


@pytest.mark.parametrize(
    "digest", ["/etc/passwd", "sha256:../../x", "", 7, None, ["d"], "sha256:" + "A" * 64]
)
async def test_what_is_no_digest_is_no_reference(world: World, digest: object) -> None:
    kept = world.artifacts.put_bytes(b"1\n").to_json() | {"digest": digest}
    artifact_io = ArtifactIO(world.artifacts)
    with pytest.raises(InvalidValue, match="is not a digest"):
        await artifact_io.read_items(canonical.dumps({"artifact": kept}))
    assert not await artifact_io.all_exist({"x": canonical.dumps({"artifact": kept})})
    await artifact_io.close()


async def test_an_input_too_large_to_travel_is_kept_as_a_list_of_json_lines(
    world: World, member: Member
) -> None:
    large = [f"item-{number:06}" for number in range(10_000)]
    version = world.register(member, workflow(chain(step("s", many=literal(large)))))
    async with playing(world) as player:
        world.submit_run(member, "w", version)
        await world.until(lambda: ended(member))
    reference = canonical.loads(player.requests[0].spec.inputs_json["many"])["artifact"]
    assert (reference["type"], reference["media_type"]) == ("list", "application/x-ndjson")
    content = Path(reference["uri"].removeprefix("file://")).read_text()
    assert [canonical.loads(line) for line in content.splitlines()] == large


def _remembered(**fields: Any) -> d.Block:
    block = step("s", x=literal(1))
    block.step.memo.CopyFrom(d.Memo(enabled=True, **fields))
    return block


async def test_an_equal_execution_gives_its_outputs_to_later_ones_but_not_to_its_own_run(
    world: World, member: Member
) -> None:
    again = _remembered()
    again.name = "again"
    version = world.register(member, workflow(chain(_remembered(), again)))
    async with playing(world) as player:
        world.submit_run(member, "w", version, "one")
        await world.until(lambda: ended(member, "one"))
        assert len(player.requests) == 2
        world.submit_run(member, "w", version, "two")
        await world.until(lambda: ended(member, "two"))
    assert len(player.requests) == 2
    memos = [event.step_ended.memo.run_id for event in happened(member, "step_ended", "two")]
    assert memos == ["one", "one"]


async def test_outputs_whose_artifact_is_gone_are_not_taken(world: World, member: Member) -> None:
    artifact = world.artifacts.put_bytes(b"model")
    version = world.register(member, workflow(chain(_remembered())))
    async with playing(world, lambda request: {"out": {"artifact": artifact.to_json()}}) as player:
        for number, run_id in enumerate(("one", "two", "three"), start=1):
            if run_id == "three":
                world.artifacts.delete(artifact)
            world.submit_run(member, "w", version, run_id)
            await world.until(lambda run_id=run_id: ended(member, run_id))
            assert len(player.requests) == {1: 1, 2: 1, 3: 2}[number]


async def test_outputs_that_are_too_old_are_not_taken(world: World, member: Member) -> None:
    version = world.register(member, workflow(chain(_remembered(max_age_ms=60_000))))
    async with playing(world) as player:
        for run_id, requests in (("one", 1), ("two", 1), ("three", 2)):
            if run_id == "three":
                world.clock.now += 61
            world.submit_run(member, "w", version, run_id)
            await world.until(lambda run_id=run_id: ended(member, run_id))
            assert len(player.requests) == requests


def _tagged(name: str, *tags: str) -> d.Block:
    block = step(name)
    block.step.tags.extend(tags)
    return block


async def test_no_more_steps_of_a_tag_run_at_once_than_there_are_permits(
    world: World, member: Member
) -> None:
    member.store.store.set_permits("default", "tag:gpu", 2)
    for name in ("a", "b", "c"):
        body = fan(*(_tagged(f"{name}{n}", "gpu") for n in range(5)))
        world.submit_run(member, name, world.register(member, workflow(body, name)), name)
    async with playing(world, WAITS) as player:
        for _ in range(15):
            await world.until(lambda: player.running)
            player.end(next(iter(player.running)), {"out": 1})
        await world.until(lambda: all(ended(member, run_id) for run_id in ("a", "b", "c")))
    assert player.most_at_once == 2
    (record,) = member.store.store.list_permits("default")
    assert record.taken == 0


async def test_at_most_so_many_runs_of_a_workflow_are_active(world: World, member: Member) -> None:
    version = world.register(member, workflow(chain(step("s")), max_active_runs=1))
    async with playing(world, WAITS) as player:
        for run_id in ("a", "b"):
            world.submit_run(member, "w", version, run_id)
        await world.until(lambda: len(player.running) == 1)
        first = player.requests[0].key.run_id
        second = "b" if first == "a" else "a"
        assert run_of(member, second).row.status == t.PENDING
        player.end("s", {"out": 1})
        await world.until(lambda: len(player.requests) == 2)
        player.end("s", {"out": 1})
        await world.until(lambda: ended(member, second))


async def test_a_cancelled_run_gives_back_what_its_steps_hold_or_wait_for(
    world: World, member: Member
) -> None:
    member.store.store.set_permits("default", "tag:gpu", 1)
    version = world.register(member, workflow(fan(_tagged("x", "gpu"), _tagged("y", "gpu"))))
    async with playing(world, WAITS) as player:
        world.submit_run(member, "w", version)
        await world.until(lambda: happened(member, "step_leased"))
        (request,) = player.running.values()
        world.command(member, "run", cancel=command_pb2.RequestRunCancel())
        await world.until(lambda: happened(member, "step_stop_requested"))
        world.report(request.key, partition=request.partition, stopped=step_pb2.StepStopped())
        await world.until(lambda: ended(member))
        await world.until(lambda: member.store.store.list_permits("default")[0].taken == 0)


def _calls(child: str, name: str = "call", **params: d.Binding) -> d.Block:
    sub = d.SubWorkflow(workflow=child, params=params, outputs={"result": d.VALUE_TYPE_ANY})
    return d.Block(name=name, sub_workflow=sub)


def _child() -> d.WorkflowDefinition:
    given = d.Binding(parameter="n")
    return workflow(
        chain(step("work", n=given)),
        "child",
        parameters=[d.Parameter(name="n", type=d.VALUE_TYPE_INT)],
        outputs={"result": d.Output(type=d.VALUE_TYPE_ANY, value=output("work"))},
    )


CALLS = 12


async def test_a_sub_workflow_has_a_run_of_its_own_and_gives_its_outputs(
    world: World, member: Member
) -> None:
    world.register(member, _child())
    # So many that chance does not give all of them one partition.
    calls = [_calls("child", f"call{n}", n=literal(n)) for n in range(CALLS)]
    version = world.register(member, workflow(fan(*calls)))
    async with playing(world, lambda request: {"out": request.spec.inputs_json["n"]}):
        world.submit_run(member, "w", version, priority=4)
        await world.until(lambda: ended(member))
    assert run_of(member).row.status == t.SUCCEEDED
    children = [
        run for run in member.store.store.list_runs("default").runs if run.parent_run_id == "run"
    ]
    assert len(children) == CALLS
    assert {run.row.priority for run in children} == {4}
    assert {run.depth for run in children} == {1}
    assert len({run.partition for run in children}) > 1, (
        "their partitions differ from their parent's"
    )
    verified(member)
    verified(member, children[0].run_id)


async def test_a_child_with_wrong_parameters_fails_its_block(world: World, member: Member) -> None:
    world.register(member, _child())
    version = world.register(member, workflow(chain(_calls("child", n=literal("seven")))))
    world.submit_run(member, "w", version)
    await world.until(lambda: ended(member))
    assert "'n' must be an integer" in run_of(member).row.error


async def test_a_cancelled_parent_takes_its_child_with_it(world: World, member: Member) -> None:
    world.register(member, _child())
    version = world.register(member, workflow(chain(_calls("child", n=literal(1)))))
    async with playing(world, WAITS) as player:
        world.submit_run(member, "w", version)
        await world.until(lambda: len(player.running) == 1)
        (request,) = player.running.values()
        await world.until(lambda: happened(member, "step_leased", request.key.run_id))
        world.command(member, "run", cancel=command_pb2.RequestRunCancel(reason="enough"))
        await world.until(lambda: happened(member, "step_stop_requested", request.key.run_id))
        world.report(request.key, partition=request.partition, stopped=step_pb2.StepStopped())
        await world.until(lambda: ended(member))
    assert run_of(member).row.status == t.CANCELLED
    assert run_of(member, request.key.run_id).row.status == t.CANCELLED


async def test_a_failed_run_is_opened_again_by_a_retry_and_keeps_what_succeeded(
    world: World, member: Member
) -> None:
    version = world.register(member, workflow(chain(step("a"), step("b"))))
    fails = {"b"}
    async with playing(
        world, lambda request: BAD if request.key.path in fails else {"out": 1}
    ) as player:
        world.submit_run(member, "w", version)
        await world.until(lambda: ended(member))
        assert run_of(member).row.status == t.FAILED
        world.command(member, "run", restart=command_pb2.RestartRun(path="nowhere"))
        await world.until(lambda: happened(member, "command_refused"))
        fails.clear()
        world.command(member, "run", retry=command_pb2.RetryRun())
        await world.until(lambda: run_of(member).row.status == t.SUCCEEDED)
    assert [request.key.path for request in player.requests] == ["a", "b", "b"]
    verified(member)


async def test_a_paused_run_starts_nothing_until_it_is_resumed(
    world: World, member: Member
) -> None:
    version = world.register(member, workflow(chain(step("a"), step("b"))))
    async with playing(world, WAITS) as player:
        world.submit_run(member, "w", version)
        await world.until(lambda: "a" in player.running)
        world.command(member, "run", pause=command_pb2.PauseRun())
        await world.until(lambda: run_of(member).row.status == t.PAUSED)
        player.end("a", {"out": 1})
        await world.until(lambda: happened(member, "step_ended"))
        assert len(player.requests) == 1
        world.command(member, "run", resume=command_pb2.ResumeRun())
        await world.until(lambda: "b" in player.running)
        player.end("b", {"out": 1})
        await world.until(lambda: ended(member))


async def test_a_fork_goes_on_from_where_the_other_run_was(world: World, member: Member) -> None:
    version = world.register(member, workflow(chain(step("a"), step("b"), step("c"))))
    async with playing(
        world, lambda request: BAD if request.key.path == "c" else {"out": 1}
    ) as player:
        world.submit_run(member, "w", version)
        await world.until(lambda: ended(member))
        player.play = lambda request: {"out": 2}
        seq = next(e.seq for e in happened(member, "step_ended") if e.step_ended.path == "a")
        world.submit_run(member, "w", version, "fork", fork_run_id="run", fork_seq=seq)
        await world.until(lambda: ended(member, "fork"))
        # A fork of a fork, with something reset.
        last = run_of(member, "fork").row.seq
        world.submit_run(
            member, "w", version, "again", fork_run_id="fork", fork_seq=last, fork_reset=("b",)
        )
        await world.until(lambda: ended(member, "again"))
    paths = [(request.key.run_id, request.key.path) for request in player.requests]
    assert paths[3:] == [("fork", "b"), ("fork", "c"), ("again", "b"), ("again", "c")]
    assert run_of(member, "again").row.status == t.SUCCEEDED
    for run_id in ("run", "fork", "again"):
        verified(member, run_id)


async def test_a_signal_reaches_the_runner_that_holds_the_step(
    world: World, member: Member
) -> None:
    version = world.register(member, workflow(chain(step("a"))))
    async with playing(world, WAITS) as player:
        world.submit_run(member, "w", version)
        await world.until(lambda: happened(member, "step_leased"))
        signal = command_pb2.SignalRun(name="faster", payload_json="2", path="a")
        world.command(member, "run", signal=signal)
        (command,) = await world.commanded()
        assert (command.signal.name, command.signal.payload_json) == ("faster", "2")
        assert command.signal.key == player.requests[0].key
        assert command.signal.epoch == 1
        player.end("a", {"out": 1})
        await world.until(lambda: ended(member))


async def test_the_holder_of_an_exclusive_step_is_let_begin(world: World, member: Member) -> None:
    block = step("a")
    block.step.exclusive = True
    version = world.register(member, workflow(chain(block)))
    async with playing(world, WAITS) as player:
        world.submit_run(member, "w", version)
        (command,) = await world.commanded()
        assert command == runner_pb2.RunnerCommand(
            grant=runner_pb2.GrantStep(
                key=player.requests[0].key, epoch=1, partition=player.requests[0].partition
            )
        )
        player.end("a", {"out": 1})
        await world.until(lambda: ended(member))


async def test_a_run_that_waits_keeps_no_memory_for_changes(world: World, member: Member) -> None:
    gate = d.Block(name="wait", gate=d.Gate(signal=d.SignalGate(name="go")))
    version = world.register(member, workflow(chain(gate)))
    world.submit_run(member, "w", version)
    await world.until(lambda: bool(happened(member, "block_started")))
    state = member.coordinator.find_run("run")
    assert state is not None
    # The rows were taken before the commit; what only changes need is made again when something changes.
    assert state._transient is None
    assert replay.stored(member.store.store.load_run("run"), state.workflow)._transient is None


async def test_a_timer_gate_opens_in_time(world: World, member: Member) -> None:
    gate = d.Block(name="wait", gate=d.Gate(timer=d.TimerGate(after_ms=literal(3_000))))
    version = world.register(member, workflow(chain(gate)))
    world.submit_run(member, "w", version)
    await world.until(lambda: happened(member, "block_started"))
    world.clock.now += 2.8
    world.submit(member, "other")
    await world.until(lambda: happened(member, "step_became_ready", "other"))
    assert not ended(member)
    world.clock.now += 0.2
    await world.until(lambda: ended(member))


async def test_the_next_owner_asks_again_for_what_the_last_one_was_asked(
    world: World, member: Member
) -> None:
    member.store.store.set_permits("default", "tag:gpu", 1)
    version = world.register(member, workflow(chain(_tagged("x", "gpu"))))
    async with playing(world, WAITS) as player:
        world.submit_run(member, "w", version, "a")
        await world.until(lambda: len(player.running) == 1)
        world.submit_run(member, "w", version, "b")
        await world.until(lambda: happened(member, "run_started", "b"))
        await member.transport.stop()
        successor = Member(world, "second")
        await successor.start()
        try:
            world.clock.now += 3
            player.end("x", {"out": 1})
            await world.until(lambda: ended(successor, "a"))
            await world.until(lambda: len(player.requests) == 2)
            player.end("x", {"out": 1})
            await world.until(lambda: ended(successor, "b"))
        finally:
            await successor.stop()


async def test_a_child_that_ends_while_its_parents_owner_is_moving_ends_its_block(
    world: World, member: Member
) -> None:
    world.register(member, _child())
    version = world.register(member, workflow(chain(_calls("child", n=literal(1)))))
    async with playing(world, WAITS) as player:
        world.submit_run(member, "w", version)
        await world.until(lambda: player.running)
        (request,) = player.running.values()
        child, parent = request.key.run_id, run_of(member)
        await world.until(lambda: happened(member, "step_leased", child))
        # Another process has just become the owner of the parent's partition, and has read it already.
        member.store.store.claim_partition(parent.partition, "second")
        loaded = member.store.store.load_runs(parent.partition)
        assert "run" in {each.run_id for each in loaded}
        # In the same partition the word of the child's end may be lost with its owner: then it runs again.
        player.play = lambda request: {"out": 7}
        player.end("work", {"out": 7})
        if parent.partition != run_of(member, child).partition:
            await world.until(lambda: ended(member, child))
        await member.transport.stop()
        successor = Member(world, "third")
        await successor.start()
        try:
            world.clock.now += 3
            await world.until(lambda: ended(successor))
        finally:
            await successor.stop()
    assert run_of(member).row.status == t.SUCCEEDED
    ends = happened(member, "block_ended")
    assert [dict(each.block_ended.outputs_json) for each in ends] == [{"result": "7"}]
    verified(member)


async def test_two_processes_never_exceed_a_permit_of_one(world: World, member: Member) -> None:
    other = Member(world, "second")
    await other.start()
    try:
        await world.until(lambda: member.coordinator.epochs() and other.coordinator.epochs())
        owned = (set(member.coordinator.epochs()), set(other.coordinator.epochs()))
        member.store.store.set_permits("default", "tag:gpu", 1)
        runs = [f"run-{number}" for number in range(8)]
        async with playing(world, WAITS) as player:
            for name in runs:
                version = world.register(member, workflow(chain(_tagged(f"s-{name}", "gpu")), name))
                run = world.submit_run(member, name, version, name)
                other.coordinator.wake(run.partition)
            places = {run_of(member, name).partition for name in runs}
            assert all(places & each for each in owned), "both processes have runs that want it"
            for _ in runs:
                await world.until(lambda: player.running)
                player.end(next(iter(player.running)), {"out": 1})
            await world.until(lambda: all(ended(member, name) for name in runs))
        assert player.most_at_once == 1
        assert member.store.store.list_permits("default")[0].taken == 0
    finally:
        await other.stop()
