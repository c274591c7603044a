"""Folds one event into the state. It decides nothing: each event holds the decision."""

from __future__ import annotations

from collections.abc import Callable
from sys import intern

from kaon_coordinator.engine.state import evolve_blocks as blocks
from kaon_coordinator.engine.state import evolve_steps as steps
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.engine.state.adopting import adopt
from kaon_coordinator.engine.state.resetting import reset
from kaon_coordinator.engine.state.state import (
    BufferedSignal,
    RunState,
    StepSignal,
    named,
    open_scope,
)
from kaonapi.run.v1 import history_pb2


def evolve(state: RunState, event: history_pb2.HistoryEvent) -> None:
    """Apply `event`, the next event of the run's history, to `state` in place."""
    if event.seq != state.seq + 1:
        raise ValueError(f"run {state.run_id}: event {event.seq} does not follow {state.seq}")
    state.seq = event.seq
    state.newest_us = max(state.newest_us, event.time_us)
    _FOLDS[event.WhichOneof("event") or ""](state, event)


def _run_submitted(state: RunState, event: history_pb2.HistoryEvent) -> None:
    submitted = event.run_submitted
    state.submit_us = event.time_us
    # One text for the many runs that have the same.
    state.tenant, state.submitter = intern(submitted.tenant), intern(submitted.submitter)
    state.params = named(submitted.params_json)
    state.priority, state.origin = submitted.priority, submitted.origin
    state.trace_parent = submitted.trace_parent
    # A fork keeps that of its original.
    state.scheduled_us = submitted.scheduled_time_us or state.scheduled_us
    if submitted.HasField("previous_success"):
        state.previous = submitted.previous_success
    if submitted.HasField("targets"):
        state.aim(submitted.targets)
    state.parent_run_id, state.parent_path = submitted.parent.run_id, submitted.parent.path
    state.depth = submitted.parent.depth
    state.fork_run_id, state.fork_seq = submitted.fork.run_id, submitted.fork.seq
    state.fork_reset = tuple(submitted.fork.reset)


def _run_started(state: RunState, event: history_pb2.HistoryEvent) -> None:
    set_run_status(state, t.RUNNING)
    if state.waits_since:
        state.waits_since, state.since_us = 0, event.time_us
        _count_time_from(state, event.time_us)
        return
    state.start_us = event.time_us
    open_scope(state, state.root)


def _run_cancel_requested(state: RunState, event: history_pb2.HistoryEvent) -> None:
    state.cancel_requested = True
    state.force_stop |= event.run_cancel_requested.force
    if state.root.stop == t.NONE:
        state.root.stop = t.CANCELLED
    if state.start_us and state.status != t.CANCELLING:
        set_run_status(state, t.CANCELLING)


def _run_paused(state: RunState, event: history_pb2.HistoryEvent) -> None:
    set_run_status(state, t.PAUSED)


def _run_resumed(state: RunState, event: history_pb2.HistoryEvent) -> None:
    set_run_status(state, t.RUNNING if state.start_us and not state.waits_since else t.PENDING)


def _run_priority_changed(state: RunState, event: history_pb2.HistoryEvent) -> None:
    state.priority = event.run_priority_changed.priority


def _run_ended(state: RunState, event: history_pb2.HistoryEvent) -> None:
    ended = event.run_ended
    blocks.close_scope(state, state.root, ended.status)
    set_run_status(state, ended.status)
    state.end_us, state.waits_since = event.time_us, 0
    state.error = ended.error if ended.HasField("error") else None
    state.outputs = named(ended.outputs_json)


def _blocks_reset(state: RunState, event: history_pb2.HistoryEvent) -> None:
    told = event.blocks_reset
    reset(state, told.paths, event.time_us, frozenset(told.continued))
    state.asked = max(state.asked, told.asked)
    if state.start_us == 0:
        _begin_fork(state, event.time_us)
    elif state.ended:
        waits = told.waits
        set_run_status(state, t.PENDING if waits else t.RUNNING)
        state.waits_since = event.seq if waits else 0
        state.since_us, state.late = event.time_us, False
    state.end_us, state.error, state.outputs = 0, None, {}
    state.cancel_requested = state.force_stop = False


def _definition_changed(state: RunState, event: history_pb2.HistoryEvent) -> None:
    told = event.definition_changed
    if state.into is None or state.into.version != told.to_version:
        raise ValueError(f"run {state.run_id}: its version {told.to_version} was not read")
    reset(state, told.paths, event.time_us)
    adopt(state, state.into, event.time_us)
    state.into, state.fork_reset = None, ()


def _begin_fork(state: RunState, now_us: int) -> None:
    set_run_status(state, t.RUNNING)
    state.start_us, state.fork_reset = now_us, ()
    for block in state.blocks.values():
        # The locks are those of the original run.
        if block.locks:
            state.transient.touched_blocks.add(block.path)
        block.locks, block.unlocked = (), block.status == t.RUNNING and bool(block.block.locks)
    _count_time_from(state, now_us)


def _count_time_from(state: RunState, now_us: int) -> None:
    for block in state.blocks.values():
        if block.status == t.RUNNING:
            block.since_us = now_us
            state.transient.touched_blocks.add(block.path)


def _signal_received(state: RunState, event: history_pb2.HistoryEvent) -> None:
    signal = event.signal_received
    if not signal.path:
        buffered = BufferedSignal(payload_json=signal.payload_json, requester=signal.requester)
        state.signals.setdefault(signal.name, []).append(buffered)
        return
    step = state.steps[signal.path]
    state.transient.touched_steps.add(step.path)
    step.signals += (StepSignal(seq=event.seq, name=signal.name, payload_json=signal.payload_json),)


def _gate_answered(state: RunState, event: history_pb2.HistoryEvent) -> None:
    name = event.gate_answered.signal
    if name:
        if event.gate_answered.stays:
            return
        waiting = state.signals[name]
        waiting.pop(event.gate_answered.passed_over)
        if not waiting:
            del state.signals[name]


def _deadline_missed(state: RunState, event: history_pb2.HistoryEvent) -> None:
    path = event.deadline_missed.path
    node = state.node(path) if path else None
    if node is None:
        state.late = True
        return
    node.late = True
    (state.transient.touched_steps if path in state.steps else state.transient.touched_blocks).add(
        path
    )


def _breakpoint_set(state: RunState, event: history_pb2.HistoryEvent) -> None:
    state.breakpoints |= {event.breakpoint_set.step}


def _breakpoint_reached(state: RunState, event: history_pb2.HistoryEvent) -> None:
    reached = event.breakpoint_reached
    step = state.steps[reached.path]
    step.held, step.inputs = True, named(reached.inputs_json)
    state.transient.preparing.pop(step.path, None)
    state.transient.touched_steps.add(step.path)


def _breakpoint_passed(state: RunState, event: history_pb2.HistoryEvent) -> None:
    passed = event.breakpoint_passed.step
    state.breakpoints -= {passed}
    for step in state.steps.values():
        if step.held and passed in (step.path, step.block.name):
            step.held, step.released = False, True
            state.transient.touched_steps.add(step.path)


def _command_refused(state: RunState, event: history_pb2.HistoryEvent) -> None:
    state.asked = max(state.asked, event.command_refused.asked)


def _only_told(state: RunState, event: history_pb2.HistoryEvent) -> None:
    """Change nothing: the event only informs people."""


def set_run_status(state: RunState, status: t.Status) -> None:
    """Set the run's status, if the table of transitions allows it."""
    t.check(t.RUN, "", state.status, status)
    state.status = status


_FOLDS: dict[str, Callable[[RunState, history_pb2.HistoryEvent], None]] = {
    "run_submitted": _run_submitted,
    "run_started": _run_started,
    "run_cancel_requested": _run_cancel_requested,
    "run_paused": _run_paused,
    "run_resumed": _run_resumed,
    "run_priority_changed": _run_priority_changed,
    "run_ended": _run_ended,
    "blocks_reset": _blocks_reset,
    "definition_changed": _definition_changed,
    "signal_received": _signal_received,
    "gate_answered": _gate_answered,
    "deadline_missed": _deadline_missed,
    "breakpoint_set": _breakpoint_set,
    "breakpoint_reached": _breakpoint_reached,
    "breakpoint_passed": _breakpoint_passed,
    "block_marked": _only_told,
    "command_refused": _command_refused,
    "block_started": blocks.block_started,
    "cell_started": blocks.cell_started,
    "block_ended": blocks.block_ended,
    "phase_started": blocks.phase_started,
    "pass_scheduled": blocks.pass_scheduled,
    "locks_taken": blocks.locks_taken,
    "policies_bound": blocks.policies_bound,
    "child_run_started": blocks.child_run_started,
    "block_stop_requested": blocks.block_stop_requested,
    "step_became_ready": steps.step_became_ready,
    "step_leased": steps.step_leased,
    "step_reported": steps.step_reported,
    "step_retry_scheduled": steps.step_retry_scheduled,
    "step_lease_lost": steps.step_lease_lost,
    "step_stop_requested": steps.step_stop_requested,
    "step_serving": steps.step_serving,
    "step_ended": steps.step_ended,
}
