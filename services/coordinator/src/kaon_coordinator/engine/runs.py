"""A run's beginning and end."""

from __future__ import annotations

from kaon_coordinator.engine import scopes
from kaon_coordinator.engine import transitions as t
from kaon_coordinator.engine.actions import ReleasePermits, TakePermits, TellRun, Timer, WatchTime
from kaon_coordinator.engine.backoff import later_us
from kaon_coordinator.engine.bindings import resolve, typed
from kaon_coordinator.engine.decide import Decision, user_error
from kaon_coordinator.engine.messages import Start
from kaon_coordinator.engine.refusals import refuse
from kaon_coordinator.engine.resetting import plan
from kaon_coordinator.engine.state import RunState
from kaon_coordinator.engine.timing import begin_of_run, watch_node
from kaon_wire.errors import KaonError
from kaonapi.run.v1 import command_pb2, history_pb2
from kaonapi.step.v1 import step_pb2

BACKFILL = "backfill:"


def start(decision: Decision, message: Start) -> None:
    """Begins the run, or waits for its permits."""
    if decision.state.status == t.PENDING:
        go_on(decision)


def permit_keys(state: RunState) -> tuple[str, ...]:
    """The permits that the run needs to be active."""
    keys = []
    if state.workflow.definition.max_active_runs:
        keys.append(f"workflow:{state.workflow.definition.name}")
    if state.origin.startswith(BACKFILL):
        keys.append(state.origin)
    return tuple(keys)


def go_on(decision: Decision) -> None:
    """The way of a PENDING run to its beginning, or of one that was opened again to where it goes on."""
    keys = permit_keys(decision.state)
    if keys:
        decision.act(TakePermits(path="", asked=decision.state.seq, keys=keys))
    else:
        begin(decision)


def begin(decision: Decision) -> None:
    """Begins a PENDING run."""
    state = decision.state
    if state.status != t.PENDING:
        return
    if state.waits_since:
        _begin_again(decision)
        return
    if state.root.nodes:
        begin_fork(decision)
        return
    decision.emit(run_started=history_pb2.RunStarted())
    watch_run(decision)
    decision.then(lambda: scopes.start_scope(decision, state.root))


def watch_run(decision: Decision) -> None:
    """Watches over the run's time-out and deadline."""
    definition = decision.state.workflow.definition
    begin_us = begin_of_run(decision.state)
    if definition.timeout_ms:
        due_us = later_us(begin_us, definition.timeout_ms * 1000)
        decision.act(WatchTime(timer=Timer.TIMEOUT, path="", due_us=due_us))
    if definition.deadline_ms and not decision.state.late:
        due_us = later_us(begin_us, definition.deadline_ms * 1000)
        decision.act(WatchTime(timer=Timer.DEADLINE, path="", due_us=due_us))


def begin_fork(decision: Decision) -> None:
    """Begins a fork: its state is there already; what it was asked to reset runs again, and the rest goes on."""
    state = decision.state
    chosen = []
    for path in state.fork_reset:
        found = scopes.nodes_at(state, path)
        chosen += [node for node in found if scopes.had_turn(node)]
        if not found:
            refuse(decision, "fork", path, "there was no such step, block or cell", state.submitter)
    what = plan(chosen)
    scopes.run_again(decision, what, cause="fork", requester=state.submitter)
    # The other run may have stood between two decisions.
    _go_on_everywhere(decision)


def _begin_again(decision: Decision) -> None:
    """A run that was opened again has its permits; its time counts from now."""
    decision.emit(run_started=history_pb2.RunStarted())
    _go_on_everywhere(decision)


def _go_on_everywhere(decision: Decision) -> None:
    state = decision.state
    watch_run(decision)
    for block in state.blocks.values():
        if block.status == t.RUNNING:
            watch_node(decision, block)
    decision.then(lambda: scopes.advance(decision, list(state.scopes.values())))


def end(decision: Decision, status: t.Status, error: step_pb2.StepError | None) -> None:
    """Ends the run: what it holds is given back, and whoever it is part of is told."""
    outputs: dict[str, str] = {}
    if status == t.SUCCEEDED:
        try:
            outputs = _outputs(decision)
        except KaonError as problem:
            status, error = t.FAILED, user_error("BindingError", f"outputs of the workflow: {problem}")
    decision.emit(run_ended=history_pb2.RunEnded(status=status, error=error, outputs_json=outputs))
    decision.act(ReleasePermits(path=""))
    tell_parent(decision)


def tell_parent(decision: Decision) -> None:
    """Tells the run that an ended run is part of, if there is one, how it ended."""
    state = decision.state
    if not state.parent_run_id:
        return
    ended = command_pb2.ChildEnded(
        path=state.parent_path,
        child_run_id=state.run_id,
        status=state.status,
        outputs_json=state.outputs,
        error=state.error,
        asked=state.asked,
    )
    command = command_pb2.RunCommand(run_id=state.parent_run_id, child_ended=ended)
    decision.act(TellRun(run_id=state.parent_run_id, command=command))


def _outputs(decision: Decision) -> dict[str, str]:
    state, context = decision.state, decision.context
    context.meter.begin_node()
    outputs = {
        name: resolve(state, state.root, output.value, context.evaluate)
        for name, output in sorted(state.workflow.definition.outputs.items())
    }
    outputs = typed({name: each.type for name, each in state.workflow.definition.outputs.items()}, outputs)
    if large := context.limits.too_large(outputs):
        raise KaonError(large)
    return outputs
