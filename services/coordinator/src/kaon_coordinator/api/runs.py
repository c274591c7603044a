"""RunService: submits, shows and stops runs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from kaon_coordinator.api import aside as asides
from kaon_coordinator.api import gate_rules, views
from kaon_coordinator.api.feed import RunFeed
from kaon_coordinator.api.many_runs import ManyRunsServicer
from kaon_coordinator.api.run_commands import RunCommandsServicer
from kaon_coordinator.api.run_parts import Part, part_of
from kaon_coordinator.api.submission import Submission, as_new, checked_key
from kaon_coordinator.api.tenant_signals import TenantSignalsServicer, TenantSignalStore
from kaon_coordinator.api.time_travel import TimeTravelServicer
from kaon_coordinator.api.watch import Watcher
from kaon_coordinator.api.watch_responses import watch_responses
from kaon_coordinator.engine.kinds.table import KINDS
from kaon_coordinator.engine.rows.row_views import step_view
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.shell.fork_states import PastStore
from kaon_coordinator.store.base import RunSelection
from kaon_coordinator.store.protocols.aside_store import AsideStore
from kaon_coordinator.store.store_calls import StoreCalls
from kaon_service import principal
from kaon_wire.errors import InvalidValue
from kaonapi.run.v1 import run_pb2, run_service_pb2

_PAGE = 50
# The kinds of blocks that have cells.
_HAVE_CELLS = frozenset(kind for kind, each in KINDS.blocks.items() if each.has_cells)
_LARGEST_PAGE = 500
# A run with more steps takes long to put together.
_MANY_STEPS = 1_000


class RunServiceStore(PastStore, AsideStore, TenantSignalStore, Protocol):
    """What the service needs of the store."""


@dataclass(frozen=True, kw_only=True)
class RunParts:
    """The dependencies of the service."""

    store: StoreCalls[RunServiceStore]
    feed: RunFeed
    watcher: Watcher
    submission: Submission


Progress: TypeAlias = Mapping[str, run_pb2.StepView]


class RunServicer(ManyRunsServicer, RunCommandsServicer, TenantSignalsServicer, TimeTravelServicer):
    """Serves the methods of RunService for the caller's runs."""

    _threads: StoreCalls[RunServiceStore]

    def __init__(self, parts: RunParts) -> None:
        self._parts = parts
        self._threads = parts.store
        self._store = parts.store.store
        self._submission = parts.submission

    async def SubmitRun(  # noqa: N802
        self, request: run_service_pb2.SubmitRunRequest, context: Any
    ) -> run_service_pb2.SubmitRunResponse:
        """Store a run durably and wake its owner; a repeated idempotency key returns the first run."""
        workflow = await self._submission.workflow(request.workflow, request.version)
        new = self._submission.new_run(
            workflow,
            request.params_json,
            idempotency_key=checked_key(request.idempotency_key),
            priority=request.priority,
            labels=request.labels,
            targets=request.targets,
            previous=await self._submission.previous_success(workflow),
        )
        if request.targets.only:
            await gate_rules.check_targets_of(self._threads, workflow, request.targets)
        if request.validate_only:
            await self._submission.check(new)
            return run_service_pb2.SubmitRunResponse(run=views.run(as_new(new)))
        run, created = await self._submission.submit(new)
        return run_service_pb2.SubmitRunResponse(run=views.run(run), created=created)

    async def GetRun(  # noqa: N802
        self, request: run_service_pb2.GetRunRequest, context: Any
    ) -> run_service_pb2.GetRunResponse:
        """Return a run with a page of its steps and blocks, and their progress."""
        tenant, part = principal.current().tenant, part_of(request.page_size, request.page_token)
        run = await self._threads.read(self._store.get_run, tenant, request.run_id)
        progress = self._parts.feed.progress(request.run_id)
        # A large run is read and put together where nobody else's reads wait for it.
        is_large = min(run.row.steps_total, part.size) > _MANY_STEPS
        threads = self._threads.study if is_large else self._threads.read
        return await threads(
            _whole, self._store, tenant, request.run_id, part, progress, request.with_cells
        )

    async def ListRuns(  # noqa: N802
        self, request: run_service_pb2.ListRunsRequest, context: Any
    ) -> run_service_pb2.ListRunsResponse:
        """Return a page of the caller's runs, newest first."""
        if not 0 <= request.page_size <= _LARGEST_PAGE:
            raise InvalidValue(
                f"page_size {request.page_size}: use 1 to {_LARGEST_PAGE}, or 0 for {_PAGE}"
            )
        page = await self._threads.read(
            self._store.list_runs,
            principal.current().tenant,
            RunSelection(
                workflow=request.workflow,
                status=request.status,
                labels=request.labels,
                params=request.params_json,
                since_us=request.created_from.ToMicroseconds(),
                prefix=request.run_id_prefix,
            ),
            page_size=request.page_size or _PAGE,
            page_token=request.page_token,
        )
        return run_service_pb2.ListRunsResponse(
            runs=[views.run(run) for run in page.runs], next_page_token=page.next_page_token
        )

    async def WatchRun(  # noqa: N802
        self, request: run_service_pb2.WatchRunRequest, context: Any
    ) -> AsyncIterator[run_service_pb2.WatchRunResponse]:
        """Stream the history of a run after a seq, and the progress of its steps, until the run ends."""
        if request.after_seq < 0:
            raise InvalidValue(f"after_seq {request.after_seq}: pass the last seq seen, or 0")
        tenant, watcher = principal.current().tenant, self._parts.watcher
        if request.only_end:
            await watcher.until_end(tenant, request.run_id)
            return
        async for updates in watcher.watch(tenant, request.run_id, request.after_seq):
            for response in watch_responses(updates, request.batch_size):
                yield response


def _whole(
    store: RunServiceStore,
    tenant: str,
    run_id: str,
    part: Part,
    progress: Progress,
    with_cells: bool,
) -> run_service_pb2.GetRunResponse:
    """Return a run with a part of its steps and blocks. Blocks."""
    run = store.get_run(tenant, run_id)
    shown = views.run(run)
    shown.commands_waiting = len(store.waiting_commands(run.partition, run_id))
    if run.row.status not in t.TERMINAL:
        aside = asides.find(store, run_id)
        if aside is not None:
            shown.error.CopyFrom(asides.error(aside))
    rows = part.read(store, run_id)
    is_cut = bool(rows.next_page_token) or part.after >= 0
    have_cells = [row for row in rows.blocks if row.kind in _HAVE_CELLS]
    counts = None
    if is_cut and have_cells:
        # Cells of a block are later than it, perhaps on later pages.
        first = min(row.position for row in have_cells)
        counts = store.cell_counts(run_id, {row.path for row in have_cells}, first)
    return run_service_pb2.GetRunResponse(
        run=shown,
        steps=[_with_progress(step_view(row), progress.get(row.path)) for row in rows.steps],
        blocks=views.blocks(rows.blocks, counts),
        cells=views.cells(rows.blocks) if with_cells else (),
        next_page_token=rows.next_page_token,
    )


def _with_progress(view: run_pb2.StepView, progress: run_pb2.StepView | None) -> run_pb2.StepView:
    if progress is not None and progress.generation == view.generation:
        view.progress, view.progress_message = progress.progress, progress.progress_message
    return view
