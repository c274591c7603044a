"""What a tenant may submit: its highest priority, its quotas, and what its schedules may do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc import aio

from kaon_coordinator.matching.tenants import NO_LIMITS, Tenants, tenants_from
from kaon_coordinator.store.records import SetAside, TenantRecord, TokenRecord
from kaon_wire import topics
from kaonapi.run.v1 import run_service_pb2 as r
from kaonapi.runner.v1 import runner_pb2, runner_pb2_grpc
from kaonapi.schedule.v1 import schedule_pb2 as s
from kaonapi.system.v1 import system_pb2, system_pb2_grpc
from kaonapi.workflow.v1 import definition_pb2 as d
from kaonapi.workflow.v1 import workflow_service_pb2 as w
from kaonapi.workflow.v1 import workflow_service_pb2_grpc

from ..engine.build import chain, step
from ..shell.world import World
from .callers import BELIEVING, person
from .whole import Whole, serving

ANN = person("blue", "author")
ROOT = person("blue", "platform-admin", name="root")
BLUE = TenantRecord(
    name="blue",
    enabled=True,
    create_us=1,
    created_by="root",
    highest_priority=5,
    topics=("orders",),
)
PERMISSION_DENIED = grpc.StatusCode.PERMISSION_DENIED


@asynccontextmanager
async def closed(path: Path, entitlements: Tenants = NO_LIMITS) -> AsyncIterator[Whole]:
    """A system that authenticates, with a tenant and the token of its author ann."""
    world = World(path)
    async with serving(world, guard=BELIEVING, entitlements=entitlements) as whole:
        store = whole.member.store.store
        store.put_tenant(BLUE)
        store.add_token(
            TokenRecord(
                token_id="t1",
                digest="0" * 64,
                tenant="blue",
                name="ann",
                roles=("author",),
                kind="person",
                pool="",
                create_us=1,
                created_by="root",
                expire_us=0,
                revoke_us=0,
            )
        )
        yield whole


async def register(whole: Whole, *blocks: d.Block, name: str = "w") -> None:
    """A workflow of the tenant."""
    workflows = workflow_service_pb2_grpc.WorkflowServiceStub(whole.channel)
    definition = d.WorkflowDefinition(
        name=name,
        body=chain(*blocks),
        parameters=[d.Parameter(name="day", type=d.VALUE_TYPE_STRING, default_json='"x"')],
    )
    await workflows.RegisterWorkflow(w.RegisterWorkflowRequest(definition=definition), metadata=ANN)


async def refused(call: Awaitable[object], code: grpc.StatusCode = PERMISSION_DENIED) -> str:
    """The text of a refusal."""
    with pytest.raises(aio.AioRpcError) as told:
        await call
    assert told.value.code() == code, told.value.details()
    return told.value.details() or ""


def urgent(name: str, priority: int, **fields: Any) -> d.Block:
    """A step with a priority."""
    block = step(name)
    block.step.priority = priority
    block.step.resources.MergeFrom(d.Resources(**fields))
    return block


def cron(**fields: Any) -> s.PutScheduleRequest:
    """A schedule of that workflow, due every minute."""
    usual = {"name": "beat", "workflow": "w", "cron": s.Cron(expression="* * * * *")}
    return s.PutScheduleRequest(schedule=s.Schedule(**(usual | fields)))


async def test_a_priority_is_bounded_wherever_it_is_given(tmp_path: Path) -> None:
    async with closed(tmp_path) as whole:
        await register(whole, step("a"))
        backfill = s.BackfillRequest(
            workflow="w",
            parameter="day",
            first_date="2026-01-01",
            last_date="2026-01-02",
            priority=6,
        )
        wrong: list[Any] = [
            (whole.runs.SubmitRun, r.SubmitRunRequest(workflow="w", priority=6)),
            (
                whole.runs.SubmitRun,
                r.SubmitRunRequest(workflow="w", priority=6, validate_only=True),
            ),
            (whole.schedules.PutSchedule, cron(priority=6)),
            (whole.schedules.Backfill, backfill),
        ]
        for method, request in wrong:
            text = await refused(method(request, metadata=ANN))
            assert text.startswith("priority 6: the highest of tenant blue is 5")
        assert whole.member.store.store.list_runs("blue", page_size=10).runs == []
        asked = r.SubmitRunRequest(workflow="w", priority=5)
        run = (await whole.runs.SubmitRun(asked, metadata=ANN)).run
        raised = r.SetRunPriorityRequest(run_id=run.run_id, priority=6)
        await refused(whole.runs.SetRunPriority(raised, metadata=ANN))
        await whole.runs.SetRunPriority(raised, metadata=ROOT)
        again = await whole.runs.RerunRun(r.RerunRunRequest(run_id=run.run_id), metadata=ANN)
        assert again.run.priority == 5


async def test_the_priorities_of_steps_count_also_those_of_sub_workflows(tmp_path: Path) -> None:
    async with closed(tmp_path) as whole:
        await register(whole, urgent("deep", 4), name="child")
        call = d.Block(name="call", sub_workflow=d.SubWorkflow(workflow="child"))
        await register(whole, urgent("a", 3), call)
        high = r.SubmitRunRequest(workflow="w", priority=2)
        text = await refused(whole.runs.SubmitRun(high, metadata=ANN))
        assert text.startswith("priority 2, with 4 of step deep: the highest of tenant blue is 5")
        await whole.runs.SubmitRun(r.SubmitRunRequest(workflow="w", priority=1), metadata=ANN)


async def test_a_submission_of_a_known_version_waits_for_no_thread_that_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(World(tmp_path)) as whole:
        asked = r.SubmitRunRequest(workflow="w", version=whole.register(step("a")))
        await whole.runs.SubmitRun(asked)
        store, read = whole.member.store, list[str]()

        async def noted(call: Any, *arguments: Any, **named: Any) -> Any:
            read.append(call.__name__)
            return await asyncio.to_thread(call, *arguments, **named)

        monkeypatch.setattr(store, "read", noted)
        await whole.runs.SubmitRun(asked)
        await whole.runs.ListRuns(r.ListRunsRequest())
        # Owners and schedules read meanwhile, too.
        submissions = {"get_workflow", "previous_success", "_all_needs", "find_tenant"}
        assert "list_runs" in read
        assert not submissions & set(read)


async def test_a_step_that_can_never_fit_the_quota_is_refused_by_name(tmp_path: Path) -> None:
    quotas = tenants_from({"tenants": {"blue": {"quota": {"slots": 4, "memory": "1GiB"}}}})
    async with closed(tmp_path, quotas) as whole:
        await register(whole, urgent("small", 0), urgent("big", 0, slots=2, memory_bytes=2 << 30))
        asked = r.SubmitRunRequest(workflow="w")
        text = await refused(
            whole.runs.SubmitRun(asked, metadata=ANN), grpc.StatusCode.INVALID_ARGUMENT
        )
        assert "step big needs 2 slots, 2 GiB of memory, and the quota of tenant blue" in text
        await register(whole, urgent("big", 0, slots=4))
        await whole.runs.SubmitRun(asked, metadata=ANN)


async def test_a_schedule_names_who_put_it_whatever_the_client_says(tmp_path: Path) -> None:
    async with closed(tmp_path) as whole:
        await register(whole, step("a"))
        put = cron(put_by="root", put_roles=["platform-admin"], put_authentication="off")
        kept = (await whole.schedules.PutSchedule(put, metadata=ANN)).schedule
        assert (kept.put_by, kept.put_authentication) == ("ann", "token")
        assert list(kept.put_roles) == ["author", "operator", "viewer"]


async def test_a_schedule_stops_while_its_tenant_is_disabled_and_says_so(tmp_path: Path) -> None:
    async with closed(tmp_path) as whole:
        store = whole.member.store.store
        await register(whole, step("a"))
        await whole.schedules.PutSchedule(cron(), metadata=ANN)
        store.put_tenant(replace(BLUE, enabled=False))
        whole.world.clock.now += 120
        await whole.scheduler.scan()
        assert store.list_runs("blue", page_size=10).runs == []
        listed = await whole.schedules.ListSchedules(s.ListSchedulesRequest(), metadata=ANN)
        assert listed.schedules[0].last_error == "it stops: tenant blue is disabled"
        store.put_tenant(BLUE)
        whole.world.clock.now += 3_600
        await whole.scheduler.scan()
        (run,) = store.list_runs("blue", page_size=10).runs
        # Whom an approval means that asks for somebody else than the submitter.
        assert (run.submitter, run.origin) == ("ann", "schedule:beat")
        assert (await _schedule(whole)).last_error == ""


async def test_a_schedule_stops_when_who_put_it_has_no_token_any_more(tmp_path: Path) -> None:
    async with closed(tmp_path) as whole:
        store = whole.member.store.store
        await register(whole, step("a"))
        await whole.schedules.PutSchedule(cron(), metadata=ANN)
        store.revoke_token("blue", "t1", 1)
        whole.world.clock.now += 120
        await whole.scheduler.scan()
        assert store.list_runs("blue", page_size=10).runs == []
        assert "ann, who put it, has no valid token" in (await _schedule(whole)).last_error


async def _schedule(whole: Whole) -> s.Schedule:
    request = s.GetScheduleRequest(name="beat")
    return (await whole.schedules.GetSchedule(request, metadata=ANN)).schedule


async def test_no_schedule_reads_the_topics_of_kaon(tmp_path: Path) -> None:
    own = [*(topic.name for topic in topics.Catalogue().topics()), topics.step_ready("gpu")]
    async with serving(World(tmp_path)) as whole:
        whole.register(step("a"))
        for topic in (*own, "__consumer_offsets"):
            put = cron(cron=None, record_arrived=s.RecordArrived(topic=topic))
            assert "own" in await refused(whole.schedules.PutSchedule(put))


async def test_a_schedule_reads_the_topics_that_its_tenant_is_granted(tmp_path: Path) -> None:
    async with closed(tmp_path) as whole:
        await register(whole, step("a"))
        other = cron(cron=None, record_arrived=s.RecordArrived(topic="payments"))
        text = await refused(whole.schedules.PutSchedule(other, metadata=ANN))
        assert text.startswith("tenant blue is not granted topic 'payments'")
        granted = cron(cron=None, record_arrived=s.RecordArrived(topic="orders"))
        await whole.schedules.PutSchedule(granted, metadata=ANN)
        whole.member.store.store.put_tenant(replace(BLUE, topics=()))
        await whole.scheduler.scan()
        assert "not granted topic 'orders'" in (await _schedule(whole)).last_error


async def test_diagnosis_and_pools_show_other_tenants_as_numbers(tmp_path: Path) -> None:
    async with closed(tmp_path) as whole:
        green = person("green", "author", name="gil")
        await register(whole, step("a"))
        run = (await whole.runs.SubmitRun(r.SubmitRunRequest(workflow="w"), metadata=ANN)).run
        pools = runner_pb2_grpc.RunnerServiceStub(whole.channel)
        await whole.world.until(lambda: whole.member.coordinator.pools.view("default") is not None)
        view = whole.member.coordinator.pools.view
        await whole.world.until(lambda: (found := view("default")) is not None and found.waiting)
        request = runner_pb2.ListPoolsRequest()
        told = (await pools.ListPools(request, metadata=green)).pools[0]
        assert (told.waiting, told.other_tenants, "blue" in str(told)) == (1, 1, False)
        assert "blue" in str((await pools.ListPools(request, metadata=ANN)).pools[0])
        assert "blue" in str(
            (await pools.ListPools(request, metadata=person("green", "platform-admin"))).pools[0]
        )
        whole.member.store.store.put_aside(_aside(run.run_id))
        system = system_pb2_grpc.SystemServiceStub(whole.channel)
        for caller, shown in ((ANN, True), (green, False), (ROOT, True)):
            answer = str(await system.Diagnose(system_pb2.DiagnoseRequest(), metadata=caller))
            assert (run.run_id in answer) is shown
            assert ("1 run or schedule of other tenants" in answer) is not shown


def _aside(run_id: str) -> SetAside:
    return SetAside(
        kind="run", tenant="", name=run_id, partition=0, reference="r", reason="why", time_us=1
    )
