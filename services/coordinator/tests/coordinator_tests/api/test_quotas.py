"""A tenant stores as much as its limits say; the refusal names the limit."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest

from kaon_coordinator.api.quotas import Quotas
from kaon_coordinator.api.server import ApiServer
from kaon_coordinator.store.base import NewRun
from kaon_coordinator.store.sql import open_store
from kaon_coordinator.store.thread import StoreThread
from kaon_service.access.limits import AllLimits, TenantLimits
from kaon_wire.errors import Exhausted
from kaonapi.artifact.v1 import artifact_service_pb2 as a
from kaonapi.artifact.v1 import artifact_service_pb2_grpc
from kaonapi.dataset.v1 import dataset_pb2, dataset_pb2_grpc
from kaonapi.run.v1 import run_service_pb2, run_service_pb2_grpc
from kaonapi.schedule.v1 import schedule_pb2, schedule_pb2_grpc
from kaonapi.workflow.v1 import definition_pb2 as d

from ..store.build import new_run
from .conftest import Api


@pytest.fixture
async def thread(tmp_path: Path) -> AsyncIterator[StoreThread]:
    thread = StoreThread(open_store(f"sqlite:///{tmp_path}/kaon.db"))
    yield thread
    await thread.close()


def quotas(thread: StoreThread, **limits: int) -> Quotas:
    return Quotas(thread, AllLimits(default=TenantLimits(**limits)))


def runs(count: int, **fields: Any) -> list[NewRun]:
    return [new_run(**fields) for _ in range(count)]


async def test_open_runs_are_bounded(thread: StoreThread) -> None:
    checked = quotas(thread, open_runs=4)
    thread.store.submit_runs(runs(2))
    await checked.check_runs(runs(2))
    with pytest.raises(Exhausted, match=r"has 2 open runs, and may have 4 \(limit open_runs\)"):
        await checked.check_runs(runs(3))


async def test_a_submission_that_is_sent_again_is_answered_at_the_limit_too(
    thread: StoreThread,
) -> None:
    thread.store.submit_runs(runs(1, idempotency_key="used"))
    checked = quotas(thread, open_runs=1, submissions_per_minute=1)
    for _ in range(3):
        await checked.check_runs(runs(1, idempotency_key="used"))
    with pytest.raises(Exhausted, match="limit open_runs"):
        await checked.check_runs(runs(1, idempotency_key="new"))


async def test_submissions_have_a_pace(thread: StoreThread) -> None:
    checked = quotas(thread, submissions_per_minute=2)
    await checked.check_runs(runs(2))
    with pytest.raises(Exhausted, match="limit submissions_per_minute") as refused:
        await checked.check_runs(runs(1))
    assert 0 < refused.value.retry_seconds <= 30


async def test_an_update_of_a_dataset_is_refused_where_a_submission_would_be(
    thread: StoreThread,
) -> None:
    """Schedules start runs for it, which nothing refuses any more."""
    paced = quotas(thread, submissions_per_minute=2)
    submitted = runs(2)
    tenant = submitted[0].tenant
    await paced.check_runs(submitted[:1])
    await paced.check_update(tenant)
    with pytest.raises(Exhausted, match="limit submissions_per_minute"):
        await paced.check_update(tenant)
    thread.store.submit_runs(submitted)
    with pytest.raises(Exhausted, match="has 2 open runs, and may have 2"):
        await quotas(thread, open_runs=2).check_update(tenant)


async def test_updates_of_datasets_ask_for_the_limits_of_their_tenant(api: Api) -> None:
    limits = AllLimits(default=TenantLimits(submissions_per_minute=1))
    server = ApiServer(replace(api.parts, tenant_limits=limits))
    port = await server.start("127.0.0.1:0")
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        datasets = dataset_pb2_grpc.DatasetServiceStub(channel)
        told = dataset_pb2.RecordDatasetUpdateRequest(name="ratings")
        await datasets.RecordDatasetUpdate(told)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await datasets.RecordDatasetUpdate(told)
        assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "limit submissions_per_minute" in str(refused.value.details())
    await server.stop(grace=0)


async def test_a_signal_to_all_runs_counts_as_a_submission(api: Api) -> None:
    limits = AllLimits(default=TenantLimits(submissions_per_minute=1))
    server = ApiServer(replace(api.parts, tenant_limits=limits))
    port = await server.start("127.0.0.1:0")
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        runs = run_service_pb2_grpc.RunServiceStub(channel)
        told = run_service_pb2.SignalRunsRequest(name="go", idempotency_key="k")
        await runs.SignalRuns(told)
        # Sent again it is answered, whatever the limit.
        assert not (await runs.SignalRuns(told)).created
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await runs.SignalRuns(run_service_pb2.SignalRunsRequest(name="go"))
        assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert "limit submissions_per_minute" in str(refused.value.details())
    await server.stop(grace=0)


async def test_a_new_version_counts_and_a_new_name_too(thread: StoreThread) -> None:
    for name, version in (("a", "1"), ("a", "2"), ("b", "1")):
        thread.store.put_workflow("red", d.WorkflowDefinition(name=name), version, 1)
    checked = quotas(thread, versions=2, workflows=2)
    await checked.check_version("red", "b")
    with pytest.raises(Exhausted, match="workflow a has 2 versions, and may have 2"):
        await checked.check_version("red", "a")
    with pytest.raises(Exhausted, match="tenant red has 2 workflows, and may have 2"):
        await checked.check_version("red", "c")
    await checked.check_version("blue", "c")


async def test_bytes_are_bounded_and_a_tenant_beyond_them_submits_nothing(
    thread: StoreThread,
) -> None:
    checked = quotas(thread, artifact_bytes=100)
    thread.store.grant("red", {"a" * 64: 60})
    await checked.check_bytes("red", 40)
    with pytest.raises(Exhausted, match=r"60 bytes, and may have 100 \(limit artifact_bytes\)"):
        await checked.check_bytes("red", 41)
    await checked.check_runs(runs(1, tenant="red"))
    thread.store.grant("red", {"b" * 64: 40})
    with pytest.raises(Exhausted, match="limit artifact_bytes"):
        await checked.check_runs(runs(1, tenant="red"))
    with pytest.raises(Exhausted, match="limit artifact_bytes"):
        async with checked.upload("red"):
            raise AssertionError("it has begun")
    await checked.check_bytes("blue", 100)


async def test_an_upload_that_takes_too_long_is_refused(thread: StoreThread) -> None:
    """Whatever it waits for: here, for ever."""
    checked = quotas(thread, upload_seconds=1)
    with pytest.raises(Exhausted, match="limit upload_seconds"):
        async with checked.upload("red"):
            await asyncio.Event().wait()


async def test_an_upload_beyond_the_limit_stores_nothing_and_one_that_is_there_is_taken_again(
    api: Api,
) -> None:
    async def put(stub: artifact_service_pb2_grpc.ArtifactServiceStub, data: bytes) -> str:
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        header = a.PutArtifactHeader(type="file", name="data", digest=digest)
        pieces = [a.PutArtifactRequest(header=header), a.PutArtifactRequest(data=data)]
        return (await stub.PutArtifact(iter(pieces))).artifact.digest

    limits = AllLimits(default=TenantLimits(artifact_bytes=10))
    server = ApiServer(replace(api.parts, tenant_limits=limits))
    port = await server.start("127.0.0.1:0")
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = artifact_service_pb2_grpc.ArtifactServiceStub(channel)
        kept = await put(stub, b"123456")
        assert await put(stub, b"123456") == kept
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await put(stub, b"12345")
        assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        await put(stub, b"1234")
    await server.stop(grace=0)


async def test_without_limits_nothing_is_refused(thread: StoreThread) -> None:
    thread.store.submit_runs(runs(50))
    checked = quotas(thread)
    await checked.check_runs(runs(1_000))
    await checked.check_version("red", "a")
    await checked.check_schedule("red")


async def test_a_schedule_beyond_the_limit_is_refused_and_one_that_is_there_is_replaced(
    api: Api,
) -> None:
    await api.register()
    limited = replace(api.parts, tenant_limits=AllLimits(default=TenantLimits(schedules=1)))
    server = ApiServer(limited)
    port = await server.start("127.0.0.1:0")
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = schedule_pb2_grpc.ScheduleServiceStub(channel)
        cron = schedule_pb2.Cron(expression="0 3 * * *")
        for name in ("a", "a", "b"):
            schedule = schedule_pb2.Schedule(
                name=name, workflow="nightly", cron=cron, params_json={"users": "1"}
            )
            put = stub.PutSchedule(schedule_pb2.PutScheduleRequest(schedule=schedule))
            if name == "a":
                await put
                continue
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await put
            assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert "limit schedules" in str(refused.value.details())
    await server.stop(grace=0)
