"""Requests with extremes in any of their fields, over gRPC: only documented errors ever come back, and nothing that was accepted
stops anything but its own run."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import hostile
import hostile_calls
import pytest
from google.protobuf.descriptor import Descriptor, MethodDescriptor
from google.protobuf.message import Message
from hypothesis import event, given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from kaon_coordinator import faults as note
from kaon_coordinator.engine.decision import ENGINE_FAULT
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.gauges import Gauges
from kaon_telemetry.metrics import CoordinatorMetrics
from kaonapi.dataset.v1 import dataset_pb2
from kaonapi.log.v1 import log_pb2
from kaonapi.run.v1 import run_service_pb2 as r
from kaonapi.runner.v1 import runner_pb2
from kaonapi.schedule.v1 import schedule_pb2 as s
from kaonapi.step.v1 import step_pb2
from kaonapi.system.v1 import system_pb2
from kaonapi.workflow.v1 import definition_pb2 as d
from kaonapi.workflow.v1 import workflow_service_pb2 as w

from ..engine.build import step
from ..shell.player import Outcome, playing
from ..shell.world import World
from .whole import Whole, serving

FILES = (log_pb2, r, runner_pb2, s, system_pb2, w)
METHODS = hostile_calls.methods(file.DESCRIPTOR for file in FILES)
METADATA = (
    (),
    (("kaon-roles", "lead"),),
    (("kaon-tenant", "other"),),
    (("kaon-tenant", "A/../b"),),
    (("kaon-principal", "x" * 300),),
    (("kaon-roles", ",,"),),
    (("traceparent", "00-zz"),),
)


class Caller:
    """Calls with hostile requests, and keeps what it learns for the next."""

    def __init__(self, whole: Whole, faults: list[str]) -> None:
        self.whole = whole
        # References of what nobody has foreseen, wherever it was raised.
        self.faults = faults
        member = whole.member
        metrics = CoordinatorMetrics(CollectorRegistry())
        self.gauges = Gauges(metrics, member.coordinator, member.transport, ["default"])
        self.codes: Counter[str] = Counter()
        self.known: dict[str, list[str]] = {
            "run_id": [],
            "workflow": ["w", hostile.CHILD, "hostile"],
            "version": [""],
            "parameter": ["day"],
            "path": ["s", "a", "each", "each[1]/b", "again#1/b", "ask", "go", "group/b"],
            "first_date": ["2026-01-01", "0001-01-01"],
            "last_date": ["2026-01-03", "9999-12-31"],
            "pool": ["default"],
            "params_json.key": ["day", "n", "size", "p"],
            "params_cel.key": ["day", "n"],
            "page_token": [""],
            "name": ["sched", "go", "w"],
            "topic": ["model-events", "step-events"],
            "expression": ["* * * * *", "0 0 29 2 *"],
            "time_zone": ["", "UTC", "Europe/Berlin"],
            "reason": ["why"],
        }

    def template(self, chance: random.Random, kind: Descriptor) -> Message | None:
        """A request that is in order."""
        run_id = chance.choice(self.known["run_id"] or ["none"])
        cron = s.Cron(expression="* * * * *", time_zone="Europe/Berlin")
        schedule = s.Schedule(name="sched", workflow="w", cron=cron)
        made: dict[str, Message] = {
            "SubmitRunRequest": r.SubmitRunRequest(workflow="hostile", priority=1),
            "SubmitRunsRequest": r.SubmitRunsRequest(
                requests=[
                    r.SubmitRunRequest(workflow=name, priority=1) for name in ("hostile", "w")
                ]
            ),
            "SignalRunRequest": r.SignalRunRequest(run_id=run_id, name="go", payload_json="1"),
            "SignalRunsRequest": r.SignalRunsRequest(name="go", payload_json="1"),
            "MarkBlockRequest": r.MarkBlockRequest(
                run_id=run_id, path="a", status=t.SUCCEEDED, outputs_json={"out": "1"}, reason="why"
            ),
            "ForkRunRequest": r.ForkRunRequest(run_id=run_id, seq=2, reset=["a"]),
            "RerunRunRequest": r.RerunRunRequest(run_id=run_id),
            "SetRunPriorityRequest": r.SetRunPriorityRequest(run_id=run_id, priority=5),
            "PutScheduleRequest": s.PutScheduleRequest(schedule=schedule),
            "BackfillRequest": s.BackfillRequest(
                workflow="w",
                parameter="day",
                first_date="2026-01-01",
                last_date="2026-01-03",
                max_active=1,
            ),
            "RecordDatasetUpdateRequest": dataset_pb2.RecordDatasetUpdateRequest(
                name="sales", partition="day", outputs_json={"rows": "1"}
            ),
            "SetPermitsRequest": s.SetPermitsRequest(permits=s.Permits(tag="gold", limit=1)),
        }
        return made.get(kind.name)

    def request(self, chance: random.Random, kind: Descriptor) -> Message:
        """A request of a kind: what is in order with something that is not, or anything at all."""
        template = self.template(chance, kind)
        if template is None or chance.random() < 0.3:
            made: Any = kind._concrete_class
            return hostile.message(chance, made, self.known)
        hostile.spoil(chance, template, chance.choice((1, 1, 2, 3)), self.known)
        return template

    async def call(self, method: MethodDescriptor, request: Message, metadata: Any = ()) -> Any:
        """The answer, if the call is not refused."""
        code, answer = await hostile_calls.call(self.whole.channel, method, request, metadata)
        self.codes[code.name] += 1
        for each in answer.answers if isinstance(answer, r.SubmitRunsResponse) else ():
            refusal = each.refusal
            assert refusal.code in {code.value[0] for code in hostile_calls.DOCUMENTED}, refusal
            assert bool(refusal.message.strip()) == bool(refusal.code)
            assert "Traceback" not in refusal.message
        event(f"{method.name}: {code.name}")
        return answer

    async def run(self, definition: d.WorkflowDefinition, chance: random.Random) -> bool:
        """Registers a definition and submits a run of it. Whether it was accepted."""
        register = next(method for method in METHODS if method.name == "RegisterWorkflow")
        submit = next(method for method in METHODS if method.name == "SubmitRun")
        answer: Any = await self.call(register, w.RegisterWorkflowRequest(definition=definition))
        if answer is None:
            return False
        request = r.SubmitRunRequest(workflow=definition.name, version=answer.workflow.version)
        if chance.random() < 0.2:
            hostile.spoil(chance, request, 1, self.known)
        self.note(await self.call(submit, request))
        return True

    async def let_time_pass(self, chance: random.Random) -> None:
        """Schedules, retries and time-outs fall due, and gauges are read."""
        self.whole.world.clock.now += chance.choice((0, 0.01, 61, 3_700))
        await self.whole.scheduler.scan()
        self.gauges.look()

    def note(self, answer: Any) -> None:
        """Keeps the ids of runs."""
        run_id = getattr(getattr(answer, "run", None), "run_id", "")
        if run_id:
            self.known["run_id"] = [*self.known["run_id"][-4:], run_id]


def outcome(chance: random.Random, request: step_pb2.StepRequest) -> Outcome:
    """What becomes of a step: mostly it succeeds."""
    if request.key.run_id and chance.random() < 0.2 and request.spec.workflow != "w":
        return hostile.message(chance, step_pb2.StepError)
    return dict.fromkeys(request.spec.outputs, 1)


async def canary(whole: Whole) -> None:
    """Others go on: a run that is in order ends as it should."""
    run_id = await whole.submit(workflow="w", params_json={"day": '"2026-01-01"'})
    assert await whole.ended(run_id) == t.SUCCEEDED


async def one(caller: Caller, chance: random.Random) -> None:
    """One thing that a caller does."""
    whole = caller.whole
    if chance.random() < 0.5:
        definition, _ = hostile.hostile_definition(chance)
        accepted = await caller.run(definition, chance)
        event("definition accepted" if accepted else "definition refused")
        caller.codes["definitions accepted" if accepted else "definitions refused"] += 1
    else:
        method = chance.choice(METHODS)
        request = caller.request(chance, method.input_type)
        metadata = chance.choice(METADATA) if chance.random() < 0.2 else ()
        caller.note(await caller.call(method, request, metadata))
    if chance.random() < 0.15:
        await caller.let_time_pass(chance)
    assert whole.member.works
    assert not caller.faults


async def all_end(whole: Whole) -> None:
    """Whatever was accepted can be ended, and none has ended by a fault."""
    store = whole.member.store.store
    for tenant in ("default", "other"):
        for schedule in store.list_schedules(tenant):
            store.delete_schedule(tenant, schedule.name)
    by = {"reason": "over", "force": True}
    for run_id, tenant in _open(whole).items():
        request = r.CancelRunRequest(run_id=run_id, **by)  # type: ignore[arg-type]
        await whole.runs.CancelRun(request, metadata=(("kaon-tenant", tenant),))
    await whole.world.until(lambda: not _open(whole))
    for tenant in ("default", "other"):
        runs = store.list_runs(tenant, page_size=10_000).runs
        assert [run.row for run in runs if ENGINE_FAULT in run.row.error] == []
    assert store.list_set_aside(0) == []


def _open(whole: Whole) -> Mapping[str, str]:
    store = whole.member.store.store
    return {
        run.run_id: tenant
        for tenant in ("default", "other")
        for run in store.list_runs(tenant, page_size=10_000).runs
        if run.row.status not in t.TERMINAL
    }


def test_only_documented_errors_come_back_and_other_runs_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path, run_partitions=2, url=hostile.DATABASE)
    tried = Counter[str]()
    faults: list[str] = []
    monkeypatch.setattr(note, "new_reference", lambda: faults.append("fault") or "fault")

    async def begun(whole: Whole) -> Caller:
        day = d.Parameter(name="day", type=d.VALUE_TYPE_DATE, default_json='"2026-01-01"')
        whole.register(step("s"), step("u"), parameters=[day])
        world.register(whole.member, hostile.child_definition())
        return Caller(whole, faults)

    with asyncio.Runner() as runner:
        served = serving(world)
        whole = runner.run(served.__aenter__())
        caller = runner.run(begun(whole))
        playing_now = playing(
            world, lambda request: outcome(random.Random(str(request.key)), request)
        )
        runner.run(playing_now.__aenter__())

        @hostile.effort(250, smaller=False)
        @given(seed=st.integers(0, 2**63))
        def tries(seed: int) -> None:
            runner.run(one(caller, random.Random(seed)))
            tried["all"] += 1
            if tried["all"] % 50 == 0:
                runner.run(canary(whole))

        tries()
        runner.run(canary(whole))
        runner.run(all_end(whole))
        runner.run(served.__aexit__(None, None, None))
        again = serving(world, "second")
        whole = runner.run(again.__aenter__())
        runner.run(canary(whole))
        assert not faults
        runner.run(playing_now.__aexit__(None, None, None))
        runner.run(again.__aexit__(None, None, None))
    print(dict(caller.codes))
