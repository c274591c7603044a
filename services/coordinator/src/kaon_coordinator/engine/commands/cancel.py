"""The cancel command: stops a run, or everything under a path."""

from __future__ import annotations

from kaon_coordinator.engine.commands import lifecycle
from kaon_coordinator.engine.decision import Decision, user_error
from kaon_coordinator.engine.messages import Cancel, PermitsRefused
from kaon_coordinator.engine.refusals import NOT_BEGUN, refuse
from kaon_coordinator.engine.scopes import run_ends
from kaon_coordinator.engine.scopes.readiness import ending, in_turn
from kaon_coordinator.engine.scopes.scopes import stop_scope
from kaon_coordinator.engine.scopes.stopping import request_stop
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.engine.state.counting import is_active
from kaon_coordinator.engine.state.state import Node, ScopeState
from kaonapi.run.v1 import history_pb2


def cancel(decision: Decision, message: Cancel) -> None:
    """Stop the run, or everything under a path."""
    if message.path:
        _cancel_path(decision, message)
        return
    state = decision.state
    if state.ended or (state.cancel_requested and (state.force_stop or not message.force)):
        return
    # Nothing in it is active. Its hooks ran if it ended before.
    paused, force = state.paused and not state.waits_since, message.force or state.waits_since > 0
    if state.root.nodes and not state.start_us:
        lifecycle.begin_fork(decision)
    decision.emit(
        run_cancel_requested=history_pb2.RunCancelRequested(
            reason=message.reason, requester=message.requester, force=force
        )
    )
    if not state.start_us:
        run_ends.end(decision, t.CANCELLED, None)
        return
    if state.force_stop:
        for scope in sorted(state.scopes.values(), key=lambda each: -each.position):
            stop_scope(decision, scope)
    lifecycle.stop(decision, paused=paused)


def permits_refused(decision: Decision, message: PermitsRefused) -> None:
    """End a run that waits for permits which it will never get."""
    state = decision.state
    if state.status not in {t.PENDING, t.PAUSED} or (state.start_us and not state.waits_since):
        return
    if state.root.nodes:
        # A run that was opened again has blocks, and a fork begins with those of another run: they end with it.
        cancel(decision, Cancel(reason=message.problem, requester="kaon", force=True))
        return
    error = user_error(message.kind, message.problem)
    run_ends.end(decision, t.Status(message.status), error)


def _cancel_path(decision: Decision, message: Cancel) -> None:
    state = decision.state
    target: Node | ScopeState | None = state.node(message.path) or state.scopes.get(message.path)
    if target is None:
        problem = "there is no such step, block or cell"
    elif not state.start_us:
        problem = NOT_BEGUN
    elif state.ended or not _stoppable(decision, target):
        problem = f"it is {t.short(target.status)}"
    elif target.stop != t.NONE:
        return
    else:
        status = t.SKIPPED if message.skip else t.CANCELLED
        request_stop(
            decision,
            target,
            status,
            cause="command",
            requester=message.requester,
            reason=message.reason,
        )
        return
    refuse(decision, "cancel", message.path, problem, message.requester)


def _stoppable(decision: Decision, target: Node | ScopeState) -> bool:
    if isinstance(target, ScopeState):
        return target.status == t.RUNNING
    pending = target.status == t.PENDING and in_turn(target) and not ending(decision, target.scope)
    return is_active(target) or pending
