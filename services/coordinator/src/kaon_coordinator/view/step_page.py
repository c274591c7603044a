"""Everything about one step at a moment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kaon_coordinator.engine.rows.codec import step_row
from kaon_coordinator.engine.rows.row_views import step_view, timestamp
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.engine.state.state import ScopeState, StepState
from kaon_coordinator.store.records import RunRecord
from kaon_coordinator.store.view_reads import ViewReads
from kaon_coordinator.view.live_run import LiveRun
from kaon_coordinator.view.spans import Spans
from kaon_wire.errors import NotFound
from kaonapi.run.v1 import history_pb2
from kaonapi.view.v1 import run_view_pb2

# Values of one metric that are told; of more every n-th.
_MOST_VALUES = 10_000
_MOST_ATTEMPTS = 200

Events = Mapping[int, history_pb2.HistoryEvent]


def shown(live: LiveRun, path: str) -> run_view_pb2.GetStepResponse:
    """Return the step as the state has it, without its attempts and series.

    Raises:
        NotFound: there is no such step.
    """
    step = live.state.steps.get(path)
    if step is None:
        raise NotFound(f"run {live.state.run_id} had no step {path!r} at that moment")
    return run_view_pb2.GetStepResponse(
        step=step_view(step_row(step)),
        seq=live.state.seq,
        inputs_json=step.inputs,
        pool=step.block.step.pool or "default",
        resources=step.block.step.resources,
        definition=step.block,
        item_json=_item(step),
        checkpoint_json=step.checkpoint_json,
        memo_key=step.memo_key,
        retry_time=timestamp(step.retry_us),
        late=step.late,
    )


def add_past(
    answer: run_view_pb2.GetStepResponse, reads: ViewReads, run: RunRecord, spans: Spans
) -> None:
    """Add attempts and series up to the answer's event. Blocks."""
    path, seq = answer.step.path, answer.seq
    with spans.lock:
        numbers = [number for number in spans.of_step(path) if spans.ready_seq[number] <= seq]
        numbers = numbers[-_MOST_ATTEMPTS:]
        marks = [
            (spans.ready_seq[number], spans.leased_seq[number], spans.end_seq[number])
            for number in numbers
        ]
        outcomes = [spans.outcome[number] for number in numbers]
        reports = [each for each in spans.reports(path) if each <= seq]
    every = -(-len(reports) // _MOST_VALUES) or 1
    wanted = {each for mark in marks for each in mark if each} | set(reports[::every])
    events = reads.events_at(run.run_id, wanted)
    pairs = zip(marks, outcomes, strict=True)
    answer.attempts.extend(_attempt(mark, outcome, events, seq) for mark, outcome in pairs)
    answer.metrics.extend(_series(reports[::every], events, thinned=every > 1))


def _item(step: StepState) -> str:
    scope: ScopeState | None = step.scope
    while scope is not None and scope.parent is not None:
        if scope.parent.kind == "for_each":
            return scope.item_json
        scope = scope.parent.scope
    return ""


def _attempt(
    mark: tuple[int, int, int], outcome: int, events: Events, seq: int
) -> run_view_pb2.Attempt:
    ready = events[mark[0]]
    leased = events.get(mark[1]) if mark[1] <= seq else None
    end = events.get(mark[2]) if mark[2] <= seq else None
    told = run_view_pb2.Attempt(
        attempt=ready.step_became_ready.attempt,
        generation=ready.step_became_ready.generation,
        ready_us=ready.time_us,
        ready_seq=ready.seq,
        outcome=t.READY,
    )
    if leased is not None:
        told.leased_us, told.outcome = leased.time_us, t.RUNNING
        told.runner_id, told.incarnation = (
            leased.step_leased.runner_id,
            leased.step_leased.incarnation,
        )
        told.succession = leased.step_leased.succession
    if end is not None:
        told.end_us, told.end_seq = end.time_us, end.seq
        told.outcome = outcome  # type: ignore[assignment]
        told.lost = end.step_lease_lost.reason
        ended: Any = end.step_ended if end.HasField("step_ended") else end.step_retry_scheduled
        told.log_json = ended.log_json
        if ended.HasField("error"):
            told.error.CopyFrom(ended.error)
    return told


def _series(
    reports: Sequence[int], events: Events, *, thinned: bool
) -> list[run_view_pb2.MetricSeries]:
    found: dict[str, run_view_pb2.MetricSeries] = {}
    for seq in reports:
        event = events[seq]
        metric = event.step_reported.metric
        series = found.setdefault(
            metric.name, run_view_pb2.MetricSeries(name=metric.name, thinned=thinned)
        )
        series.time_us.append(event.time_us)
        series.step.append(metric.step)
        series.value.append(metric.value)
    return [found[name] for name in sorted(found)]
