"""Scopes and blocks: what starts, what ends, and what one end brings about."""

from __future__ import annotations

from typing import Any

from kaon_coordinator.engine import paths
from kaon_coordinator.engine import transitions as t
from kaon_coordinator.engine.bindings import resolve
from kaon_coordinator.engine.decide import Decision, user_error
from kaon_coordinator.engine.messages import Cancel
from kaon_coordinator.engine.state import BlockState, Node, ScopeState, StepState
from kaon_wire import canonical
from kaon_wire.errors import KaonError
from kaonapi.run.v1 import history_pb2
from kaonapi.step.v1 import step_pb2
from kaonapi.workflow.v1 import definition_pb2 as d


def cancel_run(decision: Decision, message: Cancel) -> None:
    """Stops all that runs; the run ends when nothing of it is left."""
    state = decision.state
    if state.ended or state.cancel_requested:
        return
    decision.emit(
        run_cancel_requested=history_pb2.RunCancelRequested(
            reason=message.reason, requester=message.requester
        )
    )
    if state.status == t.PENDING:
        end_scope(decision, state.root)
        return
    stop_scope(decision, state.root)


def start_scope(decision: Decision, scope: ScopeState) -> None:
    """Starts what waits for nothing; a scope without nodes has ended."""
    for name, node in list(scope.nodes.items()):
        if not scope.waiting.get(name):
            start_node(decision, node)
    check_scope(decision, scope)


def start_node(decision: Decision, node: Node) -> None:
    """Starts a pending node, unless its scope is ending."""
    if node.status != t.PENDING or _ending(decision, node.scope):
        return
    if isinstance(node, StepState):
        from kaon_coordinator.engine import steps

        steps.start(decision, node)
        return
    try:
        _STARTS[node.kind](decision, node)
    except KaonError as error:
        end_block(decision, node, t.FAILED, user_error("BindingError", f"{node.path}: {error}"))


def _start_for_each(decision: Decision, block: BlockState) -> None:
    spec = block.block.for_each
    items = canonical.loads(resolve(decision.state, block.scope, spec.items, decision.context.evaluate))
    keys = _keys(items, decision.context.limits.foreach_items)
    decision.emit(
        block_started=history_pb2.BlockStarted(
            path=block.path, keys=keys, items_json=[canonical.dumps(item) for item in items]
        )
    )
    at_once = min(spec.max_concurrency or len(keys), len(keys))
    for _ in range(at_once):
        _start_next_cell(decision, block)
    if not keys:
        end_block(decision, block, t.SUCCEEDED)


def _keys(items: Any, limit: int) -> list[str]:
    if not isinstance(items, list):
        raise KaonError(f"a foreach needs a list, not {canonical.dumps(items)[:80]}")
    if len(items) > limit:
        raise KaonError(f"a foreach has {len(items)} items; the limit foreach_items is {limit}")
    keys = [paths.item_key(item, index) for index, item in enumerate(items)]
    seen: set[str] = set()
    for key in keys:
        if key in seen:
            raise KaonError(f"a foreach has two items named {key!r}")
        seen.add(key)
    return keys


def _start_next_cell(decision: Decision, block: BlockState) -> None:
    key = block.keys[len(block.cells)]
    _start_cell(decision, block, paths.item_cell(block.path, key))


def _start_repeat(decision: Decision, block: BlockState) -> None:
    decision.emit(block_started=history_pb2.BlockStarted(path=block.path))
    _start_cell(decision, block, paths.pass_cell(block.path, 1))


def _start_branch(decision: Decision, block: BlockState) -> None:
    branch = block.block.branch
    taken = "else" if branch.HasField("otherwise") else ""
    for index, case in enumerate(branch.cases):
        if _condition(decision, block.scope, case.condition):
            taken = str(index)
            break
    decision.emit(block_started=history_pb2.BlockStarted(path=block.path, keys=[taken] if taken else []))
    if taken:
        _start_cell(decision, block, paths.case_cell(block.path, taken))
    else:
        end_block(decision, block, t.SKIPPED)


_STARTS = {"for_each": _start_for_each, "repeat": _start_repeat, "branch": _start_branch}


def _condition(decision: Decision, scope: ScopeState, binding: d.Binding) -> bool:
    value = canonical.loads(resolve(decision.state, scope, binding, decision.context.evaluate))
    if not isinstance(value, bool):
        raise KaonError(f"a condition must be true or false, not {canonical.dumps(value)[:80]}")
    return value


def _start_cell(decision: Decision, block: BlockState, path: str) -> None:
    decision.emit(cell_started=history_pb2.CellStarted(path=path, block=block.path))
    cell = block.cells[path]
    decision.then(lambda: start_scope(decision, cell))


def node_ended(decision: Decision, node: Node) -> None:
    """What the end of a node brings about in its scope."""
    scope = node.scope
    if node.status in t.PASSED:
        for name in scope.graph.successors[node.block.name]:
            if not scope.waiting.get(name):
                decision.then(lambda name=name: start_node(decision, scope.nodes[name]))  # type: ignore[misc]
    elif node.status in t.BROKEN:
        stop_scope(decision, scope)
    decision.then(lambda: check_scope(decision, scope))


def check_scope(decision: Decision, scope: ScopeState) -> None:
    """Ends a scope in which nothing is left to do."""
    if scope.status != t.RUNNING:
        return
    if scope.remaining == 0 or (scope.active == 0 and _ending(decision, scope)):
        end_scope(decision, scope)


def end_scope(decision: Decision, scope: ScopeState) -> None:
    """Ends the run, or a cell and perhaps its block with it."""
    status = _scope_status(decision, scope)
    error = scope.error if status == t.FAILED else None
    if scope.parent is None:
        decision.emit(run_ended=history_pb2.RunEnded(status=status, error=error))
        return
    decision.emit(block_ended=history_pb2.BlockEnded(path=scope.path, status=status, error=error))
    _cell_ended(decision, scope.parent, scope)


def _scope_status(decision: Decision, scope: ScopeState) -> t.Status:
    if decision.state.cancel_requested and (scope.remaining or scope.parent is None):
        return t.CANCELLED
    if scope.error is not None:
        return t.FAILED
    return t.CANCELLED if scope.remaining or scope.cancelled else t.SUCCEEDED


def _cell_ended(decision: Decision, block: BlockState, cell: ScopeState) -> None:
    if block.kind == "for_each":
        _foreach_cell_ended(decision, block, cell)
    elif cell.status != t.SUCCEEDED:
        end_block(decision, block, cell.status, cell.error)
    elif block.kind == "repeat":
        _pass_ended(decision, block, cell)
    else:
        end_block(decision, block, t.SUCCEEDED)


def _foreach_cell_ended(decision: Decision, block: BlockState, cell: ScopeState) -> None:
    tolerated = _tolerated(block)
    if cell.status in t.BROKEN and block.failed == tolerated + 1:
        for other in list(block.cells.values()):
            stop_scope(decision, other)
    broken = block.failed > tolerated
    stopping = broken or _ending(decision, block.scope)
    if len(block.cells) < len(block.keys) and not stopping:
        _start_next_cell(decision, block)
    elif block.active == 0:
        _end_foreach(decision, block, broken=broken)


def _end_foreach(decision: Decision, block: BlockState, *, broken: bool) -> None:
    if broken:
        failed = next(cell for cell in block.cells.values() if cell.status in t.BROKEN)
        end_block(decision, block, t.FAILED, failed.error)
    elif any(cell.status == t.CANCELLED for cell in block.cells.values()) or len(block.cells) < len(
        block.keys
    ):
        end_block(decision, block, t.CANCELLED)
    else:
        end_block(decision, block, t.SUCCEEDED)


def _tolerated(block: BlockState) -> int:
    policy = block.block.for_each.failure
    match policy.WhichOneof("tolerate"):
        case "count":
            return policy.count
        case "percent":
            return int(len(block.keys) * policy.percent / 100)
    return 0


def _pass_ended(decision: Decision, block: BlockState, cell: ScopeState) -> None:
    repeat = block.block.repeat
    try:
        done = _condition(decision, cell, repeat.until)
    except KaonError as error:
        end_block(decision, block, t.FAILED, user_error("BindingError", f"{block.path}: {error}"))
        return
    if done:
        end_block(decision, block, t.SUCCEEDED)
    elif _ending(decision, block.scope):
        end_block(decision, block, t.CANCELLED)
    elif cell.index < repeat.max_iterations:
        _start_cell(decision, block, paths.pass_cell(block.path, cell.index + 1))
    elif repeat.exhausted == d.EXHAUSTED_ACCEPT:
        end_block(decision, block, t.SUCCEEDED)
    else:
        text = f"{block.path}: the condition did not hold after {cell.index} passes (max_iterations)"
        end_block(decision, block, t.FAILED, user_error("RepeatExhausted", text))


def end_block(
    decision: Decision, block: BlockState, status: t.Status, error: step_pb2.StepError | None = None
) -> None:
    """Ends a block and tells its scope."""
    decision.emit(
        block_ended=history_pb2.BlockEnded(
            path=block.path, status=status, error=error if status == t.FAILED else None
        )
    )
    node_ended(decision, block)


def stop_scope(decision: Decision, scope: ScopeState) -> None:
    """Asks everything that is active in a scope to stop."""
    from kaon_coordinator.engine import steps

    if scope.status != t.RUNNING:
        return
    for node in list(scope.nodes.values()):
        if isinstance(node, StepState):
            steps.stop(decision, node)
        elif node.status == t.RUNNING:
            for cell in list(node.cells.values()):
                stop_scope(decision, cell)
    decision.then(lambda: check_scope(decision, scope))


def _ending(decision: Decision, scope: ScopeState) -> bool:
    """Whether nothing new may start in `scope`: the run, the scope or something around it is ending."""
    if decision.state.cancel_requested:
        return True
    around: ScopeState | None = scope
    while around is not None:
        if around.error is not None or around.cancelled or around.status != t.RUNNING:
            return True
        parent = around.parent
        if parent is not None and parent.kind == "for_each" and parent.failed > _tolerated(parent):
            return True
        around = parent.scope if parent is not None else None
    return False
