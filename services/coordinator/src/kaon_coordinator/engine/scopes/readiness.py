"""Whether a node may start: its turn, the nodes before it, and what ends around it."""

from __future__ import annotations

from typing import Literal, TypeAlias

from kaon_coordinator.engine.decision import Decision
from kaon_coordinator.engine.definition.compiled import BODY
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.engine.state.counting import is_blocked, too_many_failed
from kaon_coordinator.engine.state.state import Node, ScopeState, StepState
from kaonapi.workflow.v1 import definition_pb2 as d

Verdict: TypeAlias = Literal["start", "fail", "skip", "wait"]


def may_start(decision: Decision, node: Node) -> bool:
    """Whether a node has not begun and nothing keeps it from beginning, its predecessors apart."""
    if node.status != t.PENDING or decision.state.halted:
        return False
    if isinstance(node, StepState) and node.begun:
        return False
    return in_turn(node) and not ending(decision, node.scope)


def may_go(scope: ScopeState, name: str) -> bool:
    """Whether a node may have what it needs of the nodes before it: they have ended, or any one of them is enough."""
    return not scope.waiting.get(name) or scope.graph.rules[name] == d.TRIGGER_RULE_ANY_SUCCEEDED


def in_turn(node: Node) -> bool:
    """Whether its scope runs the node's phase."""
    return node.scope.status == t.RUNNING and node.scope.graph.phases[node.block.name] == node.scope.phase


def had_turn(node: Node) -> bool:
    """Whether the phase of a node has come."""
    return node.scope.graph.phases[node.block.name] == BODY or node.scope.outcome != t.NONE


def ending(decision: Decision, scope: ScopeState) -> bool:
    """Whether nothing new may start in `scope`: the run, the scope or something around it is ending. What happens around hooks
    does not end them."""
    if decision.state.force_stop:
        return True
    around: ScopeState | None = scope
    while around is not None:
        if around.status != t.RUNNING:
            return True
        if around.phase != BODY:
            return False
        if around.error is not None or around.cancelled or around.stop != t.NONE:
            return True
        parent = around.parent
        if parent is not None and (parent.stop != t.NONE or too_many_failed(parent)):
            return True
        around = parent.scope if parent is not None else None
    return False


def before(node: Node) -> list[Node]:
    """Returns the nodes that a node waits for."""
    return [node.scope.nodes[each] for each in node.scope.graph.predecessors[node.block.name]]


def verdict(node: Node) -> Verdict:
    """Judges by a node's rule what the nodes before it mean for it."""
    scope, name = node.scope, node.block.name
    earlier = before(node)
    waits = bool(scope.waiting.get(name))
    match scope.graph.rules[name]:
        case d.TRIGGER_RULE_ANY_SUCCEEDED:
            if not earlier or any(each.status == t.SUCCEEDED for each in earlier):
                return "start"
            if waits:
                return "wait"
            return "fail" if _failed(earlier) else "skip"
        case d.TRIGGER_RULE_ALL_DONE:
            return "wait" if waits else "start"
        case d.TRIGGER_RULE_ALL_SUCCEEDED:
            good = all(each.status == t.SUCCEEDED for each in earlier)
        case _:
            good = all(each.status in t.PASSED and not is_blocked(each) for each in earlier)
    if waits:
        return "wait"
    return "start" if good else "skip"


def _failed(nodes: list[Node]) -> bool:
    """Whether a failure is why none of these has succeeded: one of them has failed, or was skipped for one that has."""
    seen: set[str] = set()
    stack = list(nodes)
    while stack:
        node = stack.pop()
        if node.status in t.BROKEN:
            return True
        if node.path not in seen and is_blocked(node):
            seen.add(node.path)
            stack += before(node)
    return False
