"""Folds one event into the state. Nothing is decided here: what was decided is in the event."""

from __future__ import annotations

from kaon_coordinator.engine import transitions as t
from kaon_coordinator.engine.state import (
    BlockState,
    Node,
    RunState,
    ScopeState,
    StepState,
    add_cell,
    open_scope,
)
from kaonapi.run.v1 import history_pb2
from kaonapi.step.v1 import step_pb2


def evolve(state: RunState, event: history_pb2.HistoryEvent) -> None:
    """Applies `event`, which must be the next of the run's history, to `state` in place."""
    if event.seq != state.seq + 1:
        raise ValueError(f"run {state.run_id}: event {event.seq} does not follow {state.seq}")
    kind = event.WhichOneof("event")
    _FOLDS[kind or ""](state, event)
    state.seq = event.seq


def _run_submitted(state: RunState, event: history_pb2.HistoryEvent) -> None:
    submitted = event.run_submitted
    state.tenant = submitted.tenant
    state.submitter = submitted.submitter
    state.params = dict(submitted.params_json)


def _run_started(state: RunState, event: history_pb2.HistoryEvent) -> None:
    _set_run_status(state, t.RUNNING)
    state.start_us = event.time_us
    open_scope(state, state.root)


def _run_cancel_requested(state: RunState, event: history_pb2.HistoryEvent) -> None:
    state.cancel_requested = True
    if state.status == t.RUNNING:
        _set_run_status(state, t.CANCELLING)


def _run_ended(state: RunState, event: history_pb2.HistoryEvent) -> None:
    ended = event.run_ended
    _close_scope(state, state.root, ended.status)
    _set_run_status(state, ended.status)
    state.end_us = event.time_us
    state.error = _error(ended)


def _block_started(state: RunState, event: history_pb2.HistoryEvent) -> None:
    started = event.block_started
    block = state.blocks[started.path]
    block.keys = tuple(started.keys)
    block.items = tuple(started.items_json)
    _set_block_status(state, block, t.RUNNING)
    block.scope.active += 1


def _cell_started(state: RunState, event: history_pb2.HistoryEvent) -> None:
    path = event.cell_started.path
    block = state.blocks[event.cell_started.block]
    index = len(block.cells) + (1 if block.kind == "repeat" else 0)
    cell = add_cell(state, block, path, index, state.take_position())
    block.active += 1
    open_scope(state, cell)


def _block_ended(state: RunState, event: history_pb2.HistoryEvent) -> None:
    ended = event.block_ended
    block = state.blocks.get(ended.path)
    if block is None:
        _cell_ended(state, state.scopes[ended.path], ended)
        return
    begun = block.status == t.RUNNING
    block.error = _error(ended)
    _set_block_status(state, block, ended.status)
    _node_ended(block.scope, block, begun=begun)


def _cell_ended(state: RunState, cell: ScopeState, ended: history_pb2.BlockEnded) -> None:
    cell.error = _error(ended)
    _close_scope(state, cell, ended.status)
    assert cell.parent is not None
    cell.parent.active -= 1
    cell.parent.failed += ended.status in t.BROKEN


def _step_became_ready(state: RunState, event: history_pb2.HistoryEvent) -> None:
    ready = event.step_became_ready
    step = state.steps[ready.path]
    begun = step.attempt > 0
    _set_step_status(state, step, t.READY)
    step.attempt = ready.attempt
    step.generation = ready.generation
    step.ready_us = event.time_us
    step.runner_id = step.incarnation = ""
    step.start_us = step.retry_us = 0
    if not begun:
        step.inputs = dict(ready.inputs_json)
        step.scope.active += 1


def _step_leased(state: RunState, event: history_pb2.HistoryEvent) -> None:
    leased = event.step_leased
    step = state.steps[leased.path]
    _set_step_status(state, step, t.RUNNING)
    step.runner_id = leased.runner_id
    step.incarnation = leased.incarnation
    step.start_us = event.time_us


def _step_reported(state: RunState, event: history_pb2.HistoryEvent) -> None:
    reported = event.step_reported
    step = state.steps[reported.path]
    state.touched_steps.add(step.path)
    if reported.HasField("metric"):
        step.metrics[reported.metric.name] = reported.metric.value
    else:
        step.checkpoint_json = reported.checkpointed.checkpoint_json


def _step_retry_scheduled(state: RunState, event: history_pb2.HistoryEvent) -> None:
    retry = event.step_retry_scheduled
    step = state.steps[retry.path]
    _set_step_status(state, step, t.PENDING)
    step.error = _error(retry)
    step.retry_us = retry.retry_time_us
    step.log_json = retry.log_json
    step.runner_id = step.incarnation = ""
    step.platform_failures += retry.error.error_class == step_pb2.ERROR_CLASS_PLATFORM


def _step_lease_lost(state: RunState, event: history_pb2.HistoryEvent) -> None:
    lost = event.step_lease_lost
    step = state.steps[lost.path]
    state.touched_steps.add(step.path)
    step.lost_runners += lost.reason == "expired"


def _step_stop_requested(state: RunState, event: history_pb2.HistoryEvent) -> None:
    stop = event.step_stop_requested
    step = state.steps[stop.path]
    _set_step_status(state, step, t.CANCELLING)
    step.stop_reason = stop.reason


def _step_ended(state: RunState, event: history_pb2.HistoryEvent) -> None:
    ended = event.step_ended
    step = state.steps[ended.path]
    begun = step.attempt > 0
    _set_step_status(state, step, ended.status)
    step.end_us = event.time_us
    step.retry_us = 0
    step.outputs = dict(ended.outputs_json)
    step.error = _error(ended)
    step.log_json = ended.log_json
    state.steps_succeeded += ended.status == t.SUCCEEDED
    _node_ended(step.scope, step, begun=begun)


def _node_ended(scope: ScopeState, node: Node, *, begun: bool) -> None:
    """Counts a node as ended in its scope; the ones behind it may pass when it did."""
    scope.remaining -= 1
    scope.active -= begun
    if node.status in t.PASSED:
        for successor in scope.graph.successors[node.block.name]:
            scope.waiting[successor] -= 1
    elif node.status == t.CANCELLED:
        scope.cancelled = True
    elif node.status in t.BROKEN and scope.error is None:
        scope.error = node.error


def _close_scope(state: RunState, scope: ScopeState, status: t.Status) -> None:
    """Ends a scope; what has not begun in it never will."""
    for node in scope.nodes.values():
        if node.status == t.PENDING:
            if isinstance(node, StepState):
                _set_step_status(state, node, t.SKIPPED)
            else:
                _set_block_status(state, node, t.SKIPPED)
    scope.status = status
    scope.remaining = scope.active = 0
    if scope.path:
        state.touched_blocks.add(scope.path)


def _set_run_status(state: RunState, status: t.Status) -> None:
    t.check(t.RUN, "", state.status, status)
    state.status = status


def _set_step_status(state: RunState, step: StepState, status: t.Status) -> None:
    t.check(t.STEP, step.path, step.status, status)
    step.status = status
    state.touched_steps.add(step.path)


def _set_block_status(state: RunState, block: BlockState, status: t.Status) -> None:
    t.check(t.BLOCK, block.path, block.status, status)
    block.status = status
    state.touched_blocks.add(block.path)


def _error(
    event: history_pb2.RunEnded
    | history_pb2.BlockEnded
    | history_pb2.StepEndedEvent
    | history_pb2.StepRetryScheduled,
) -> step_pb2.StepError | None:
    return event.error if event.HasField("error") else None


_FOLDS = {
    "run_submitted": _run_submitted,
    "run_started": _run_started,
    "run_cancel_requested": _run_cancel_requested,
    "run_ended": _run_ended,
    "block_started": _block_started,
    "cell_started": _cell_started,
    "block_ended": _block_ended,
    "step_became_ready": _step_became_ready,
    "step_leased": _step_leased,
    "step_reported": _step_reported,
    "step_retry_scheduled": _step_retry_scheduled,
    "step_lease_lost": _step_lease_lost,
    "step_stop_requested": _step_stop_requested,
    "step_ended": _step_ended,
}
