"""Scopes: what starts in them, when they are over, and what one end brings about."""

from __future__ import annotations

from collections.abc import Sequence

from kaon_coordinator.engine import transitions as t
from kaon_coordinator.engine import upstream
from kaon_coordinator.engine.actions import ReleasePermits
from kaon_coordinator.engine.compiled import BODY, FINALLY, ON_FAILURE
from kaon_coordinator.engine.counting import is_active, is_blocked
from kaon_coordinator.engine.decide import Decision, user_error
from kaon_coordinator.engine.resetting import Plan
from kaon_coordinator.engine.state import BlockState, Node, RunState, ScopeState, StepState
from kaonapi.run.v1 import history_pb2
from kaonapi.step.v1 import step_pb2
from kaonapi.workflow.v1 import definition_pb2 as d


def start_scope(decision: Decision, scope: ScopeState) -> None:
    """Starts what waits for nothing; a scope without nodes has ended."""
    for name, node in list(scope.nodes.items()):
        if may_go(scope, name):
            start_node(decision, node)
    check_scope(decision, scope)


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


def nodes_at(state: RunState, path: str) -> list[Node]:
    """The step or block at a path, or everything in the cell at it."""
    node = state.node(path)
    if node is not None:
        return [node]
    cell = state.scopes.get(path) if path else None
    return list(cell.nodes.values()) if cell is not None else []


def start_node(decision: Decision, node: Node) -> None:
    """Starts a pending node whose predecessors have ended as its rule wants, or skips it when they have not."""
    if not may_start(decision, node) or node.path in decision.state.preparing:
        return
    verdict = _verdict(node)
    if verdict == "start":
        if decision.defers(node.path):
            return
        if isinstance(node, StepState):
            from kaon_coordinator.engine import preparing

            preparing.begin(decision, node)
        else:
            from kaon_coordinator.engine import blocks

            blocks.start(decision, node)
    elif verdict == "fail":
        end_node(decision, node, t.FAILED, upstream.none_succeeded(node, _before(node)))
    elif verdict == "skip":
        end_node(decision, node, t.SKIPPED, upstream.skipped(node, _before(node)))


def _before(node: Node) -> list[Node]:
    return [node.scope.nodes[each] for each in node.scope.graph.predecessors[node.block.name]]


def _verdict(node: Node) -> str:
    """ "start", "fail" or "skip"; empty while it has to wait."""
    scope, name = node.scope, node.block.name
    before = _before(node)
    waits = bool(scope.waiting.get(name))
    match scope.graph.rules[name]:
        case d.TRIGGER_RULE_ANY_SUCCEEDED:
            if not before or any(each.status == t.SUCCEEDED for each in before):
                return "start"
            if waits:
                return ""
            return "fail" if _failed(before) else "skip"
        case d.TRIGGER_RULE_ALL_DONE:
            return "" if waits else "start"
        case d.TRIGGER_RULE_ALL_SUCCEEDED:
            good = all(each.status == t.SUCCEEDED for each in before)
        case _:
            good = all(each.status in t.PASSED and not is_blocked(each) for each in before)
    if waits:
        return ""
    return "start" if good else "skip"


def _failed(before: list[Node]) -> bool:
    """Whether a failure is why none of these has succeeded: one of them has failed, or was skipped for one that has."""
    seen: set[str] = set()
    stack = list(before)
    while stack:
        node = stack.pop()
        if node.status in t.BROKEN:
            return True
        if node.path not in seen and is_blocked(node):
            seen.add(node.path)
            stack += _before(node)
    return False


def end_node(
    decision: Decision, node: Node, status: t.Status, error: step_pb2.StepError | None = None
) -> None:
    """Ends a node that needs nothing else to be ended."""
    if isinstance(node, StepState):
        from kaon_coordinator.engine import steps

        steps.end(decision, node, status, error=error)
    else:
        end_block(decision, node, status, error)


def end_block(
    decision: Decision,
    block: BlockState,
    status: t.Status,
    error: step_pb2.StepError | None = None,
    outputs: dict[str, str] | None = None,
) -> None:
    """Ends a block and tells its scope."""
    decision.emit(
        block_ended=history_pb2.BlockEnded(
            path=block.path, status=status, error=error, outputs_json=outputs or {}
        )
    )
    node_ended(decision, block)


def node_ended(decision: Decision, node: Node) -> None:
    """What the end of a node brings about in its scope."""
    scope = node.scope
    name = node.block.name
    for after in scope.graph.successors[name]:
        # A node that any one lets start looks at all of them only when this one does, or was the last.
        if not scope.waiting.get(after) or (node.status == t.SUCCEEDED and may_go(scope, after)):
            decision.then(lambda after=after: start_node(decision, scope.nodes[after]))  # type: ignore[misc]
    breaks = node.status in t.BROKEN or node.status == t.CANCELLED
    if breaks and scope.phase == BODY and name not in scope.graph.handled and not scope.stopping:
        stop_scope(decision, scope)
    decision.then(lambda: check_scope(decision, scope))


def check_scope(decision: Decision, scope: ScopeState) -> None:
    """Moves a scope on in whose phase nothing is left to do."""
    if scope.status != t.RUNNING:
        return
    if scope.remaining == 0 or (scope.active == 0 and ending(decision, scope)):
        _phase_over(decision, scope)


def _release_permits(decision: Decision, scope: ScopeState) -> None:
    """What may have been given permits and now never begins gives them back, also when their grant was lost with the last owner."""
    for name, node in scope.nodes.items():
        tagged = isinstance(node, StepState) and node.status == t.PENDING and bool(node.block.step.tags)
        if tagged and may_go(scope, name) and had_turn(node):
            decision.act(ReleasePermits(path=node.path))


def _phase_over(decision: Decision, scope: ScopeState) -> None:
    if scope.remaining:
        _release_permits(decision, scope)
    if scope.phase == BODY:
        status, error = _body_outcome(decision, scope)
    else:
        status, error = scope.outcome, scope.outcome_error
    following = _next_phase(decision, scope, status)
    if following is None:
        if status == t.SUCCEEDED and scope.hook_error is not None:
            status, error = t.FAILED, scope.hook_error
        _end_scope(decision, scope, status, error)
        return
    decision.emit(
        phase_started=history_pb2.PhaseStarted(scope=scope.key, phase=following, status=status, error=error)
    )
    start_scope(decision, scope)


def _next_phase(decision: Decision, scope: ScopeState, outcome: t.Status) -> d.Phase.ValueType | None:
    sizes = scope.graph.sizes
    if decision.state.force_stop:
        return None
    if scope.phase == BODY and sizes[ON_FAILURE] and outcome in t.BROKEN:
        return ON_FAILURE
    return FINALLY if scope.phase != FINALLY and sizes[FINALLY] else None


def _body_outcome(decision: Decision, scope: ScopeState) -> tuple[t.Status, step_pb2.StepError | None]:
    stop = scope.stop
    if stop == t.NONE and scope.parent is not None and scope.parent.stop == t.TIMED_OUT:
        # The time of the block is that of its body: hooks on failure run.
        stop = t.TIMED_OUT
    if stop != t.NONE and (scope.remaining or scope.cancelled or scope.parent is None):
        return stop, stop_error(scope.path or "the run", stop)
    if scope.error is not None:
        return t.FAILED, scope.error
    return (t.CANCELLED if scope.remaining or scope.cancelled else t.SUCCEEDED), None


def stop_error(what: str, status: t.Status) -> step_pb2.StepError | None:
    """Why something ends that was stopped."""
    if status == t.TIMED_OUT:
        return user_error("Timeout", f"{what} took longer than allowed")
    if status == t.FAILED:
        return user_error("BindingError", f"{what}: its items cannot be read again")
    return None


def _end_scope(
    decision: Decision, scope: ScopeState, status: t.Status, error: step_pb2.StepError | None
) -> None:
    """Ends the run, or a cell and perhaps its block with it."""
    if scope.parent is None:
        from kaon_coordinator.engine import runs

        runs.end(decision, status, error)
        return
    from kaon_coordinator.engine import blocks

    decision.emit(block_ended=history_pb2.BlockEnded(path=scope.key, status=status, error=error))
    blocks.cell_ended(decision, scope.parent, scope)


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
        if parent is not None and (parent.stop != t.NONE or _too_many_failed(parent)):
            return True
        around = parent.scope if parent is not None else None
    return False


def _too_many_failed(block: BlockState) -> bool:
    from kaon_coordinator.engine import foreach

    return block.kind == "for_each" and block.failed > foreach.tolerated(block)


def stop_scope(decision: Decision, scope: ScopeState) -> None:
    """Asks everything that is active in a scope's body to stop; hooks go on unless they are forced."""
    if scope.status != t.RUNNING:
        return
    if scope.phase == BODY or decision.state.force_stop:
        scope.stopping = True
        for node in list(scope.nodes.values()):
            if is_active(node):
                stop_node(decision, node, t.CANCELLED)
    decision.then(lambda: check_scope(decision, scope))


def stop_run(decision: Decision, *, paused: bool) -> None:
    """Stops the body of the run. The end of a pause lets hooks begin that had to wait."""
    stop_scope(decision, decision.state.root)
    if paused:
        from kaon_coordinator.engine import pausing

        pausing.go_on(decision)


def stop_node(decision: Decision, node: Node, status: t.Status) -> None:
    """Stops an active node; `status` is how one ends of which nothing has to be waited for."""
    if isinstance(node, StepState):
        from kaon_coordinator.engine import steps

        steps.stop(decision, node, status)
    else:
        from kaon_coordinator.engine import blocks

        blocks.stop(decision, node, status)


def run_again(
    decision: Decision,
    what: Plan,
    *,
    cause: str,
    requester: str,
    reason: str = "",
    continued: Sequence[str] = (),
    asked: int = 0,
) -> None:
    """Resets what was planned, and starts what can start. The time of what had ended counts anew.

    A run that had ended takes its permits again first, as a new one does.

    Args:
        decision: the decision.
        what: what is reset.
        cause: why, as `BlocksReset` has it.
        requester: who wants it.
        reason: for people.
        continued: the sub-workflow blocks among them whose runs go on.
        asked: that of a retry by the run's parent."""
    from kaon_coordinator.engine import runs

    reopened = list(what.reopened.values())
    ended = [scope for scope in reopened if scope.status != t.RUNNING]
    waits = decision.state.ended and bool(runs.permit_keys(decision.state))
    decision.emit(
        blocks_reset=history_pb2.BlocksReset(
            paths=what.paths,
            cause=cause,
            requester=requester,
            reason=reason,
            waits=waits,
            continued=continued,
            asked=asked,
        )
    )
    if waits:
        runs.go_on(decision)
    if decision.state.waits_since:
        return
    _watch_again(decision, ended)
    decision.then(lambda: advance(decision, reopened))


def _watch_again(decision: Decision, opened: list[ScopeState]) -> None:
    from kaon_coordinator.engine import runs, timing

    for scope in opened:
        if scope.parent is not None:
            timing.watch_node(decision, scope.parent)
        else:
            runs.watch_run(decision)


def advance(decision: Decision, scopes: list[ScopeState]) -> None:
    """Starts what can start in scopes that were paused or run again. Doing it twice changes nothing."""
    from kaon_coordinator.engine import blocks

    for scope in sorted(scopes, key=lambda each: -each.position):
        if scope.status != t.RUNNING or scope.key not in decision.state.scopes:
            continue
        for node in list(scope.nodes.values()):
            if isinstance(node, BlockState) and node.status == t.RUNNING:
                blocks.advance(decision, node)
        start_scope(decision, scope)
