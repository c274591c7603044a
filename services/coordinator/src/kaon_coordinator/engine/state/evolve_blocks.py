"""Folds the events of blocks and scopes."""

from __future__ import annotations

from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.engine.state.bound_policies import give, give_run
from kaon_coordinator.engine.state.counting import (
    counts_as_failed,
    has_served,
    note_cancel,
    note_failure,
    note_skip,
)
from kaon_coordinator.engine.state.state import (
    BlockState,
    Items,
    Node,
    RunState,
    ScopeState,
    StepState,
    add_cell,
    named,
    open_scope,
)
from kaonapi.run.v1 import history_pb2
from kaonapi.step.v1 import step_pb2


def block_started(state: RunState, event: history_pb2.HistoryEvent) -> None:
    """Fold the start of a block."""
    started = event.block_started
    block = state.blocks[started.path]
    block.start_us = event.time_us
    match block.kind:
        case "branch":
            block.case = started.keys[0] if started.keys else ""
        case "for_each":
            # Old histories hold the items here; in newer ones each cell brings its own.
            block.count = started.count or len(started.keys)
            block.items_digest = started.items_digest
            if started.items_json:
                state.transient.items[block.path] = Items(values=tuple(started.items_json))
        case "gate":
            block.due_us = started.due_us
            block.awaited = started.awaited if started.HasField("awaited") else None
            state.gates[block.path] = block
    set_block_status(state, block, t.WAITING if block.kind == "gate" else t.RUNNING)
    block.scope.active += 1


def cell_started(state: RunState, event: history_pb2.HistoryEvent) -> None:
    """Fold the start of a cell."""
    started = event.cell_started
    block = state.blocks[started.block]
    index = started.index
    if block.kind == "repeat":
        block.due_us = 0
        state.transient.touched_blocks.add(block.path)
        index = index or len(block.cells) + 1
    elif block.kind == "for_each" and not started.item_json:
        index = len(block.cells)
    cell = add_cell(state, block, started.path, index, state.take_position())
    if block.kind == "for_each":
        cell.item_json = started.item_json or state.transient.items[block.path].values[index]
        if len(block.cells) == block.count:
            state.transient.items.pop(block.path, None)
    block.active += 1
    open_scope(state, cell)


def pass_scheduled(state: RunState, event: history_pb2.HistoryEvent) -> None:
    """Fold the wait of a repeat before its next iteration."""
    block = state.blocks[event.pass_scheduled.block]
    block.due_us = event.pass_scheduled.due_us
    state.transient.touched_blocks.add(block.path)


def child_run_started(state: RunState, event: history_pb2.HistoryEvent) -> None:
    """Fold the submission of a sub-workflow block's child run."""
    started = event.child_run_started
    block = state.blocks[started.path]
    block.child_run_id, block.continues = started.child_run_id, ""
    block.asked = event.seq if started.continued else 0
    block.memo_key = started.memo_key
    state.transient.touched_blocks.add(block.path)


def locks_taken(state: RunState, event: history_pb2.HistoryEvent) -> None:
    """Fold the locks of a block; the time of one that waited for them again counts from now."""
    block = state.blocks[event.locks_taken.path]
    block.locks = tuple(event.locks_taken.locks)
    if block.unlocked:
        block.unlocked, block.since_us = False, event.time_us
    state.transient.touched_blocks.add(block.path)


def policies_bound(state: RunState, event: history_pb2.HistoryEvent) -> None:
    """Fold the policies of the run (empty path), or of a step or block, that is about to begin."""
    if not event.policies_bound.path:
        give_run(state, event.policies_bound.values_json)
        return
    node = state.node(event.policies_bound.path)
    assert node is not None, event.policies_bound.path
    give(state, node, event.policies_bound.values_json)
    touched = state.transient
    (touched.touched_steps if isinstance(node, StepState) else touched.touched_blocks).add(
        node.path
    )


def block_stop_requested(state: RunState, event: history_pb2.HistoryEvent) -> None:
    """Fold the stop request for the run (empty path), a cell, a block or a step."""
    stop = event.block_stop_requested
    node = state.node(stop.path) if stop.path else None
    if node is None:
        scope = state.scopes[stop.path]
        scope.stop = stop.status
        if stop.path:
            state.transient.touched_blocks.add(scope.key)
        elif state.status in {t.RUNNING, t.PAUSED}:
            t.check(t.RUN, "", state.status, t.CANCELLING)
            state.status = t.CANCELLING
        return
    node.stop = stop.status
    (
        state.transient.touched_steps
        if isinstance(node, StepState)
        else state.transient.touched_blocks
    ).add(node.path)


def block_ended(state: RunState, event: history_pb2.HistoryEvent) -> None:
    """Fold the end of a block or a cell."""
    ended = event.block_ended
    block = state.blocks.get(ended.path)
    if block is None:
        _cell_ended(state, state.scopes[ended.path], ended)
        return
    begun = block.status in {t.RUNNING, t.WAITING}
    block.error = _error(ended)
    block.outputs = named(ended.outputs_json)
    block.memo_source = (ended.memo.run_id, ended.memo.path)
    block.end_us = event.time_us
    block.end_seq = event.seq
    block.due_us, block.awaited = 0, None
    block.locks, block.unlocked = (), False
    state.transient.items.pop(block.path, None)
    state.gates.pop(block.path, None)
    set_block_status(state, block, ended.status)
    node_ended(block.scope, block, begun=begun)


def _cell_ended(state: RunState, cell: ScopeState, ended: history_pb2.BlockEnded) -> None:
    cell.error = _error(ended)
    close_scope(state, cell, ended.status)
    assert cell.parent is not None
    cell.parent.active -= 1
    cell.parent.failed += counts_as_failed(cell)


def phase_started(state: RunState, event: history_pb2.HistoryEvent) -> None:
    """Fold the start of hooks: the body of a scope, or its failure hooks, has settled."""
    started = event.phase_started
    scope = state.scopes[started.scope]
    _skip_rest(state, scope)
    scope.phase = started.phase
    scope.outcome = started.status
    scope.outcome_error = started.error if started.HasField("error") else None
    scope.remaining = scope.graph.sizes[started.phase]
    scope.active = 0
    if scope.path:
        state.transient.touched_blocks.add(scope.key)


def node_ended(scope: ScopeState, node: Node, *, begun: bool) -> None:
    """Count a node as ended in its scope, and for its successors."""
    scope.remaining -= 1
    scope.active -= begun
    if not has_served(node):
        scope.note_end(node.block.name)
    if node.status in t.BROKEN:
        note_failure(scope, node)
    elif node.status == t.CANCELLED:
        note_cancel(scope, node)
    elif node.status == t.SKIPPED:
        note_skip(scope, node)


def close_scope(state: RunState, scope: ScopeState, status: t.Status) -> None:
    """End a scope; its nodes that have not begun never will."""
    _skip_rest(state, scope, every_phase=True)
    scope.status = status
    scope.remaining = scope.active = 0
    if scope.path:
        state.transient.touched_blocks.add(scope.key)


def _skip_rest(state: RunState, scope: ScopeState, *, every_phase: bool = False) -> None:
    for node in scope.nodes.values():
        if node.status != t.PENDING:
            continue
        if not every_phase and scope.graph.phases[node.block.name] != scope.phase:
            continue
        state.transient.preparing.pop(node.path, None)
        if isinstance(node, StepState):
            set_step_status(state, node, t.SKIPPED)
        else:
            set_block_status(state, node, t.SKIPPED)


def set_step_status(state: RunState, step: StepState, status: t.Status) -> None:
    """Set a step's status, if the table of transitions allows it."""
    t.check(t.STEP, step.path, step.status, status)
    if (step.status == t.READY) != (status == t.READY):
        _count_waiting(step, 1 if status == t.READY else -1)
    step.status = status
    if step.held and status != t.PENDING:
        step.held = False
    state.transient.touched_steps.add(step.path)


def _count_waiting(step: StepState, more: int) -> None:
    around = step.scope.parent
    while around is not None:
        around.waiting += more
        around = around.scope.parent


def set_block_status(state: RunState, block: BlockState, status: t.Status) -> None:
    """Set a block's status, if the table of transitions allows it."""
    t.check(t.BLOCK, block.path, block.status, status)
    block.status = status
    state.transient.touched_blocks.add(block.path)


def _error(event: history_pb2.BlockEnded) -> step_pb2.StepError | None:
    return event.error if event.HasField("error") else None
