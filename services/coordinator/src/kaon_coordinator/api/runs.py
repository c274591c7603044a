"""RunService: submits, shows and stops runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

import structlog

from kaon_coordinator import params
from kaon_coordinator.api import principal, views
from kaon_coordinator.api.feed import RunFeed
from kaon_coordinator.api.submitter import Submitter
from kaon_coordinator.api.watch import Watcher
from kaon_coordinator.engine.views import step_view
from kaon_coordinator.ids import new_run_id
from kaon_coordinator.store.base import NewRun, RunRecord
from kaon_coordinator.store.thread import StoreThread
from kaon_wire.errors import InvalidValue
from kaon_wire.partitioning import partition_of
from kaonapi.run.v1 import command_pb2, history_pb2, run_pb2, run_service_pb2, run_service_pb2_grpc

log = structlog.get_logger(__name__)

_PAGE = 50
_LARGEST_PAGE = 500
_KEY_CHARACTERS = 200
_REASON_CHARACTERS = 2_000


class Wake(Protocol):
    """Tells the owner of a partition that commands wait for it. May be lost: owners look by themselves too."""

    def __call__(self, partition: int, submitted: RunRecord | None = None, /) -> Awaitable[None]:
        """`submitted` is the run that has just been stored, when that is what the owner is told of."""


@dataclass(frozen=True, kw_only=True)
class RunParts:
    """What the service works with."""

    store: StoreThread
    feed: RunFeed
    watcher: Watcher
    wake: Wake
    # Partitions among which new runs are spread.
    partitions: int
    # Microseconds since the epoch.
    now_us: Callable[[], int]


class RunServicer(run_service_pb2_grpc.RunServiceServicer):
    """Everything that is said about a caller's runs goes through here."""

    def __init__(self, parts: RunParts) -> None:
        self._parts = parts
        self._threads = parts.store
        self._store = parts.store.store
        self._submitter = Submitter(parts.store)
        self._wakes: set[asyncio.Task[None]] = set()

    async def SubmitRun(  # noqa: N802
        self, request: run_service_pb2.SubmitRunRequest, context: Any
    ) -> run_service_pb2.SubmitRunResponse:
        if len(request.idempotency_key) > _KEY_CHARACTERS:
            raise InvalidValue(f"idempotency_key: use at most {_KEY_CHARACTERS} characters")
        caller = principal.current()
        workflow = await self._threads.read(
            self._store.get_workflow, caller.tenant, request.workflow, request.version
        )
        now_us = self._parts.now_us()
        run_id = new_run_id(now_us)
        new = NewRun(
            run_id=run_id,
            tenant=caller.tenant,
            workflow=workflow.name,
            version=workflow.version,
            partition=partition_of(run_id, self._parts.partitions),
            params=params.complete(workflow.definition, request.params_json),
            submitter=caller.name,
            idempotency_key=request.idempotency_key,
            now_us=now_us,
            trace_parent=caller.trace_parent,
        )
        run, created = await self._submitter.submit(new)
        if created:
            log.info("run submitted", run=run.run_id, workflow=run.workflow, tenant=run.tenant)
            self._wake(run.partition, run)
        return run_service_pb2.SubmitRunResponse(run=views.run(run), created=created)

    async def GetRun(  # noqa: N802
        self, request: run_service_pb2.GetRunRequest, context: Any
    ) -> run_service_pb2.GetRunResponse:
        tenant = principal.current().tenant
        run = await self._threads.read(self._store.get_run, tenant, request.run_id)
        steps = await self._threads.read(self._store.list_steps, request.run_id)
        blocks = await self._threads.read(self._store.list_blocks, request.run_id)
        progress = self._parts.feed.progress(request.run_id)
        return run_service_pb2.GetRunResponse(
            run=views.run(run),
            steps=[_with_progress(step_view(row), progress.get(row.path)) for row in steps],
            blocks=views.blocks(blocks),
        )

    async def ListRuns(  # noqa: N802
        self, request: run_service_pb2.ListRunsRequest, context: Any
    ) -> run_service_pb2.ListRunsResponse:
        if not 0 <= request.page_size <= _LARGEST_PAGE:
            raise InvalidValue(f"page_size {request.page_size}: use 1 to {_LARGEST_PAGE}, or 0 for {_PAGE}")
        page = await self._threads.read(
            self._store.list_runs,
            principal.current().tenant,
            workflow=request.workflow,
            status=request.status,
            page_size=request.page_size or _PAGE,
            page_token=request.page_token,
        )
        return run_service_pb2.ListRunsResponse(
            runs=[views.run(run) for run in page.runs], next_page_token=page.next_page_token
        )

    async def WatchRun(  # noqa: N802
        self, request: run_service_pb2.WatchRunRequest, context: Any
    ) -> AsyncIterator[run_service_pb2.WatchRunResponse]:
        if request.after_seq < 0:
            raise InvalidValue(f"after_seq {request.after_seq}: pass the last seq seen, or 0")
        tenant = principal.current().tenant
        async for update in self._parts.watcher.watch(tenant, request.run_id, request.after_seq):
            if isinstance(update, history_pb2.HistoryEvent):
                yield run_service_pb2.WatchRunResponse(event=update)
            else:
                yield run_service_pb2.WatchRunResponse(progress=update)

    async def CancelRun(  # noqa: N802
        self, request: run_service_pb2.CancelRunRequest, context: Any
    ) -> run_service_pb2.CancelRunResponse:
        if len(request.reason) > _REASON_CHARACTERS:
            raise InvalidValue(f"reason: use at most {_REASON_CHARACTERS} characters")
        caller = principal.current()
        wish = command_pb2.RequestRunCancel(reason=request.reason, requester=caller.name)
        command = command_pb2.RunCommand(run_id=request.run_id, cancel=wish)
        run = await self._threads.run(
            self._store.add_command, caller.tenant, request.run_id, command, self._parts.now_us()
        )
        self._wake(run.partition)
        return run_service_pb2.CancelRunResponse(run=views.run(run))

    def _wake(self, partition: int, submitted: RunRecord | None = None) -> None:
        """Beside the reply: what is durable is acknowledged whether or not a broker answers."""
        task = asyncio.create_task(self._woken(partition, submitted))
        self._wakes.add(task)
        task.add_done_callback(self._wakes.discard)

    async def _woken(self, partition: int, submitted: RunRecord | None) -> None:
        try:
            await self._parts.wake(partition, submitted)
        except Exception as error:
            log.warning("wake-up lost", partition=partition, error=str(error))


def _with_progress(view: run_pb2.StepView, progress: run_pb2.StepView | None) -> run_pb2.StepView:
    if progress is not None and progress.generation == view.generation:
        view.progress, view.progress_message = progress.progress, progress.progress_message
    return view
