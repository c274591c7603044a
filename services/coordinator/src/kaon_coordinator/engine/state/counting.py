"""Counters of scopes and blocks, recounted from the statuses: never stored, so they cannot disagree with them."""

from __future__ import annotations

from collections.abc import Iterable

from kaon_coordinator.engine.definition.compiled import BODY
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.engine.state.state import BlockState, Node, ScopeState, StepState
from kaonapi.workflow.v1 import definition_pb2 as d

# The type of the error of a node that predecessors keep from starting.
UPSTREAM_FAILED = "UpstreamFailed"
# Rules of nodes that handle the failures before them if they start.
_HANDLE_WHEN_STARTED = frozenset({d.TRIGGER_RULE_ALL_FAILED, d.TRIGGER_RULE_CONDITION})


def recount(scope: ScopeState) -> None:
    """Recount the nodes of a scope and the cells of its blocks."""
    scope.remaining = scope.active = 0
    if not scope.nodes:
        return
    scope.wait_for_all()
    for node in scope.nodes.values():
        if isinstance(node, BlockState):
            _recount_cells(node)
    for name, node in scope.nodes.items():
        if not _ended(node):
            if scope.status == t.RUNNING and scope.graph.phases[name] == scope.phase:
                scope.remaining += 1
                scope.active += is_active(node)
            if not has_served(node):
                continue
        scope.note_end(name)
    if scope.status == t.RUNNING:
        judge(scope)


def _ended(node: Node) -> bool:
    """Tell whether a node ended by itself; nodes that a closing scope skipped do not count."""
    return node.status in t.TERMINAL and node.end_us > 0


def is_active(node: Node) -> bool:
    """Tell whether a node has begun and not ended."""
    return node.begun and node.status not in t.TERMINAL


def _recount_cells(block: BlockState) -> None:
    block.active = sum(cell.status == t.RUNNING for cell in block.cells.values())
    block.failed = sum(counts_as_failed(cell) for cell in block.cells.values())
    block.waiting = sum(
        node.waiting if isinstance(node, BlockState) else node.status == t.READY
        for cell in block.cells.values()
        for node in cell.nodes.values()
    )


def counts_as_failed(cell: ScopeState) -> bool:
    """Tell whether a cell counts against the tolerated failures of its foreach: it failed, or a command cancelled it."""
    return cell.status in t.BROKEN or (cell.status == t.CANCELLED and cell.stop == t.CANCELLED)


def judge(scope: ScopeState) -> None:
    """Determine whether a failure breaks the scope, and which node failed first."""
    scope.error, scope.hook_error, scope.cancelled = None, None, False
    broken = [node for node in scope.nodes.values() if node.status in t.BROKEN]
    for node in sorted(broken, key=lambda each: (each.end_us, each.end_seq)):
        note_failure(scope, node)
    for node in scope.nodes.values():
        if node.status == t.CANCELLED:
            note_cancel(scope, node)


def note_failure(scope: ScopeState, node: Node) -> None:
    """Record a node's failure, unless it is optional.

    The body fails unless a later node handles the failure; the scope remembers a failed hook.
    """
    if node.block.optional:
        return
    if scope.graph.phases[node.block.name] != BODY:
        scope.hook_error = scope.hook_error or node.error
    elif scope.error is None and not _is_handled(scope, node):
        scope.error = node.error


def has_served(node: Node) -> bool:
    """Tell whether a node is a step that has served those after it: for them it has passed, whatever becomes of it."""
    return isinstance(node, StepState) and node.served


def _is_handled(scope: ScopeState, node: Node) -> bool:
    """Tell whether a later node handles a failure, as far as that is known."""
    name = node.block.name
    if has_served(node):
        return False
    return name in scope.graph.handled or _one_may_start(
        scope, scope.graph.perhaps_handled.get(name, ())
    )


def _one_may_start(scope: ScopeState, handlers: Iterable[str]) -> bool:
    """Tell whether one of the nodes that handle an end when they start has not been skipped."""
    nodes = (scope.nodes[each] for each in handlers)
    return not all(each.status == t.SKIPPED and _ended(each) for each in nodes)


def note_skip(scope: ScopeState, node: Node) -> None:
    """Record a skip: a node that would have handled failures handles none."""
    if scope.graph.rules[node.block.name] in _HANDLE_WHEN_STARTED:
        judge(scope)


def note_cancel(scope: ScopeState, node: Node) -> None:
    """Record a node's cancellation: unless a later node handles it, the body cannot succeed."""
    graph, name = scope.graph, node.block.name
    if scope.cancelled or graph.phases[name] != BODY:
        return
    if has_served(node):
        scope.cancelled = True
    elif name not in graph.cancels_handled:
        scope.cancelled = not _one_may_start(scope, graph.cancels_perhaps_handled.get(name, ()))


def is_blocked(node: Node) -> bool:
    """Tell whether a node was skipped because of its predecessors."""
    return (
        node.status == t.SKIPPED and node.error is not None and node.error.type == UPSTREAM_FAILED
    )


def tolerated(block: BlockState) -> int:
    """Return the number of cells of a foreach that may fail."""
    policy = block.block.for_each.failure
    match policy.WhichOneof("tolerate"):
        case "count":
            return policy.count
        case "percent":
            return int(block.count * policy.percent / 100)
    return 0


def too_many_failed(block: BlockState) -> bool:
    """Tell whether more cells of a foreach have failed than it tolerates, so that the others are stopped."""
    if block.kind != "for_each" or block.failed <= tolerated(block):
        return False
    return not block.scope.graph.inner[block.block.name]["body"].finishes
