"""The start of a run, its continuation after a pause or a reopening, and its stop."""

from __future__ import annotations

from kaon_coordinator.engine.actions import ReleasePermits
from kaon_coordinator.engine.backoff import later_us
from kaon_coordinator.engine.decision import Decision
from kaon_coordinator.engine.messages import Due, PermitsGranted, Start
from kaon_coordinator.engine.refusals import refuse
from kaon_coordinator.engine.scopes import policies, run_ends, scopes
from kaon_coordinator.engine.scopes.readiness import had_turn
from kaon_coordinator.engine.scopes.rerun import run_again
from kaon_coordinator.engine.scopes.run_permits import permit_keys, take_permits
from kaon_coordinator.engine.scopes.timing import begin_of_run, watch_node, watch_run
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.engine.state.resetting import plan
from kaon_coordinator.engine.steps.attempts import reissue, try_again
from kaonapi.run.v1 import history_pb2


def start(decision: Decision, message: Start) -> None:
    """Start the run, or wait for its permits."""
    if decision.state.status == t.PENDING:
        go_on(decision)


def go_on(decision: Decision) -> None:
    """Begin a PENDING run, or continue a reopened run where it stopped, once it holds its permits."""
    if permit_keys(decision.state):
        take_permits(decision)
    else:
        begin(decision)


def permits_granted(decision: Decision, message: PermitsGranted) -> None:
    """Record that the run holds its permits, and go on; release the permits when the run no longer needs them."""
    state = decision.state
    # The end of the run released its permits.
    if state.status == t.PENDING and message.asked >= state.waits_since:
        begin(decision)
    elif state.ended:
        decision.act(ReleasePermits(path=""))


def begin(decision: Decision) -> None:
    """Begin a PENDING run."""
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
    if (problem := policies.bind_run(decision)) is not None:
        run_ends.end(decision, t.FAILED, problem)
        return
    watch_run(decision)
    decision.then(scopes.start_scope, state.root)


def begin_fork(decision: Decision) -> None:
    """Begin a fork: reset and run again the requested nodes, and continue with the others."""
    state = decision.state
    chosen = []
    for path in state.fork_reset:
        found = scopes.nodes_at(state, path)
        chosen += [node for node in found if had_turn(node)]
        if not found:
            refuse(decision, "fork", path, "there was no such step, block or cell", state.submitter)
    what = plan(chosen)
    problem = policies.bind_run(decision)
    run_again(decision, what, cause="fork", requester=state.submitter)
    if problem is not None:
        # It has blocks of another run: they end with it.
        decision.emit(
            run_cancel_requested=history_pb2.RunCancelRequested(
                reason=f"{problem.type}: {problem.message}", requester="kaon", force=True
            )
        )
        stop(decision, paused=False)
        return
    # The original run may have been between two decisions.
    _go_on_everywhere(decision)


def _begin_again(decision: Decision) -> None:
    """Continue a reopened run that holds its permits; its time-out counts from now."""
    decision.emit(run_started=history_pb2.RunStarted())
    _go_on_everywhere(decision)


def _advance_all(decision: Decision) -> None:
    scopes.advance(decision, list(decision.state.scopes.values()))


def _go_on_everywhere(decision: Decision) -> None:
    state = decision.state
    watch_run(decision)
    for block in state.blocks.values():
        if block.status == t.RUNNING:
            watch_node(decision, block)
    decision.then(_advance_all)


def resume(decision: Decision) -> None:
    """Do the work that the pause postponed; for a run that is being stopped, only that of its hooks."""
    for step in list(decision.state.steps.values()):
        if step.status == t.READY:
            reissue(decision, step, reason="paused")
        elif step.status == t.PENDING and 0 < step.retry_us <= decision.context.now_us:
            try_again(decision, step)
    decision.then(_advance_all)


def stop(decision: Decision, *, paused: bool) -> None:
    """Stop the body of the run; hooks that a pause held back may begin."""
    scopes.stop_scope(decision, decision.state.root)
    if paused:
        resume(decision)


def timeout(decision: Decision, message: Due) -> None:
    """Stop the run when its time-out has passed."""
    state = decision.state
    expected = later_us(begin_of_run(state), state.timeout_ms * 1000)
    if state.waits_since or message.due_us != expected:
        return
    if state.status in {t.RUNNING, t.PAUSED} and state.root.stop == t.NONE:
        paused = state.paused
        event = history_pb2.BlockStopRequested(
            path=state.root.key, status=t.TIMED_OUT, cause="timeout"
        )
        decision.emit(block_stop_requested=event)
        stop(decision, paused=paused)
