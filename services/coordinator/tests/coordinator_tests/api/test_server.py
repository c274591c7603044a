"""The server itself: principals, errors, health, reflection, runners, sinks."""

from __future__ import annotations

from typing import Any

import pytest
from grpc import StatusCode, aio
from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped]
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc  # type: ignore[import-untyped]

from kaon_coordinator.api.server import SERVICES, ApiServer
from kaon_coordinator.api.sinks import ApiSinks
from kaon_service.errors import DatabaseUnavailable
from kaon_service.principal import principal_of
from kaon_wire.errors import Unavailable
from kaonapi.log.v1 import log_pb2
from kaonapi.run.v1 import run_service_pb2 as r
from kaonapi.runner.v1 import runner_pb2
from kaonapi.step.v1 import step_pb2
from kaonapi.workflow.v1 import workflow_service_pb2 as w

from .conftest import Api, definition, submission


async def test_callers_see_their_own_tenant_only(api: Api) -> None:
    mine: Any = (("kaon-tenant", "mine"), ("kaon-principal", "ada"))
    request = w.RegisterWorkflowRequest(definition=definition())
    await api.workflows.RegisterWorkflow(request, metadata=mine)
    run = (await api.runs.SubmitRun(submission(), metadata=mine)).run
    assert (run.tenant, run.submitter) == ("mine", "ada")
    assert not (await api.workflows.ListWorkflows(w.ListWorkflowsRequest())).workflows
    assert not (await api.runs.ListRuns(r.ListRunsRequest())).runs
    for call in (
        api.runs.GetRun(r.GetRunRequest(run_id=run.run_id)),
        api.runs.CancelRun(r.CancelRunRequest(run_id=run.run_id)),
        api.runs.SubmitRun(submission()),
    ):
        with pytest.raises(aio.AioRpcError) as told:
            await call
        assert told.value.code() == StatusCode.NOT_FOUND


@pytest.mark.parametrize(
    ("key", "value"),
    [("kaon-tenant", "A b"), ("kaon-tenant", ""), ("kaon-principal", ""), ("kaon-roles", "a b")],
)
async def test_a_principal_that_cannot_be_is_refused(api: Api, key: str, value: str) -> None:
    with pytest.raises(aio.AioRpcError, match=key) as told:
        await api.runs.ListRuns(r.ListRunsRequest(), metadata=((key, value),))
    assert told.value.code() == StatusCode.INVALID_ARGUMENT


def test_roles_are_told_with_commas_between_them() -> None:
    assert principal_of([("kaon-roles", "owner,admin")]).roles == {"owner", "admin"}
    assert principal_of([]).roles == frozenset()


async def test_an_unforeseen_error_is_told_without_its_text(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("the password is 1234")

    monkeypatch.setattr(api.store, "list_runs", fail)
    with pytest.raises(aio.AioRpcError, match="internal error") as told:
        await api.runs.ListRuns(r.ListRunsRequest())
    assert told.value.code() == StatusCode.INTERNAL
    assert "1234" not in (told.value.details() or "")


async def test_a_database_that_is_away_is_told_as_unavailable(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise DatabaseUnavailable("connection to server at 10.1.2.3 failed: the password is 1234")

    await api.register()
    monkeypatch.setattr(api.store, "submit_runs", fail)
    for _ in range(2):
        with pytest.raises(aio.AioRpcError) as told:
            await api.submit()
        assert told.value.code() == StatusCode.UNAVAILABLE
        assert "the coordinator's log tells more under" in (told.value.details() or "")
        assert "1234" not in (told.value.details() or "")
    monkeypatch.undo()
    assert (await api.submit()).run_id


async def test_health_follows_what_the_coordinator_says(api: Api) -> None:
    stub = health_pb2_grpc.HealthStub(api.channel)

    async def status(service: str) -> Any:
        return (await stub.Check(health_pb2.HealthCheckRequest(service=service))).status

    names = ("", *SERVICES)
    assert {await status(name) for name in names} == {health_pb2.HealthCheckResponse.NOT_SERVING}
    await api.server.serving(ready=True)
    assert {await status(name) for name in names} == {health_pb2.HealthCheckResponse.SERVING}


async def test_reflection_names_the_services(api: Api) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(api.channel)
    call = stub.ServerReflectionInfo(
        iter([reflection_pb2.ServerReflectionRequest(list_services="")])
    )
    found = [
        service.name async for answer in call for service in answer.list_services_response.service
    ]
    assert set(SERVICES) <= set(found)


async def test_an_address_in_use_is_told(api: Api) -> None:
    other = ApiServer(api.parts)
    with pytest.raises(Unavailable, match=api.address):
        await other.start(api.address)
    await other.stop(grace=0)


async def test_runners_are_listed_by_pool_and_name(api: Api) -> None:
    api.others.pools["gpu"] = runner_pb2.Pool(name="gpu")
    places = [("gpu", "b"), ("default", "z"), ("default", "a")]
    api.others.known_runners += [
        runner_pb2.Runner(pool=pool, runner_id=name) for pool, name in places
    ]
    every = await api.runners.ListRunners(runner_pb2.ListRunnersRequest())
    assert [runner.runner_id for runner in every.runners] == ["a", "z", "b"]
    some = await api.runners.ListRunners(runner_pb2.ListRunnersRequest(pool="gpu"))
    assert [runner.runner_id for runner in some.runners] == ["b"]


async def test_what_runners_report_reaches_feed_and_archive(api: Api) -> None:
    sinks = ApiSinks(api.feed, api.archive)
    key = step_pb2.StepKey(run_id="run", path="regions[US]/train", attempt=2, generation=3)
    progress = step_pb2.StepProgress(fraction=0.5, message="half")
    events = [
        step_pb2.StepEvent(key=key, started=step_pb2.StepStarted()),
        step_pb2.StepEvent(key=key, progress=progress),
    ]
    sinks.progress({0: [step_pb2.StepEvents(runner_id="runner-1", events=events)]})
    view = api.feed.progress("run")["regions[US]/train"]
    assert (view.name, view.progress, view.progress_message, view.generation) == (
        "train",
        0.5,
        "half",
        3,
    )
    await sinks.logs([log_pb2.LogLines(key=key, lines=[log_pb2.LogLine(sequence=1, text="hello")])])
    assert len(api.store.read_logs("run")) == 1
