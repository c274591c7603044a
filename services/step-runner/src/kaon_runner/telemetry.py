"""Metrics and spans of a runner's executions, derived from its own reports."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from kaon_runner.leases.table import Lease
from kaon_telemetry.metrics import RunnerMetrics
from kaon_telemetry.tracing import Spans, inner_span
from kaonapi.runner.v1 import runner_pb2
from kaonapi.step.v1 import step_pb2

_OUTCOMES = frozenset({"succeeded", "failed", "stopped", "handed_back"})


class RunnerTelemetry:
    """Derives metrics and spans from a runner's reports and heartbeats.

    Args:
        runner_id: The runner, named in the spans.
        metrics: The metrics to update.
        spans: The receiver of spans.
    """

    def __init__(self, runner_id: str, metrics: RunnerMetrics, spans: Spans) -> None:
        self._runner_id = runner_id
        self._metrics = metrics
        self._spans = spans
        # Counters and histograms by their labels: finding one costs more than counting.
        self._attempts = cache(metrics.attempts.labels)
        self._seconds = cache(metrics.attempt_seconds.labels)

    def listening(
        self, report: Callable[[Lease, step_pb2.StepEvent], None]
    ) -> Callable[[Lease, step_pb2.StepEvent], None]:
        """Return `report` with telemetry added."""

        def listened(lease: Lease, event: step_pb2.StepEvent) -> None:
            report(lease, event)
            self._note(lease, event)

        return listened

    def _note(self, lease: Lease, event: step_pb2.StepEvent) -> None:
        kind = event.WhichOneof("event") or ""
        if kind == "started":
            lease.started_us = event.time_us
        elif kind in _OUTCOMES:
            self._ended(lease, event, kind, lease.started_us)

    def _ended(self, lease: Lease, event: step_pb2.StepEvent, outcome: str, start_us: int) -> None:
        spec = lease.request.spec
        self._attempts(spec.type, outcome).inc()
        if not start_us:
            return
        self._seconds(spec.type).observe((event.time_us - start_us) / 1e6)
        if not self._spans.heard:
            return
        ids = inner_span(spec.trace_parent, "attempt")
        if ids is None:
            return
        self._spans.tell(
            f"execute {spec.type}",
            ids,
            start_us=start_us,
            end_us=event.time_us,
            attributes={
                "kaon.run": event.key.run_id,
                "kaon.step": event.key.path,
                "kaon.attempt": event.key.attempt,
                "kaon.generation": event.key.generation,
                "kaon.runner": self._runner_id,
                "kaon.outcome": outcome,
            },
            error=event.failed.error.message if outcome == "failed" else "",
        )

    def beaten(self, heartbeat: runner_pb2.RunnerHeartbeat) -> runner_pb2.RunnerHeartbeat:
        """Set the gauges from a heartbeat, and return it."""
        self._metrics.slots.set(heartbeat.capacity.slots)
        self._metrics.running.set(len(heartbeat.running))
        self._metrics.queued.set(len(heartbeat.queued))
        self._metrics.draining.set(heartbeat.draining)
        return heartbeat
