"""SystemService against a real gRPC server over a real store."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from kaon_coordinator.store.base import Notice, SetAside
from kaonapi.run.v1 import run_pb2
from kaonapi.run.v1 import run_service_pb2 as r
from kaonapi.runner.v1 import runner_pb2
from kaonapi.system.v1 import system_pb2, system_pb2_grpc
from kaonapi.workflow.v1 import definition_pb2 as d

from ..store.build import batch, submitted
from .conftest import NOW_US, Api


async def test_a_coordinator_tells_how_it_is(api: Api) -> None:
    api.others.broker_is_down = True
    told = await system_pb2_grpc.SystemServiceStub(api.channel).Diagnose(
        system_pb2.DiagnoseRequest()
    )
    found = {check.name: check for check in told.checks}
    assert told.owner == "here"
    assert found["database"].verdict == system_pb2.VERDICT_GOOD
    assert found["broker"].verdict == system_pb2.VERDICT_BAD
    assert "not heard for" in found["broker"].text
    assert found["commands"].text == "none waits"


async def test_what_is_set_aside_is_told_and_a_retry_takes_it_back(api: Api) -> None:
    work = d.Block(name="work", step=d.Step(type="python"))
    await api.register(body=d.Graph(blocks=[work]))
    run = await api.submit()
    partition = api.record(run).partition
    reason = (
        "IndexError, while it was taken over; the coordinator's log tells more under 0123456789ab"
    )
    aside = SetAside(
        kind="run",
        tenant="",
        name=run.run_id,
        partition=partition,
        reference="0123456789ab",
        reason=reason,
        time_us=7,
    )
    api.store.put_aside(aside)
    told = await system_pb2_grpc.SystemServiceStub(api.channel).Diagnose(
        system_pb2.DiagnoseRequest()
    )
    check = next(check for check in told.checks if check.name == f"run {run.run_id}")
    assert (check.verdict, check.text) == (system_pb2.VERDICT_BAD, f"set aside: {reason}")
    assert f"kaon retry {run.run_id}" in check.advice
    shown = (await api.runs.GetRun(r.GetRunRequest(run_id=run.run_id))).run
    assert (shown.error.type, shown.status) == ("EngineFault", run_pb2.STATUS_PENDING)
    assert reason in shown.error.message
    why = await api.runners.ExplainStep(
        runner_pb2.ExplainStepRequest(run_id=run.run_id, path="work")
    )
    assert why.reasons[0].cause == runner_pb2.WAIT_CAUSE_SET_ASIDE
    while not api.others.wakes.empty():
        api.others.wakes.get_nowait()
    await api.runs.RetryRun(r.RetryRunRequest(run_id=run.run_id))
    assert await asyncio.wait_for(api.others.wakes.get(), 5) == partition
    assert api.store.list_set_aside(0) == []
    # Nothing has failed in it, so there is no command: its owner goes on with it.
    assert [row.command.WhichOneof("command") for row in api.store.unapplied(partition)] == [
        "start"
    ]
    api.store.put_aside(aside)
    await api.runs.CancelRun(r.CancelRunRequest(run_id=run.run_id))
    assert api.store.list_set_aside(0) == []
    assert [row.command.WhichOneof("command") for row in api.store.unapplied(partition)] == [
        "start",
        "cancel",
    ]


async def test_channels_that_take_nothing_are_told(api: Api) -> None:
    run = submitted(api.store)
    epoch = api.store.claim_partition(run.partition, "owner")
    notices = [
        Notice(
            tenant=tenant, run_id=run.run_id, seq=1, channel=tenant, payload="{}", time_us=NOW_US
        )
        for tenant in ("default", "other")
    ]
    api.store.commit(replace(batch(epoch, run, first=1, last=1), notices=notices))
    system = system_pb2_grpc.SystemServiceStub(api.channel)

    async def told() -> dict[str, system_pb2.Check]:
        checks = (await system.Diagnose(system_pb2.DiagnoseRequest())).checks
        return {check.name: check for check in checks if check.name.startswith("notifications")}

    assert await told() == {}
    for each in api.store.take_notices(NOW_US, NOW_US + 1, 10):
        api.store.notice_failed(each, f"{each.channel} is shut", None)
    found = await told()
    assert found["notifications to default"].verdict == system_pb2.VERDICT_WARNING
    assert "1 given up" in found["notifications to default"].text
