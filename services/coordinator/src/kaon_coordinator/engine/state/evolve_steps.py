"""Folds the events of steps."""

from __future__ import annotations

import sys

from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.engine.state.evolve_blocks import node_ended, set_step_status
from kaon_coordinator.engine.state.state import BlockState, RunState, ScopeState, StepState, named
from kaonapi.run.v1 import history_pb2
from kaonapi.step.v1 import step_pb2


def step_became_ready(state: RunState, event: history_pb2.HistoryEvent) -> None:
    """Fold a step's transition to READY."""
    ready = event.step_became_ready
    step = state.steps[ready.path]
    begun = step.begun
    set_step_status(state, step, t.READY)
    state.transient.preparing.pop(step.path, None)
    step.attempt = ready.attempt
    step.generation = ready.generation
    step.ready_us = event.time_us
    step.runner_id = step.incarnation = step.stop_reason = ""
    step.start_us = step.retry_us = 0
    if not begun:
        step.begin_us = step.ready_us
        step.inputs = named(ready.inputs_json)
        step.memo_key = ready.memo_key
        step.scope.active += 1


def step_leased(state: RunState, event: history_pb2.HistoryEvent) -> None:
    """Fold a runner's becoming the holder."""
    leased = event.step_leased
    step = state.steps[leased.path]
    set_step_status(state, step, t.RUNNING)
    # Interned: few names, many steps.
    step.runner_id = sys.intern(leased.runner_id)
    step.incarnation = sys.intern(leased.incarnation)
    step.start_us = event.time_us


def step_reported(state: RunState, event: history_pb2.HistoryEvent) -> None:
    """Fold the holder's report of a metric or a checkpoint."""
    reported = event.step_reported
    step = state.steps[reported.path]
    state.transient.touched_steps.add(step.path)
    if not reported.HasField("metric"):
        step.checkpoint_json = reported.checkpointed.checkpoint_json
        return
    metric = reported.metric
    step.metrics = {**step.metrics, metric.name: metric.value}
    step.reports += 1
    swept = sweep_around(step, metric.name)
    if swept is not None:
        block, cell = swept
        assert block.curves is not None
        block.curves.note(cell.index, metric.step, metric.value)
        state.transient.touched_blocks.add(cell.key)


def step_serving(state: RunState, event: history_pb2.HistoryEvent) -> None:
    """Fold that a step serves others. For its successors it has passed, once until it is reset."""
    serving = event.step_serving
    step = state.steps[serving.path]
    set_step_status(state, step, t.SERVING)
    step.outputs = named(serving.outputs_json)
    if not step.served:
        step.served = True
        step.scope.note_end(step.block.name)


def sweep_around(step: StepState, metric: str) -> tuple[BlockState, ScopeState] | None:
    """Return the innermost enclosing foreach that stops cells by this metric, and the step's cell of it."""
    scope: ScopeState | None = step.scope
    while scope is not None and scope.parent is not None:
        curves = scope.parent.curves
        if curves is not None and curves.metric == metric:
            return scope.parent, scope
        scope = scope.parent.scope
    return None


def step_retry_scheduled(state: RunState, event: history_pb2.HistoryEvent) -> None:
    """Fold a failed attempt that another one follows."""
    retry = event.step_retry_scheduled
    step = state.steps[retry.path]
    set_step_status(state, step, t.PENDING)
    step.error = retry.error if retry.HasField("error") else None
    step.retry_us = retry.retry_time_us
    step.log_json = retry.log_json
    step.runner_id = step.incarnation = step.stop_reason = ""
    step.platform_failures += retry.error.error_class == step_pb2.ERROR_CLASS_PLATFORM


def step_lease_lost(state: RunState, event: history_pb2.HistoryEvent) -> None:
    """Fold the withdrawal of a step from its runner or from the queue."""
    lost = event.step_lease_lost
    step = state.steps[lost.path]
    state.transient.touched_steps.add(step.path)
    step.lost_runners += lost.reason == "expired"
    step.grant_us = max(step.grant_us, lost.grant_time_us)


def step_stop_requested(state: RunState, event: history_pb2.HistoryEvent) -> None:
    """Fold a stop request to the holder."""
    stop = event.step_stop_requested
    step = state.steps[stop.path]
    set_step_status(state, step, t.CANCELLING)
    step.stop_reason = stop.reason


def step_ended(state: RunState, event: history_pb2.HistoryEvent) -> None:
    """Fold the end of a step."""
    ended = event.step_ended
    step = state.steps[ended.path]
    begun = step.begun
    set_step_status(state, step, ended.status)
    state.transient.preparing.pop(step.path, None)
    step.end_us = event.time_us
    step.end_seq = event.seq
    step.retry_us = 0
    step.outputs = named(ended.outputs_json)
    step.error = ended.error if ended.HasField("error") else None
    step.log_json = ended.log_json
    if ended.HasField("memo"):
        step.memo_source = (ended.memo.run_id, ended.memo.path)
    step.signals = ()
    state.steps_succeeded += ended.status == t.SUCCEEDED
    node_ended(step.scope, step, begun=begun)
