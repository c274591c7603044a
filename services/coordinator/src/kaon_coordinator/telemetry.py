"""Metrics and spans of runs and steps, derived from durable history events.

So no step is measured twice, and the next owner reports what a crash hid from the last one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from sys import intern
from typing import Any

from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.engine.state.state import RunState
from kaon_telemetry.metrics import CoordinatorMetrics
from kaon_telemetry.tracing import Spans, run_span, step_span
from kaonapi.run.v1 import history_pb2

# Upper bound of runs that are followed at once.
_REMEMBERED = 100_000


def _forget_oldest(known: dict[Any, Any], bound: int) -> None:
    while len(known) > bound:
        del known[next(iter(known))]


@dataclass(slots=True, kw_only=True)
class _Issue:
    """One issue of a step that has not ended. Microseconds since the epoch, 0 when unset."""

    generation: int
    attempt: int
    ready_us: int = 0
    start_us: int = 0
    runner_id: str = ""


@dataclass(slots=True, kw_only=True)
class _Run:
    """A run that has not ended. Microseconds since the epoch."""

    # W3C trace context of its submission, if any.
    trace_parent: str = ""
    workflow: str = ""
    start_us: int = 0


class RunTelemetry:
    """Derives metrics and spans from committed events.

    Args:
        metrics: The metrics to update.
        spans: The receiver of spans.
        find: Returns the state of a run that is owned here, for runs that another owner began.
    """

    def __init__(
        self,
        metrics: CoordinatorMetrics,
        spans: Spans,
        find: Callable[[str], RunState | None] = lambda run_id: None,
    ) -> None:
        self._metrics = metrics
        self._spans = spans
        self._find = find
        self._runs: dict[str, _Run] = {}
        # The counters of ended steps and runs, by status: looking one up costs more than counting.
        self._steps_ended = {
            name: metrics.steps_ended.labels(name) for name in map(t.short, t.TERMINAL)
        }
        # By run and path.
        self._issues: dict[tuple[str, str], _Issue] = {}

    def committed(self, events: Sequence[history_pb2.HistoryEvent]) -> None:
        """Receive durable events."""
        self._metrics.events.inc(len(events))
        # Runs whose partition moved to another owner end there.
        _forget_oldest(self._runs, _REMEMBERED)
        _forget_oldest(self._issues, 2 * _REMEMBERED)
        for event in events:
            handler = _HANDLERS.get(event.WhichOneof("event") or "")
            if handler is not None:
                handler(self, event)

    def _run(self, run_id: str) -> _Run:
        run = self._runs.get(run_id)
        if run is None:
            run = self._runs[run_id] = self._taken_over(run_id)
        return run

    def _taken_over(self, run_id: str) -> _Run:
        state = self._find(run_id)
        if state is None:
            return _Run()
        return _Run(
            trace_parent=state.trace_parent,
            workflow=state.workflow.definition.name,
            start_us=state.submit_us,
        )

    def _run_submitted(self, event: history_pb2.HistoryEvent) -> None:
        submitted = event.run_submitted
        self._runs[event.run_id] = _Run(
            trace_parent=submitted.trace_parent,
            # One text for the many runs of a workflow.
            workflow=intern(submitted.workflow),
            start_us=event.time_us,
        )

    def _run_ended(self, event: history_pb2.HistoryEvent) -> None:
        run, ended = self._run(event.run_id), event.run_ended
        del self._runs[event.run_id]
        status = t.short(ended.status)
        self._metrics.runs_ended.labels(status).inc()
        if run.start_us:
            self._metrics.run_seconds.observe((event.time_us - run.start_us) / 1e6)
        if not self._spans.heard:
            return
        self._spans.tell(
            f"run {run.workflow}",
            run_span(event.run_id, run.trace_parent),
            start_us=run.start_us or event.time_us,
            end_us=event.time_us,
            attributes={
                "kaon.run": event.run_id,
                "kaon.workflow": run.workflow,
                "kaon.status": status,
            },
            error=ended.error.message if ended.status != t.SUCCEEDED else "",
        )

    def _step_became_ready(self, event: history_pb2.HistoryEvent) -> None:
        ready = event.step_became_ready
        self._issues[event.run_id, ready.path] = _Issue(
            generation=ready.generation, attempt=ready.attempt, ready_us=event.time_us
        )

    def _step_leased(self, event: history_pb2.HistoryEvent) -> None:
        leased = event.step_leased
        issue = self._issues.setdefault(
            (event.run_id, leased.path),
            _Issue(generation=leased.generation, attempt=leased.attempt),
        )
        issue.start_us, issue.runner_id = event.time_us, leased.runner_id
        if issue.ready_us:
            self._metrics.queue_seconds.observe((event.time_us - issue.ready_us) / 1e6)

    def _step_retry_scheduled(self, event: history_pb2.HistoryEvent) -> None:
        retry = event.step_retry_scheduled
        self._metrics.retries.inc()
        self._issue_over(event, retry.path, "RETRIED", retry.error.message)

    def _step_lease_lost(self, event: history_pb2.HistoryEvent) -> None:
        lost = event.step_lease_lost
        self._metrics.lost_leases.labels(lost.reason).inc()
        self._issue_over(event, lost.path, "LOST", f"the lease was lost: {lost.reason}")

    def _step_ended(self, event: history_pb2.HistoryEvent) -> None:
        ended = event.step_ended
        status = t.short(ended.status)
        self._steps_ended[status].inc()
        self._issue_over(
            event, ended.path, status, ended.error.message if ended.HasField("error") else ""
        )

    def _issue_over(
        self, event: history_pb2.HistoryEvent, path: str, status: str, error: str
    ) -> None:
        issue = self._issues.pop((event.run_id, path), None)
        if issue is None:
            return
        if issue.start_us:
            self._metrics.step_seconds.observe((event.time_us - issue.start_us) / 1e6)
        if not self._spans.heard:
            return
        run = run_span(event.run_id, self._run(event.run_id).trace_parent)
        ids = step_span(run, event.run_id, path, issue.generation)
        begin_us = issue.ready_us or issue.start_us
        attributes: dict[str, str | int | float | bool] = {
            "kaon.run": event.run_id,
            "kaon.step": path,
            "kaon.attempt": issue.attempt,
            "kaon.generation": issue.generation,
            "kaon.runner": issue.runner_id,
            "kaon.status": status,
            "kaon.queue_seconds": (issue.start_us - begin_us) / 1e6 if issue.start_us else 0.0,
        }
        self._spans.tell(
            f"step {path.rsplit('/', 1)[-1]}",
            ids,
            start_us=begin_us,
            end_us=event.time_us,
            attributes=attributes,
            error=error,
        )

    def _deadline_missed(self, event: history_pb2.HistoryEvent) -> None:
        self._metrics.late.inc()


_HANDLERS = {
    "run_submitted": RunTelemetry._run_submitted,
    "run_ended": RunTelemetry._run_ended,
    "step_became_ready": RunTelemetry._step_became_ready,
    "step_leased": RunTelemetry._step_leased,
    "step_retry_scheduled": RunTelemetry._step_retry_scheduled,
    "step_lease_lost": RunTelemetry._step_lease_lost,
    "step_ended": RunTelemetry._step_ended,
    "deadline_missed": RunTelemetry._deadline_missed,
}
