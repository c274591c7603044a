"""A real gRPC server over a real SQLite store; what belongs to other parts of the coordinator is small and in memory."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc import aio

from kaon_artifacts import ArtifactStore
from kaon_coordinator.api.feed import RunFeed
from kaon_coordinator.api.log_archive import LogArchive
from kaon_coordinator.api.server import ApiParts, ApiServer
from kaon_coordinator.store.base import PartitionBatch, RunRecord, Store
from kaon_coordinator.store.sql import open_store
from kaon_coordinator.store.thread import StoreThread
from kaon_service.access.calling import Calling
from kaon_service.access.guard import NO_GUARD
from kaonapi.log.v1 import log_pb2_grpc
from kaonapi.run.v1 import history_pb2, run_pb2, run_service_pb2, run_service_pb2_grpc
from kaonapi.runner.v1 import runner_pb2, runner_pb2_grpc
from kaonapi.workflow.v1 import definition_pb2 as d
from kaonapi.workflow.v1 import workflow_service_pb2, workflow_service_pb2_grpc

from ..store.build import batch

NOW_US = 1_700_000_000_000_000
PARTITIONS = 8


@dataclass(kw_only=True)
class Others:
    """What the API works with and other parts of the coordinator provide."""

    # Partitions that were woken, in order.
    wakes: asyncio.Queue[int] = field(default_factory=asyncio.Queue)
    # What the next definition is found to be wrong with.
    problems: list[str] = field(default_factory=list)
    broker_is_down: bool = False
    # Why every step waits.
    cause: runner_pb2.WaitCause.ValueType = runner_pb2.WAIT_CAUSE_BUSY
    # Steps that wait in pools that there are not.
    unknown_pools: dict[str, int] = field(default_factory=dict)
    known_runners: list[runner_pb2.Runner] = field(default_factory=list)
    # The pools whose matchers live in this process.
    pools: dict[str, runner_pb2.Pool] = field(
        default_factory=lambda: {"default": runner_pb2.Pool(name="default")}
    )

    # When the broker was heard last, in seconds of the monotonic clock.
    last_contact: float = field(default_factory=time.monotonic)

    @property
    def trouble(self) -> str:
        """As a transport tells it."""
        return "not heard for 7 s" if self.broker_is_down else ""

    async def wake(self, partition: int, submitted: RunRecord | None = None) -> None:
        """As the coordinator wakes the owner of a partition."""
        if self.broker_is_down:
            raise ConnectionError("no broker")
        self.wakes.put_nowait(partition)

    def validate(self, definition: d.WorkflowDefinition) -> Sequence[str]:
        """As the engine validates."""
        return self.problems

    def owned(self) -> list[str]:
        """As the matchers of this process."""
        return sorted(self.pools)

    def unknown(self) -> dict[str, int]:
        """As the matchers of this process."""
        return self.unknown_pools

    def runners(self, pool: str, tenant: str = "") -> list[runner_pb2.Runner]:
        """As the matchers know them."""
        return [runner for runner in self.known_runners if runner.pool == pool]

    def view(self, pool: str, tenant: str = "") -> runner_pb2.Pool | None:
        """As the pool's matcher sees it."""
        return self.pools.get(pool)

    def explain(
        self, pool: str, run_id: str, path: str, tenant: str = ""
    ) -> list[runner_pb2.WaitReason] | None:
        """As the pool's matcher explains it."""
        if pool not in self.pools:
            return None
        return [runner_pb2.WaitReason(cause=self.cause, text="All are busy.", path=path)]


@dataclass(kw_only=True)
class Api:
    """A served API and what stands behind it."""

    parts: ApiParts
    server: ApiServer
    address: str
    thread: StoreThread
    artifacts: ArtifactStore
    feed: RunFeed
    archive: LogArchive
    channel: aio.Channel
    others: Others

    @property
    def store(self) -> Store:
        """The store behind the API."""
        return self.thread.store

    @property
    def workflows(self) -> workflow_service_pb2_grpc.WorkflowServiceAsyncStub:
        """A client."""
        return workflow_service_pb2_grpc.WorkflowServiceStub(self.channel)

    @property
    def runs(self) -> run_service_pb2_grpc.RunServiceAsyncStub:
        """A client."""
        return run_service_pb2_grpc.RunServiceStub(self.channel)

    @property
    def logs(self) -> log_pb2_grpc.LogServiceAsyncStub:
        """A client."""
        return log_pb2_grpc.LogServiceStub(self.channel)

    @property
    def runners(self) -> runner_pb2_grpc.RunnerServiceAsyncStub:
        """A client."""
        return runner_pb2_grpc.RunnerServiceStub(self.channel)

    async def register(self, **changes: Any) -> workflow_service_pb2.Workflow:
        """A registered workflow."""
        request = workflow_service_pb2.RegisterWorkflowRequest(definition=definition(**changes))
        return (await self.workflows.RegisterWorkflow(request)).workflow

    async def submit(self, **fields: Any) -> run_pb2.Run:
        """A submitted run of the registered workflow."""
        return (await self.runs.SubmitRun(submission(**fields))).run

    def record(self, run: run_pb2.Run) -> RunRecord:
        """A run as the store has it."""
        return self.store.get_run(run.tenant, run.run_id)

    def advance(self, run: run_pb2.Run, *, last: int, publish: bool = True, **row: Any) -> None:
        """Acts as the owner of the run: makes events up to `last` durable, and publishes them unless they are another process's."""
        record = self.record(run)
        epoch = self.store.claim_partition(record.partition, "owner")
        decided = batch(epoch, record, first=record.row.seq + 1, last=last, **row)
        self._commit(decided, publish)

    def end(self, run: run_pb2.Run, *, publish: bool = True) -> None:
        """Acts as the owner of the run: ends it with one more event."""
        record = self.record(run)
        epoch = self.store.claim_partition(record.partition, "owner")
        seq = record.row.seq + 1
        decided = batch(
            epoch, record, first=seq, last=seq, status=run_pb2.STATUS_SUCCEEDED, end_us=NOW_US
        )
        ended = history_pb2.RunEnded(status=run_pb2.STATUS_SUCCEEDED)
        event = history_pb2.HistoryEvent(run_id=run.run_id, seq=seq, run_ended=ended)
        self._commit(replace(decided, history=[event]), publish)

    def _commit(self, decided: PartitionBatch, publish: bool) -> None:
        self.store.commit(decided)
        if publish:
            self.feed.publish(decided.history)


def definition(**changes: Any) -> d.WorkflowDefinition:
    """A workflow with a parameter of each kind."""
    fields: dict[str, Any] = {
        "name": "nightly",
        "parameters": [
            d.Parameter(name="model", type=d.VALUE_TYPE_MODEL, default_json="null"),
            d.Parameter(name="name", type=d.VALUE_TYPE_STRING, default_json='"x"'),
            d.Parameter(name="rate", type=d.VALUE_TYPE_FLOAT, default_json="0.5"),
            d.Parameter(name="users", type=d.VALUE_TYPE_INT),
        ],
    }
    return d.WorkflowDefinition(**(fields | changes))


def submission(**fields: Any) -> run_service_pb2.SubmitRunRequest:
    """A submission of that workflow."""
    usual: dict[str, Any] = {"workflow": "nightly", "params_json": {"users": "10"}}
    return run_service_pb2.SubmitRunRequest(**(usual | fields))


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    """A served API. Quiet runs are looked up every 50 ms, and the lines of an ended run may come for a second."""
    thread = StoreThread(open_store(f"sqlite:///{tmp_path}/kaon.db"))
    feed, archive, others = RunFeed(), LogArchive(thread), Others()
    artifacts = ArtifactStore(f"file://{tmp_path}/artifacts")
    parts = ApiParts(
        guard=NO_GUARD,
        calling=Calling(service="coordinator"),
        store=thread,
        artifacts=artifacts,
        validate=others.validate,
        feed=feed,
        logs=archive,
        matchers=others,
        pools=("default", "gpu"),
        owner="here",
        wake=others.wake,
        broker=others,
        partitions=PARTITIONS,
        now_us=lambda: NOW_US,
        poll_seconds=0.05,
        settle_seconds=1,
        answer_seconds=0,
    )
    server = ApiServer(parts)
    address = f"127.0.0.1:{await server.start('127.0.0.1:0')}"
    async with grpc.aio.insecure_channel(address) as channel:
        yield Api(
            parts=parts,
            server=server,
            address=address,
            thread=thread,
            artifacts=artifacts,
            feed=feed,
            archive=archive,
            channel=channel,
            others=others,
        )
    await server.stop(grace=0)
    await thread.close()
