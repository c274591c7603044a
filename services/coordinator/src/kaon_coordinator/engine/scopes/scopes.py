"""Scopes: starting their nodes, ending the scopes, and the consequences of an end."""

from __future__ import annotations

from collections.abc import Callable

from kaon_coordinator.engine.actions import ReleasePermits
from kaon_coordinator.engine.decision import Decision, user_error
from kaon_coordinator.engine.definition.compiled import BODY, FINALLY, ON_FAILURE, WATCHING
from kaon_coordinator.engine.messages import Continued, PermitsGranted
from kaon_coordinator.engine.scopes import locks, policies, run_ends, upstream
from kaon_coordinator.engine.scopes.readiness import (
    before,
    ending,
    had_turn,
    has_happened,
    is_broken,
    lets_start,
    may_go,
    may_start,
    never_locked,
    verdict,
    waits_for_locks,
)
from kaon_coordinator.engine.scopes.timing import watch_node
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.engine.state.counting import is_active, too_many_failed
from kaon_coordinator.engine.state.state import (
    BlockState,
    Node,
    Preparation,
    RunState,
    ScopeState,
    StepState,
)
from kaon_wire.errors import KaonError
from kaon_wire.packing import fill
from kaonapi.run.v1 import history_pb2
from kaonapi.step.v1 import step_pb2
from kaonapi.workflow.v1 import definition_pb2 as d


def start_scope(decision: Decision, scope: ScopeState) -> None:
    """Start all nodes without predecessors; a scope without nodes ends at once."""
    for name, node in list(scope.nodes.items()):
        if may_go(scope, name):
            start_node(decision, node)
    check_scope(decision, scope)


def start_node(decision: Decision, node: Node) -> None:
    """Start a pending node whose predecessors satisfy its trigger rule, or skip it when they cannot."""
    if not may_start(decision, node) or node.path in decision.state.transient.preparing:
        return
    found = verdict(node, decision.state.left_out)
    if found == "start":
        if decision.defers(node.path):
            return
        if (problem := policies.bind(decision, node)) is not None:
            end_node(decision, node, t.FAILED, problem)
        elif isinstance(node, StepState):
            decision.kinds.step.start(decision, node)
        else:
            _start_block(decision, node)
    elif found == "fail":
        end_node(decision, node, t.FAILED, upstream.none_succeeded(node, before(node)))
    elif found == "skip":
        is_left_out = node.block.name in decision.state.left_out
        why = upstream.left_out() if is_left_out else upstream.skipped(node, before(node))
        end_node(decision, node, t.SKIPPED, why)


def _start_named(decision: Decision, scope: ScopeState, name: str) -> None:
    start_node(decision, scope.nodes[name])


def _start_block(decision: Decision, block: BlockState) -> None:
    """Start a block, or request its locks first."""
    try:
        if block.block.locks:
            locks.request(decision, block)
        else:
            decision.kinds.blocks[block.kind].start(decision, block)
    except KaonError as error:
        end_block(decision, block, t.FAILED, user_error("BindingError", f"{block.path}: {error}"))


def locks_granted(decision: Decision, message: PermitsGranted) -> None:
    """Start a block that holds its locks, or let it go on; release them when it no longer needs them."""
    state = decision.state
    block, preparation = (
        state.blocks.get(message.path),
        state.transient.preparing.get(message.path),
    )
    if block is None or block.status in t.TERMINAL:
        state.transient.preparing.pop(message.path, None)
        decision.act(ReleasePermits(path=message.path))
        return
    if preparation is None or (preparation.awaits, preparation.asked) != ("permits", message.asked):
        return
    del state.transient.preparing[message.path]
    if block.unlocked and not state.halted and not ending(decision, block.scope):
        _take_locks(decision, block, preparation)
        watch_node(decision, block)
        inside = [each for each in state.scopes.values() if _is_in(each, block)]
        decision.then(advance, [block.scope, *inside])
    elif may_start(decision, block):
        _take_locks(decision, block, preparation)
        try:
            decision.kinds.blocks[block.kind].start(decision, block)
        except KaonError as error:
            end_block(
                decision, block, t.FAILED, user_error("BindingError", f"{block.path}: {error}")
            )


def _take_locks(decision: Decision, block: BlockState, preparation: Preparation) -> None:
    told = [key.removeprefix(locks.PREFIX) for key in preparation.inputs]
    decision.emit(locks_taken=history_pb2.LocksTaken(path=block.path, locks=told))


def _is_in(scope: ScopeState, block: BlockState) -> bool:
    """Tell whether a scope is one of a block's cells, or inside of one."""
    while scope.parent is not None:
        if scope.parent is block:
            return True
        scope = scope.parent.scope
    return False


def start_cell(
    decision: Decision, block: BlockState, key: str, index: int, item_json: str = ""
) -> None:
    """Start a cell of a block."""
    decision.emit(
        cell_started=history_pb2.CellStarted(
            path=key, block=block.path, index=index, item_json=item_json
        )
    )
    cell = block.cells[index]
    decision.then(start_scope, cell)


def end_node(
    decision: Decision, node: Node, status: t.Status, error: step_pb2.StepError | None = None
) -> None:
    """End a node that is waiting for nothing else."""
    if isinstance(node, StepState):
        decision.kinds.step.end(decision, node, status, error)
    else:
        end_block(decision, node, status, error)


def end_block(
    decision: Decision,
    block: BlockState,
    status: t.Status,
    error: step_pb2.StepError | None = None,
    outputs: dict[str, str] | None = None,
    memo: history_pb2.MemoSource | None = None,
) -> None:
    """End a block, release its locks and notify its scope."""
    if block.block.locks:
        decision.act(ReleasePermits(path=block.path))
    ended = history_pb2.BlockEnded(path=block.path, status=status, error=error, memo=memo)
    fill(ended.outputs_json, outputs or {})
    decision.emit(block_ended=ended)
    node_ended(decision, block)


def node_ended(decision: Decision, node: Node) -> None:
    """Apply the consequences of a node's end to its scope."""
    scope = node.scope
    _start_after(decision, node)
    stops = is_broken(scope) and not scope.graph.finishes
    if stops and scope.phase == BODY and not _stopping(decision, scope):
        stop_scope(decision, scope)
    decision.then(check_scope, scope)


def left_the_queue(decision: Decision, step: StepState) -> None:
    """Let the foreaches around a step that was READY and is not any more start further cells, if half of those steps are left.

    Called for each such step, so that none of them goes past that half unnoticed.
    """
    around = step.scope.parent
    while around is not None:
        has_more = around.kind == "for_each" and len(around.cells) < around.count
        if has_more and around.waiting == decision.context.limits.waiting_steps // 2:
            decision.then(_start_further, around)
        around = around.scope.parent


def _start_further(decision: Decision, block: BlockState) -> None:
    stops = block.stop != t.NONE or too_many_failed(block) or ending(decision, block.scope)
    if not stops:
        advance_block(decision, block)


def served(decision: Decision, step: StepState) -> None:
    """Start what has waited for a step to serve."""
    _start_after(decision, step)
    decision.then(check_scope, step.scope)


def _start_after(decision: Decision, node: Node) -> None:
    """Start the nodes after one that has ended or serves, and those that need it, if they need not wait for others."""
    scope, name = node.scope, node.block.name
    for after in scope.graph.successors[name]:
        # A node with the rule any_succeeded checks all predecessors only when this one succeeded or was the
        # last; likewise any_failed.
        if not scope.waiting.get(after) or lets_start(node, after):
            decision.then(_start_named, scope, after)
    for after in scope.graph.servers.get(name, ()):
        if not scope.waiting.get(after):
            decision.then(_start_named, scope, after)


def happened(decision: Decision, node: Node) -> None:
    """Start the hooks beside a node that now runs, is retried or is late."""
    graph = node.scope.graph
    for after in graph.successors[node.block.name]:
        rule = graph.rules[after]
        if rule in WATCHING and has_happened(node, rule):
            decision.then(_start_named, node.scope, after)


def check_scope(decision: Decision, scope: ScopeState) -> None:
    """Advance a scope whose phase has no open nodes."""
    if scope.status != t.RUNNING:
        return
    if scope.remaining == 0 or (scope.active == 0 and ending(decision, scope)):
        _phase_over(decision, scope)
    elif scope.graph.servers and scope.phase == BODY:
        _dismiss_servers(decision, scope)


def _dismiss_servers(decision: Decision, scope: ScopeState) -> None:
    """Stop the steps that serve others when nothing else is open in the scope's body."""
    steps = [scope.nodes[name] for name in scope.graph.servers]
    still = [each for each in steps if each.status not in t.TERMINAL]
    if len(still) == scope.remaining:
        for step in still:
            _dismiss(decision, step)


def _dismiss(decision: Decision, step: Node) -> None:
    assert isinstance(step, StepState), step.path
    decision.kinds.step.dismiss(decision, step)


def _release_permits(decision: Decision, scope: ScopeState) -> None:
    """Release the permits of nodes that now never begin, including grants that were lost with the last owner."""
    for name, node in scope.nodes.items():
        tagged = node.status == t.PENDING and locks.may_hold(node)
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
        phase_started=history_pb2.PhaseStarted(
            scope=scope.key, phase=following, status=status, error=error
        )
    )
    start_scope(decision, scope)


def _next_phase(
    decision: Decision, scope: ScopeState, outcome: t.Status
) -> d.Phase.ValueType | None:
    sizes = scope.graph.sizes
    if decision.state.force_stop or never_locked(decision, scope):
        return None
    if scope.phase == BODY and sizes[ON_FAILURE] and outcome in t.BROKEN:
        return ON_FAILURE
    return FINALLY if scope.phase != FINALLY and sizes[FINALLY] else None


def _body_outcome(
    decision: Decision, scope: ScopeState
) -> tuple[t.Status, step_pb2.StepError | None]:
    stop = scope.stop
    if stop == t.NONE and scope.parent is not None and scope.parent.stop == t.TIMED_OUT:
        # The block's time-out covers only its body: its failure hooks still run.
        stop = t.TIMED_OUT
    if stop != t.NONE and (scope.remaining or scope.cancelled or scope.parent is None):
        return stop, stop_error(scope.path or "the run", stop)
    if scope.error is not None:
        return t.FAILED, scope.error
    return (t.CANCELLED if scope.remaining or scope.cancelled else t.SUCCEEDED), None


def stop_error(what: str, status: t.Status) -> step_pb2.StepError | None:
    """Return the error of a stopped node."""
    if status == t.TIMED_OUT:
        return user_error("Timeout", f"{what} took longer than allowed")
    if status == t.FAILED:
        return user_error("BindingError", f"{what}: its items cannot be read again")
    return None


def _end_scope(
    decision: Decision, scope: ScopeState, status: t.Status, error: step_pb2.StepError | None
) -> None:
    """End the run, or a cell and, if it was the last, its block."""
    if scope.parent is None:
        run_ends.end(decision, status, error)
        return
    decision.emit(block_ended=history_pb2.BlockEnded(path=scope.key, status=status, error=error))
    cell_ended(decision, scope.parent, scope)


def cell_ended(decision: Decision, block: BlockState, cell: ScopeState) -> None:
    """Apply the consequences of a cell's end to its block."""
    if block.stop == t.NONE:
        decision.kinds.blocks[block.kind].cell_ended(decision, block, cell)
    elif block.active == 0:
        end_block(decision, block, block.stop, stop_error(block.path, block.stop))


def end_with_cell(decision: Decision, block: BlockState, cell: ScopeState) -> None:
    """End a block with the outcome of its cell."""
    end_block(decision, block, cell.status, None if cell.status == t.SUCCEEDED else cell.error)


def _stopping(decision: Decision, scope: ScopeState) -> bool:
    """Tell whether a stop was requested for the scope's active nodes."""
    return scope.key in decision.state.transient.stopping


def stop_scope(decision: Decision, scope: ScopeState) -> None:
    """Stop all active nodes in a scope's body; hooks continue unless `force` is set."""
    if scope.status != t.RUNNING:
        return
    if scope.phase == BODY or decision.state.force_stop or never_locked(decision, scope):
        decision.state.transient.stopping.add(scope.key)
        for node in list(scope.nodes.values()):
            if not is_active(node):
                continue
            if node.block.step.serves:
                # It has done nothing wrong: what is run again later finds it as after any other end of its scope.
                _dismiss(decision, node)
            else:
                stop_node(decision, node, t.CANCELLED)
    decision.then(check_scope, scope)


def stop_node(decision: Decision, node: Node, status: t.Status) -> None:
    """Stop an active node; one that waits for nothing ends at once with `status`."""
    if isinstance(node, StepState):
        decision.kinds.step.stop(decision, node, status)
    else:
        decision.kinds.blocks[node.kind].stop(decision, node, status)


def stop_cells(decision: Decision, block: BlockState, status: t.Status) -> None:
    """Stop the cells of an active block; a block without active cells ends at once."""
    if block.active == 0:
        end_block(
            decision, block, block.stop or status, stop_error(block.path, block.stop or status)
        )
        return
    for cell in list(block.cells.values()):
        stop_scope(decision, cell)


def advance(decision: Decision, scopes: list[ScopeState]) -> None:
    """Start all startable nodes in scopes that were paused or run again. Idempotent."""
    for scope in sorted(scopes, key=lambda each: -each.position):
        if scope.status != t.RUNNING or scope.key not in decision.state.scopes:
            continue
        for node in list(scope.nodes.values()):
            if isinstance(node, BlockState) and node.status == t.RUNNING:
                advance_block(decision, node)
        start_scope(decision, scope)


def advance_block(decision: Decision, block: BlockState) -> None:
    """Continue a running block after a pause, a reopening, a takeover or a fork. Idempotent."""
    if block.status != t.RUNNING or decision.state.halted:
        return
    if block.unlocked and not ending(decision, block.scope):
        # Locks are taken from the outside in, as at the first start: two runs would else wait for each other.
        if not waits_for_locks(decision, block.scope):
            _request_again(decision, block)
    else:
        # What ends takes no locks: it ends with its cells, also if they had ended before.
        decision.kinds.blocks[block.kind].advance(decision, block)


def _request_again(decision: Decision, block: BlockState) -> None:
    """Request the locks of a block that was opened again."""
    try:
        locks.request(decision, block)
    except KaonError as error:
        # Its keys have no values any more: it ends as soon as its cells have.
        text = f"{block.path}: {error}"
        decision.emit(
            block_stop_requested=history_pb2.BlockStopRequested(
                path=block.path, status=t.FAILED, cause="locks", reason=text
            )
        )
        stop_node(decision, block, t.FAILED)


def advance_cell(
    decision: Decision, block: BlockState, enter: Callable[[Decision, BlockState], None]
) -> None:
    """Continue a block that has one cell at a time; `enter` starts the next cell."""
    if block.active:
        return
    if block.cells and not block.due_us:
        cell_ended(decision, block, block.cells[max(block.cells)])
    else:
        enter(decision, block)


def continued(decision: Decision, message: Continued) -> None:
    """Continue a node that a former decision deferred."""
    node = decision.state.node(message.path)
    if node is None:
        return
    if isinstance(node, BlockState) and node.status == t.RUNNING:
        if node.active == 0 or not ending(decision, node.scope):
            advance_block(decision, node)
    else:
        start_node(decision, node)


def nodes_at(state: RunState, path: str) -> list[Node]:
    """Return the step or block at a path, or all nodes of the cell at it."""
    node = state.node(path)
    if node is not None:
        return [node]
    cell = state.scopes.get(path) if path else None
    return list(cell.nodes.values()) if cell is not None else []
