"""Stops of single nodes and cells: by a command, a time-out or early stopping."""

from __future__ import annotations

from kaon_coordinator.engine.backoff import later_us
from kaon_coordinator.engine.decision import Decision
from kaon_coordinator.engine.messages import Due
from kaon_coordinator.engine.scopes.scopes import (
    check_scope,
    end_node,
    stop_error,
    stop_node,
    stop_scope,
)
from kaon_coordinator.engine.scopes.timing import active_node, begin_us, is_unlocked
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.engine.state.counting import is_active
from kaon_coordinator.engine.state.state import Node, ScopeState
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
    """Stop a node or a cell; it ends with `status` when all of its nodes have ended."""
    path = target.key if isinstance(target, ScopeState) else target.path
    decision.emit(
        block_stop_requested=history_pb2.BlockStopRequested(
            path=path, status=status, cause=cause, requester=requester, reason=reason
        )
    )
    if isinstance(target, ScopeState):
        stop_scope(decision, target)
        decision.then(check_scope, target)
    elif is_active(target):
        stop_node(decision, target, status)
    else:
        end_node(decision, target, status, stop_error(path, status))


def timeout(decision: Decision, message: Due) -> None:
    """Stop a step or block whose time-out has passed."""
    node = active_node(decision, message.path)
    if node is None or node.stop != t.NONE or decision.state.waits_since or is_unlocked(node):
        return
    if later_us(begin_us(node), node.block.timeout_ms * 1000) == message.due_us:
        request_stop(decision, node, t.TIMED_OUT, cause="timeout")
