"""Many runs with one call: each is accepted or refused as SubmitRun would, and none twice."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc import StatusCode, aio

from kaon_coordinator.api import many_runs
from kaon_coordinator.api import submission as submissions
from kaon_coordinator.api.server import ApiServer
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.store.base import PartitionBatch
from kaon_service.access.guard import Guard
from kaon_service.access.limits import AllLimits, TenantLimits
from kaon_service.access.recording import CallRecord
from kaon_wire import canonical
from kaon_wire.errors import Unavailable
from kaon_wire.partitioning import partition_of
from kaonapi.run.v1 import run_pb2, run_service_pb2_grpc
from kaonapi.run.v1 import run_service_pb2 as r
from kaonapi.workflow.v1 import definition_pb2 as d
from kaonapi.workflow.v1 import workflow_service_pb2 as w
from kaonapi.workflow.v1 import workflow_service_pb2_grpc

from ..engine.build import step
from ..shell.player import playing
from ..shell.world import World
from .callers import BELIEVING, person
from .conftest import PARTITIONS, Api, definition, submission
from .whole import Whole, serving

# Codes, as numbers.
INVALID_ARGUMENT, NOT_FOUND, ALREADY_EXISTS, EXHAUSTED, UNAVAILABLE = (
    code.value[0]
    for code in (
        StatusCode.INVALID_ARGUMENT,
        StatusCode.NOT_FOUND,
        StatusCode.ALREADY_EXISTS,
        StatusCode.RESOURCE_EXHAUSTED,
        StatusCode.UNAVAILABLE,
    )
)


async def submit(
    stub: Any, requests: Iterable[r.SubmitRunRequest], **call: Any
) -> Sequence[r.SubmittedRun]:
    """The answers to requests in one call."""
    answered: r.SubmitRunsResponse = await stub.SubmitRuns(
        r.SubmitRunsRequest(requests=requests), **call
    )
    return answered.answers


def keyed(count: int, **fields: Any) -> list[r.SubmitRunRequest]:
    """Requests, each with a key."""
    return [
        r.SubmitRunRequest(workflow="w", idempotency_key=f"k{number}", **fields)
        for number in range(count)
    ]


def begun(whole: Whole) -> list[list[PartitionBatch]]:
    """The transactions that begin runs from now on."""
    seen: list[list[PartitionBatch]] = []
    store = whole.member.store.store
    write = store.commit_all

    def commit_all(batches: Sequence[PartitionBatch]) -> frozenset[int]:
        if any(batch.begun for batch in batches):
            seen.append(list(batches))
        return write(batches)

    store.commit_all = commit_all  # type: ignore[method-assign]
    return seen


async def test_runs_of_one_call_begin_together_and_are_answered_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(submissions, "TOGETHER", 10)
    world = World(tmp_path, run_partitions=2)
    async with serving(world) as whole, playing(world):
        number = d.Parameter(name="n", type=d.VALUE_TYPE_INT)
        version = whole.register(step("a"), parameters=[number])
        await world.until(lambda: whole.member.coordinator.partitions_owned == 2)
        transactions = begun(whole)
        requests = [
            r.SubmitRunRequest(workflow="w", params_json={"n": str(n)}, labels={"n": f"x{n}"})
            for n in range(20)
        ]
        answers = await submit(whole.runs, requests)
        sizes = [sum(len(batch.begun) for batch in group) for group in transactions]
        assert sizes == [10, 10]
        store = whole.member.store.store
        for n, answer in enumerate(answers):
            assert (answer.created, answer.version) == (True, version)
            run = store.get_run("default", answer.run_id)
            assert (dict(run.params), dict(run.labels)) == ({"n": str(n)}, {"n": f"x{n}"})
            assert await whole.ended(answer.run_id) == t.SUCCEEDED


async def test_a_bad_request_is_refused_as_alone_and_the_others_are_accepted(api: Api) -> None:
    await api.register()
    bad = [
        submission(workflow="unknown"),
        submission(version=f"sha256:{'0' * 64}"),
        submission(params_json={}),
        submission(params_json={"users": "ten", "user": "1"}),
        submission(params_json={"users": "NaN"}),
        submission(params_json={"users": "1", "name": canonical.dumps("x" * 300_000)}),
        submission(idempotency_key="schedule:a"),
        submission(idempotency_key="x" * 201),
        submission(priority=2_000_000_000),
        submission(labels={"a b": "x"}),
        submission(targets=run_pb2.RunTargets(only=["nothing"])),
    ]
    requests = [each for one in bad for each in (one, submission())]
    answers = await submit(api.runs, requests)
    for one, refused, accepted in zip(bad, answers[::2], answers[1::2], strict=True):
        with pytest.raises(aio.AioRpcError) as told:
            await api.runs.SubmitRun(one)
        assert refused.refusal.code == told.value.code().value[0]
        assert refused.refusal.message == told.value.details()
        assert (refused.run_id, refused.version, refused.created) == ("", "", False)
        assert api.store.get_run("default", accepted.run_id).run_id == accepted.run_id
    assert len(api.store.list_runs("default", page_size=100).runs) == len(bad)


async def test_requests_for_other_owners_are_stored_with_one_wake_up_a_partition(api: Api) -> None:
    """As a process does that serves the API and owns nothing."""
    await api.register()
    answers = await submit(api.runs, [submission() for _ in range(100)])
    partitions = {partition_of(answer.run_id, PARTITIONS) for answer in answers}
    starts = [row.run_id for each in partitions for row in api.store.unapplied(each)]
    assert sorted(starts) == sorted(answer.run_id for answer in answers)
    woken = [await asyncio.wait_for(api.others.wakes.get(), 5) for _ in partitions]
    assert sorted(woken) == sorted(partitions)
    assert api.others.wakes.empty()


async def test_a_request_too_large_and_too_many_are_refused(api: Api) -> None:
    await api.register()
    large = submission(labels={f"l{n}": "x" * 4_000 for n in range(200)})
    answers = await submit(api.runs, [large, submission()])
    assert answers[0].refusal.code == INVALID_ARGUMENT
    assert "bytes, at most" in answers[0].refusal.message
    assert answers[1].created
    with pytest.raises(aio.AioRpcError, match="there are 1001; use at most 1000") as told:
        await submit(api.runs, [submission()] * (many_runs.MOST_REQUESTS + 1))
    assert told.value.code() == StatusCode.INVALID_ARGUMENT
    assert len(api.store.list_runs("default").runs) == 1
    assert list(await submit(api.runs, [])) == []


async def test_what_is_only_validated_stores_nothing(api: Api) -> None:
    workflow = await api.register()
    wrong = submission(params_json={"users": '"many"'}, validate_only=True)
    right, real = submission(validate_only=True), submission()
    answers = await submit(api.runs, [wrong, right, real])
    assert "'users' must be an integer" in answers[0].refusal.message
    assert (answers[1].run_id, answers[1].version) == ("", workflow.version)
    assert not answers[1].HasField("refusal")
    (stored,) = api.store.list_runs("default").runs
    assert stored.run_id == answers[2].run_id


async def test_a_key_makes_one_run_in_one_call_and_in_two(tmp_path: Path) -> None:
    world = World(tmp_path)
    async with serving(world) as whole, playing(world):
        number = d.Parameter(name="n", type=d.VALUE_TYPE_INT, default_json="0")
        whole.register(step("a"), parameters=[number])
        await world.until(lambda: whole.member.coordinator.partitions_owned == 1)
        first = await submit(whole.runs, [*keyed(3), *keyed(3)])
        assert [each.created for each in first] == [True] * 3 + [False] * 3
        assert [each.run_id for each in first[:3]] == [each.run_id for each in first[3:]]
        again = await submit(whole.runs, [*keyed(3), *keyed(2, params_json={"n": "1"})])
        assert [each.run_id for each in again[:3]] == [each.run_id for each in first[:3]]
        assert [each.refusal.code for each in again[3:]] == [ALREADY_EXISTS] * 2
        assert first[0].run_id in again[3].refusal.message
        assert len(whole.member.store.store.list_runs("default").runs) == 3


async def test_a_coordinator_that_dies_after_the_commit_leaves_runs_that_the_same_keys_find(
    tmp_path: Path,
) -> None:
    world = World(tmp_path)
    requests = keyed(20)
    async with serving(world) as whole:
        whole.register(step("a"))
        await world.until(lambda: whole.member.coordinator.partitions_owned == 1)
        store = whole.member.store.store
        write = store.commit_all

        def dies(batches: Sequence[PartitionBatch]) -> frozenset[int]:
            write(batches)
            if any(batch.begun for batch in batches):
                raise Unavailable("killed between the commit and the answer")
            return frozenset()

        store.commit_all = dies  # type: ignore[method-assign]
        answers = await submit(whole.runs, requests)
        # Nobody knows of those that the turn was to begin.
        assert [each.refusal.code for each in answers] == [UNAVAILABLE] * 20
        assert not whole.member.works
    async with serving(world, "second") as whole, playing(world):
        await world.until(lambda: whole.member.coordinator.partitions_owned == 1)
        stored = {
            run.run_id for run in whole.member.store.store.list_runs("default", page_size=500).runs
        }
        again = await submit(whole.runs, requests)
        assert {each.run_id for each in again} == stored
        assert not any(each.created for each in again)
        for each in again:
            assert await whole.ended(each.run_id) == t.SUCCEEDED


async def test_two_coordinators_run_what_one_of_them_was_given(tmp_path: Path) -> None:
    world = World(tmp_path, run_partitions=2)
    async with serving(world) as whole, serving(world, "second") as other, playing(world):
        whole.register(step("a"))
        await world.until(
            lambda: [each.member.coordinator.partitions_owned for each in (whole, other)] == [1, 1]
        )
        answers = await submit(whole.runs, keyed(40))
        owners = {partition_of(each.run_id, 2) for each in answers}
        assert owners == {0, 1}
        world.clock.now += 0.1
        for each in answers:
            assert await whole.ended(each.run_id) == t.SUCCEEDED


async def test_another_tenants_workflow_and_artifact_are_as_if_there_were_none(
    tmp_path: Path,
) -> None:
    world = World(tmp_path)
    theirs = world.artifacts.put_bytes(b"green's secret", "file")
    blue, green = person("blue", "author"), person("green", "author")
    async with serving(world, guard=BELIEVING) as whole:
        await world.until(lambda: whole.member.coordinator.partitions_owned == 1)
        workflows = workflow_service_pb2_grpc.WorkflowServiceStub(whole.channel)
        data = d.Parameter(name="data", type=d.VALUE_TYPE_ANY, default_json="null")
        for who, name in ((blue, "own"), (green, "own"), (green, "theirs")):
            shape = d.WorkflowDefinition(
                name=name, body=d.Graph(blocks=[step("a")]), parameters=[data]
            )
            await workflows.RegisterWorkflow(
                w.RegisterWorkflowRequest(definition=shape), metadata=who
            )
        whole.member.store.store.grant("green", {theirs.digest.removeprefix("sha256:"): 1})

        def of(workflow: str, digest: str = "") -> r.SubmitRunRequest:
            value = {"artifact": {"digest": digest, "uri": theirs.uri}} if digest else None
            return r.SubmitRunRequest(
                workflow=workflow, params_json={"data": canonical.dumps(value)}
            )

        requests = [of("theirs"), of("nobodys"), of("own", theirs.digest), of("own")]
        answers = await submit(whole.runs, requests, metadata=blue)
        assert [each.refusal.code for each in answers] == [NOT_FOUND] * 3 + [0]
        told = [each.refusal.message for each in answers]
        assert told[0].replace("theirs", "NAME") == told[1].replace("nobodys", "NAME")
        assert told[2] == f"there is no artifact {theirs.digest}"
        answers = await submit(whole.runs, requests, metadata=green)
        assert [each.refusal.code for each in answers] == [0, NOT_FOUND, 0, 0]
        with pytest.raises(aio.AioRpcError) as refused:
            await submit(whole.runs, requests, metadata=person("blue", "viewer"))
        assert refused.value.code() == StatusCode.PERMISSION_DENIED


@pytest.mark.parametrize(
    ("limits", "told"),
    [
        (TenantLimits(open_runs=5), "has 5 open runs, and may have 5"),
        (TenantLimits(submissions_per_minute=3), "limit submissions_per_minute"),
    ],
)
async def test_the_first_get_in_up_to_a_limit_and_keys_that_were_used_take_no_place(
    api: Api, limits: TenantLimits, told: str
) -> None:
    await api.register()
    old = await api.submit(idempotency_key="k1")
    await api.submit(idempotency_key="other")
    server = ApiServer(replace(api.parts, tenant_limits=AllLimits(default=limits)))
    port = await server.start("127.0.0.1:0")
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = run_service_pb2_grpc.RunServiceStub(channel)
        requests = [
            submission(idempotency_key=key)
            for key in ("k0", "k0", "k1", "k2", "k3", "k4", "k4", "k1")
        ]
        answers = await submit(stub, requests)
    await server.stop(grace=0)
    assert [each.refusal.code for each in answers] == [0, 0, 0, 0, 0, EXHAUSTED, EXHAUSTED, 0]
    assert told in answers[5].refusal.message
    assert (answers[5].refusal.retry_ms > 0) == bool(limits.submissions_per_minute)
    assert answers[2].run_id == answers[7].run_id == old.run_id
    assert [each.created for each in answers] == [
        True,
        False,
        False,
        True,
        True,
        False,
        False,
        False,
    ]


async def test_each_request_is_recorded_with_its_own_end(api: Api) -> None:
    calls: list[CallRecord] = []

    class Recorder:
        async def recorded(self, call: CallRecord) -> None:
            calls.append(call)

    await api.register()
    guard = replace(BELIEVING, recorder=Recorder())
    assert isinstance(guard, Guard)
    server = ApiServer(replace(api.parts, guard=guard))
    port = await server.start("127.0.0.1:0")
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = run_service_pb2_grpc.RunServiceStub(channel)
        requests = [submission(), submission(workflow="unknown")]
        await submit(stub, requests, metadata=person("default", "operator"))
    await server.stop(grace=0)
    (call,) = calls
    assert [(part.request, part.outcome) for part in call.parts] == [
        (requests[0], "OK"),
        (requests[1], "NOT_FOUND"),
    ]


async def test_others_go_on_while_requests_are_checked(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With pieces of one request each, everything that can go on does so between two of them."""
    monkeypatch.setattr(many_runs, "_PIECE_SECONDS", 0.0)
    await api.register(name="nightly", parameters=definition().parameters)
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    checked: list[int] = []
    check = many_runs.check_bounds

    def noted(request: Any) -> None:
        checked.append(turns)
        check(request)

    monkeypatch.setattr(many_runs, "check_bounds", noted)
    counting = asyncio.create_task(count())
    await submit(api.runs, [submission() for _ in range(50)])
    counting.cancel()
    assert len(set(checked)) == 50
