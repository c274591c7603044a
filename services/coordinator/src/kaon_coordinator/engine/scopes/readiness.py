"""Readiness of nodes: their phase, their predecessors, and whether an enclosing scope is ending."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal, TypeAlias

from kaon_coordinator.engine.decision import Decision
from kaon_coordinator.engine.definition.compiled import BODY, INDEPENDENT, ON_FAILURE, WATCHING
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.engine.state.counting import is_blocked, too_many_failed
from kaon_coordinator.engine.state.state import Node, ScopeState, StepState
from kaon_wire.definitions import conditions
from kaonapi.workflow.v1 import definition_pb2 as d

Verdict: TypeAlias = Literal["start", "fail", "skip", "wait"]

# A step that is to serve others keeps them waiting until then.
_SETTLED = t.TERMINAL | {t.SERVING}
# Rules under which a node may start before all its predecessors have ended.
_EAGER = frozenset(
    {
        d.TRIGGER_RULE_ANY_SUCCEEDED,
        d.TRIGGER_RULE_ANY_FAILED,
        d.TRIGGER_RULE_CONDITION,
    }
    | INDEPENDENT
)
# Ends that count as successes.
_SUCCESSES = frozenset({d.BLOCK_END_KIND_SUCCEEDED, d.BLOCK_END_KIND_PASSED})


def may_start(decision: Decision, node: Node) -> bool:
    """Tell whether a node has not begun and nothing but its predecessors keeps it from beginning."""
    if node.status != t.PENDING or decision.state.halted:
        return False
    if isinstance(node, StepState) and node.begun:
        return False
    return (
        in_turn(node)
        and not ending(decision, node.scope)
        and not waits_for_locks(decision, node.scope)
    )


def waits_for_locks(decision: Decision, scope: ScopeState) -> bool:
    """Tell whether a block around was opened again and does not hold its locks yet."""
    if not decision.state.workflow.takes_locks:
        return False
    parent = scope.parent
    while parent is not None:
        if parent.unlocked:
            return True
        parent = parent.scope.parent
    return False


def may_go(scope: ScopeState, name: str) -> bool:
    """Tell whether a node may gather what it needs: all predecessors have ended, or it need not wait for all of them."""
    return not scope.waiting.get(name) or scope.graph.rules[name] in _EAGER


def lets_start(node: Node, after: str) -> bool:
    """Tell whether the end of a node may let a successor start that need not wait for all its predecessors."""
    match node.scope.graph.rules[after]:
        case d.TRIGGER_RULE_ANY_SUCCEEDED:
            return node.status in t.GOOD
        case d.TRIGGER_RULE_ANY_FAILED:
            return node.status in t.BROKEN or is_blocked(node)
        case d.TRIGGER_RULE_CONDITION:
            return True
        case rule if rule in WATCHING:
            return has_happened(node, rule)
    return False


def has_happened(node: Node, rule: d.TriggerRule.ValueType) -> bool:
    """Tell whether what a hook beside a node waits for has happened: the node runs or has run, was retried, or is late."""
    if rule == d.TRIGGER_RULE_ANY_LATE:
        return node.late
    if not isinstance(node, StepState):
        return False
    retried = node.attempt > 1 or node.platform_failures > 0
    if rule == d.TRIGGER_RULE_ANY_RETRIED:
        return retried or node.retry_us > 0
    return retried or node.start_us > 0


def in_turn(node: Node) -> bool:
    """Tell whether the scope is in the node's phase."""
    return (
        node.scope.status == t.RUNNING
        and node.scope.graph.phases[node.block.name] == node.scope.phase
    )


def had_turn(node: Node) -> bool:
    """Tell whether the node's phase has come."""
    phase, outcome = node.scope.graph.phases[node.block.name], node.scope.outcome
    return phase == BODY or (outcome in t.BROKEN if phase == ON_FAILURE else outcome != t.NONE)


def ending(decision: Decision, scope: ScopeState) -> bool:
    """Tell whether nothing new may start in `scope`, because the run or an enclosing scope is ending.

    Hooks are not affected by the end of their surroundings.
    """
    if decision.state.force_stop or never_locked(decision, scope):
        return True
    around: ScopeState | None = scope
    while around is not None:
        if around.status != t.RUNNING:
            return True
        if around.phase != BODY:
            return False
        if around.stop != t.NONE or (is_broken(around) and not around.graph.finishes):
            return True
        parent = around.parent
        if parent is not None and (parent.stop != t.NONE or too_many_failed(parent)):
            return True
        around = parent.scope if parent is not None else None
    return False


def never_locked(decision: Decision, scope: ScopeState) -> bool:
    """Tell whether a block around was opened again and ends without its locks: not even hooks start in it.

    Its hooks ran when it ended before.
    """
    if not decision.state.workflow.takes_locks:
        return False
    parent = scope.parent
    while parent is not None:
        if parent.unlocked and (parent.stop == t.FAILED or ending(decision, parent.scope)):
            return True
        parent = parent.scope.parent
    return False


def is_broken(scope: ScopeState) -> bool:
    """Tell whether the body of a scope cannot succeed any more."""
    return scope.error is not None or scope.cancelled


def before(node: Node) -> list[Node]:
    """Return the predecessors of a node."""
    return [node.scope.nodes[each] for each in node.scope.graph.predecessors[node.block.name]]


def verdict(node: Node, left_out: Collection[str] = ()) -> Verdict:
    """Apply a node's trigger rule to the ends of its predecessors, except for those that are left out of the run."""
    scope, name = node.scope, node.block.name
    if left_out and name in left_out:
        return "skip"
    rule, earlier = scope.graph.rules[name], before(node)
    if left_out and earlier:
        earlier = [each for each in earlier if each.block.name not in left_out]
        if not earlier:
            return "start"
    if not earlier and rule == d.TRIGGER_RULE_ALL_PASSED:
        # The most frequent case.
        return "start"
    waits = bool(scope.waiting.get(name)) or _is_unserved(scope, name)
    match rule:
        case d.TRIGGER_RULE_ANY_SUCCEEDED:
            if not earlier or any(each.status in t.GOOD for each in earlier):
                return "start"
            if waits:
                return "wait"
            return "fail" if has_failed(earlier, optional=False) else "skip"
        case d.TRIGGER_RULE_ANY_FAILED:
            good = has_failed(earlier)
            waits = waits and not good
        case d.TRIGGER_RULE_ALL_FAILED:
            good = not waits and all(has_failed([each]) for each in earlier)
        case d.TRIGGER_RULE_ALWAYS:
            return "start"
        case d.TRIGGER_RULE_ALL_DONE:
            return "wait" if waits else "start"
        case d.TRIGGER_RULE_CONDITION:
            good = start_holds(node, left_out) is True
            waits = waits and not good
        case _:
            good = _is_good(rule, earlier)
            waits = waits and not (good and rule in WATCHING)
    if waits:
        return "wait"
    return "start" if good else "skip"


def _is_good(rule: d.TriggerRule.ValueType, earlier: list[Node]) -> bool:
    """Tell whether a hook beside blocks may start, or all predecessors of another node have passed, or succeeded."""
    if rule == d.TRIGGER_RULE_ALL_SUCCEEDED:
        return all(each.status in t.GOOD for each in earlier)
    if rule in WATCHING:
        return any(has_happened(each, rule) for each in earlier)
    return all(_has_passed(each) for each in earlier)


def _has_passed(node: Node) -> bool:
    if node.status in t.BROKEN:
        return node.block.optional
    return node.status in t.PASSED and not is_blocked(node)


def _is_unserved(scope: ScopeState, name: str) -> bool:
    """Tell whether a step that serves a node is to serve, and does not yet or not at the moment."""
    servers = scope.graph.served_by.get(name, ())
    return any(scope.nodes[each].status not in _SETTLED for each in servers)


def start_holds(
    node: Node, left_out: Collection[str] = (), *, but_for_successes: bool = False
) -> bool | None:
    """Return whether a node's start condition holds; None while that depends on nodes that have not ended.

    Args:
        node: The node.
        left_out: Names of the blocks that are left out of the run: their ends do not count.
        but_for_successes: Whether it would hold had all succeeded that it wants to have succeeded.
    """
    scope = node.scope
    condition = scope.graph.starts[node.block.name]
    if left_out:
        kept = conditions.without(condition, left_out)
        if kept is None:
            return True
        condition = kept

    def ended(end: d.BlockEnd) -> bool | None:
        if but_for_successes and end.kind in _SUCCESSES:
            return True
        before = scope.nodes[end.block]
        return ends_as(before, end.kind) if before.status in t.TERMINAL else None

    return conditions.holds(condition, ended)


def missed_successes(node: Node) -> list[Node]:
    """Return the nodes that a start condition wants to have succeeded, and that have not."""
    ends = conditions.ends(node.scope.graph.starts[node.block.name])
    wanted = [(node.scope.nodes[end.block], end.kind) for end in ends if end.kind in _SUCCESSES]
    return [before for before, kind in wanted if not ends_as(before, kind)]


def ends_as(node: Node, kind: d.BlockEndKind.ValueType) -> bool:
    """Tell whether a node that has ended has ended in a way."""
    match kind:
        case d.BLOCK_END_KIND_SUCCEEDED:
            return node.status == t.SUCCEEDED
        case d.BLOCK_END_KIND_FAILED:
            return has_failed([node])
        case d.BLOCK_END_KIND_SKIPPED:
            return node.status == t.SKIPPED and not is_blocked(node)
        case d.BLOCK_END_KIND_PASSED:
            return _has_passed(node)
    return True


def has_failed(nodes: list[Node], *, optional: bool = True) -> bool:
    """Tell whether one of the nodes failed, or was skipped because of a failed one.

    The failures of optional nodes count unless `optional` is False.
    """
    seen: set[str] = set()
    stack = list(nodes)
    while stack:
        node = stack.pop()
        if node.status in t.BROKEN and (optional or not node.block.optional):
            return True
        if node.path not in seen and is_blocked(node):
            seen.add(node.path)
            stack += before(node)
    return False
