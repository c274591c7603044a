"""ViewService: every call checks whose run it is, and is answered on the view's threads."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

from kaon_coordinator.store.records import RunRecord
from kaon_coordinator.view import (
    cell_list,
    events,
    log_pages,
    run_lines,
    run_view,
    span_page,
    step_page,
    values,
    waiting_gates,
)
from kaon_coordinator.view.answers import cells_answer, run_view_answer
from kaon_coordinator.view.hub import Hub
from kaon_coordinator.view.parts import ViewParts
from kaon_coordinator.view.states import seq_at, seq_of
from kaon_coordinator.view.watching import Stream
from kaon_service import principal
from kaonapi.view.v1 import (
    cells_pb2,
    logs_pb2,
    run_view_pb2,
    runs_pb2,
    view_service_pb2_grpc,
    watch_pb2,
)

R = TypeVar("R")

_PAGE = 50


class ViewServicer(view_service_pb2_grpc.ViewServiceServicer):
    """Everything that is shown of a caller's runs goes through here."""

    def __init__(self, parts: ViewParts, hub: Hub) -> None:
        self._parts = parts
        self._hub = hub

    async def QueryRuns(  # noqa: N802
        self, request: runs_pb2.QueryRunsRequest, context: Any
    ) -> runs_pb2.QueryRunsResponse:
        """Return a page of the runs that a filter selects."""
        tenant = principal.current().tenant

        def answer() -> runs_pb2.QueryRunsResponse:
            page = self._parts.reads.query_runs(
                tenant,
                request.filter,
                order=request.order,
                page_size=request.page_size or _PAGE,
                page_token=request.page_token,
            )
            return runs_pb2.QueryRunsResponse(
                runs=run_lines.lines(page.runs), next_page_token=page.next_page_token
            )

        return await self._parts.threads.read(answer)

    async def CountRuns(  # noqa: N802
        self, request: runs_pb2.CountRunsRequest, context: Any
    ) -> runs_pb2.CountRunsResponse:
        """Count the runs that a filter selects, by status and time."""
        tenant = principal.current().tenant
        return await self._parts.threads.read(
            run_lines.counted, self._parts.reads, tenant, request, self._parts.now_us()
        )

    async def ListGates(  # noqa: N802
        self, request: runs_pb2.ListGatesRequest, context: Any
    ) -> runs_pb2.ListGatesResponse:
        """Return gates that wait for somebody."""
        caller = principal.current()
        return await self._parts.threads.read(
            waiting_gates.listed, self._parts.reads, caller, request
        )

    async def ListValues(  # noqa: N802
        self, request: runs_pb2.ListValuesRequest, context: Any
    ) -> runs_pb2.ListValuesResponse:
        """Return an output or a metric of the newest runs of a workflow."""
        tenant = principal.current().tenant
        return await self._parts.threads.read(values.listed, self._parts.reads, tenant, request)

    async def GetRunView(  # noqa: N802
        self, request: run_view_pb2.GetRunViewRequest, context: Any
    ) -> run_view_pb2.GetRunViewResponse:
        """Return a run at a moment, with what is in foreach cells counted."""
        told = await self._of_run(
            request.run_id, lambda run: run_view_answer(self._parts, run, request)
        )
        if not (request.moment.seq or request.moment.HasField("time")):
            progress = self._hub.progress_of(request.run_id)
            run_view.add_progress(told.view, progress)
        return told

    async def GetCells(  # noqa: N802
        self, request: cells_pb2.GetCellsRequest, context: Any
    ) -> cells_pb2.GetCellsResponse:
        """Return the cells of a foreach at a moment, as packed columns."""
        return await self._of_run(
            request.run_id, lambda run: cells_answer(self._parts, run, request)
        )

    async def ListCells(  # noqa: N802
        self, request: cells_pb2.ListCellsRequest, context: Any
    ) -> cells_pb2.ListCellsResponse:
        """Return a page of the cells of a foreach at a moment."""
        page = cell_list.page_of(request.page_token)

        def answer(run: RunRecord) -> cells_pb2.ListCellsResponse:
            seq = page.seq or seq_of(self._parts.reads, run, request.moment)
            with self._parts.states.at(run, seq) as live:
                return cell_list.listed(live, request, page, self._parts.now_us())

        return await self._of_run(request.run_id, answer)

    async def GetSpans(  # noqa: N802
        self, request: run_view_pb2.GetSpansRequest, context: Any
    ) -> run_view_pb2.GetSpansResponse:
        """Return the attempts of a run, as packed columns."""

        def answer(run: RunRecord) -> run_view_pb2.GetSpansResponse:
            seq = seq_of(self._parts.reads, run, request.moment)
            spans = self._parts.spans.of(run)
            with spans.lock:
                return span_page.page(spans, request, seq)

        return await self._of_run(request.run_id, answer)

    async def ListEvents(  # noqa: N802
        self, request: run_view_pb2.ListEventsRequest, context: Any
    ) -> run_view_pb2.ListEventsResponse:
        """Return a page of a run's history."""
        return await self._of_run(
            request.run_id, lambda run: events.page(self._parts.reads, run, request)
        )

    async def SeqAt(  # noqa: N802
        self, request: run_view_pb2.SeqAtRequest, context: Any
    ) -> run_view_pb2.SeqAtResponse:
        """Return the newest event at or before a time."""

        def answer(run: RunRecord) -> run_view_pb2.SeqAtResponse:
            reads = self._parts.reads
            time_us = (
                request.time.ToMicroseconds() if request.HasField("time") else self._parts.now_us()
            )
            ends = reads.events_at(run.run_id, {1, run.row.seq} - {0})
            seq, found_us = seq_at(reads, run, time_us)
            return run_view_pb2.SeqAtResponse(
                seq=seq,
                time_us=found_us,
                newest_seq=run.row.seq,
                first_us=ends[1].time_us if 1 in ends else 0,
                newest_us=ends[run.row.seq].time_us if run.row.seq in ends else 0,
            )

        return await self._of_run(request.run_id, answer)

    async def GetStep(  # noqa: N802
        self, request: run_view_pb2.GetStepRequest, context: Any
    ) -> run_view_pb2.GetStepResponse:
        """Return everything about one step at a moment."""

        def answer(run: RunRecord) -> run_view_pb2.GetStepResponse:
            with self._parts.states.at(run, seq_of(self._parts.reads, run, request.moment)) as live:
                told = step_page.shown(live, request.path)
            step_page.add_past(told, self._parts.reads, run, self._parts.spans.of(run))
            return told

        told = await self._of_run(request.run_id, answer)
        if not (request.moment.seq or request.moment.HasField("time")):
            run_view.note_progress(told.step, self._hub.progress_of(request.run_id))
        return told

    async def QueryLogs(  # noqa: N802
        self, request: logs_pb2.QueryLogsRequest, context: Any
    ) -> logs_pb2.QueryLogsResponse:
        """Return a page of log lines."""
        reads, artifacts = self._parts.reads, self._parts.artifacts
        return await self._of_run(
            request.filter.run_id, lambda run: log_pages.page(reads, artifacts, run, request)
        )

    async def CountLogs(  # noqa: N802
        self, request: logs_pb2.CountLogsRequest, context: Any
    ) -> logs_pb2.CountLogsResponse:
        """Count log lines, and those that match."""
        reads, artifacts = self._parts.reads, self._parts.artifacts
        return await self._of_run(
            request.filter.run_id, lambda run: log_pages.count(reads, artifacts, run, request)
        )

    async def Watch(  # type: ignore[override] # noqa: N802
        self, request: watch_pb2.WatchRequest, context: Any
    ) -> AsyncIterator[bytes]:
        """Stream topics as they stand and as they change: responses come encoded, since many are told the same."""
        tenant = principal.current().tenant
        stream = Stream(self._hub, self._parts, tenant, request.topics, together=request.together)
        async for response in stream.responses():
            yield response

    async def _of_run(self, run_id: str, answer: Callable[[RunRecord], R]) -> R:
        """Return what is made on a thread of a run of the caller's tenant.

        Raises:
            NotFound: the tenant has no such run.
        """
        tenant = principal.current().tenant

        def made() -> R:
            return answer(self._parts.reads.store.get_run(tenant, run_id))

        return await self._parts.threads.read(made)
