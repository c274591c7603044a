"""Stops something for a reason of its own: a command, a time that is over, a sweep that does better elsewhere."""

from __future__ import annotations

from kaon_coordinator.engine import transitions as t
from kaon_coordinator.engine.counting import is_active
from kaon_coordinator.engine.decide import Decision
from kaon_coordinator.engine.scopes import check_scope, end_node, stop_error, stop_node, stop_run, stop_scope
from kaon_coordinator.engine.state import Node, ScopeState
from kaonapi.run.v1 import history_pb2


def request_stop(
    decision: Decision,
    target: Node | ScopeState,
    status: t.Status,
    *,
    cause: str,
    requester: str = "",
    reason: str = "",
) -> None:
    """Stops a node, a cell or (its root scope) the run; it ends with `status` when nothing of it is left."""
    paused = decision.state.paused
    path = target.key if isinstance(target, ScopeState) else target.path
    decision.emit(
        block_stop_requested=history_pb2.BlockStopRequested(
            path=path, status=status, cause=cause, requester=requester, reason=reason
        )
    )
    if target is decision.state.root:
        stop_run(decision, paused=paused)
    elif isinstance(target, ScopeState):
        stop_scope(decision, target)
        decision.then(lambda: check_scope(decision, target))
    elif is_active(target):
        stop_node(decision, target, status)
    else:
        end_node(decision, target, status, stop_error(path, status))
