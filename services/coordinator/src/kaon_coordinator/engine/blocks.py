"""Blocks: how each kind starts, goes on when one of its cells has ended, and stops."""

from __future__ import annotations

from kaon_coordinator.engine import foreach, gates, paths, repeat, subworkflows
from kaon_coordinator.engine import transitions as t
from kaon_coordinator.engine.bindings import condition
from kaon_coordinator.engine.decide import Decision, user_error
from kaon_coordinator.engine.messages import Continued
from kaon_coordinator.engine.scopes import (
    end_block,
    ending,
    start_node,
    start_scope,
    stop_error,
    stop_scope,
)
from kaon_coordinator.engine.state import BlockState, ScopeState
from kaon_coordinator.engine.timing import watch_node
from kaon_wire.errors import KaonError
from kaonapi.run.v1 import history_pb2


def start(decision: Decision, block: BlockState) -> None:
    """Starts a pending block; what it needs from outside is asked for first."""
    try:
        _STARTS[block.kind](decision, block)
    except KaonError as error:
        end_block(decision, block, t.FAILED, user_error("BindingError", f"{block.path}: {error}"))


def _start_branch(decision: Decision, block: BlockState) -> None:
    branch = block.block.branch
    taken = "else" if branch.HasField("otherwise") else ""
    for index, case in enumerate(branch.cases):
        if condition(decision.state, block.scope, case.condition, decision.context.evaluate):
            taken = str(index)
            break
    decision.emit(block_started=history_pb2.BlockStarted(path=block.path, keys=[taken] if taken else []))
    watch_node(decision, block)
    _enter_branch(decision, block)


def _enter_branch(decision: Decision, block: BlockState) -> None:
    if block.case:
        start_cell(decision, block, paths.case_cell(block.path, block.case), 0)
    else:
        end_block(decision, block, t.SKIPPED)


def _start_group(decision: Decision, block: BlockState) -> None:
    decision.emit(block_started=history_pb2.BlockStarted(path=block.path))
    watch_node(decision, block)
    _enter_group(decision, block)


def _enter_group(decision: Decision, block: BlockState) -> None:
    start_cell(decision, block, paths.group_cell(block.path), 0)


_STARTS = {
    "for_each": foreach.start,
    "repeat": repeat.start,
    "branch": _start_branch,
    "group": _start_group,
    "sub_workflow": subworkflows.start,
    "gate": gates.start,
}


def start_cell(decision: Decision, block: BlockState, key: str, index: int, item_json: str = "") -> None:
    """Starts a cell of a block."""
    decision.emit(
        cell_started=history_pb2.CellStarted(path=key, block=block.path, index=index, item_json=item_json)
    )
    cell = block.cells[index]
    decision.then(lambda: start_scope(decision, cell))


def cell_ended(decision: Decision, block: BlockState, cell: ScopeState) -> None:
    """What the end of a cell brings about in its block."""
    if block.stop != t.NONE:
        if block.active == 0:
            end_stopped(decision, block)
    elif block.kind == "for_each":
        foreach.cell_ended(decision, block, cell)
    elif cell.status != t.SUCCEEDED:
        end_block(decision, block, cell.status, cell.error)
    elif block.kind == "repeat":
        repeat.pass_ended(decision, block, cell)
    else:
        end_block(decision, block, t.SUCCEEDED)


def end_stopped(decision: Decision, block: BlockState) -> None:
    """Ends a block that was stopped and of which nothing is left."""
    end_block(decision, block, block.stop, stop_error(block.path, block.stop))


def stop(decision: Decision, block: BlockState, status: t.Status) -> None:
    """Stops an active block."""
    if block.kind == "gate":
        end_block(decision, block, status, stop_error(block.path, status))
        return
    if block.kind == "sub_workflow":
        subworkflows.stop(decision, block)
        return
    if block.active == 0:
        end_block(decision, block, block.stop or status, stop_error(block.path, block.stop or status))
        return
    for cell in list(block.cells.values()):
        stop_scope(decision, cell)


def advance(decision: Decision, block: BlockState) -> None:
    """Lets a running block go on that was paused, reopened, taken over or forked. Doing it twice changes nothing."""
    if block.status != t.RUNNING or decision.state.halted:
        return
    if block.kind == "for_each":
        foreach.go_on(decision, block)
    elif block.active == 0 and block.kind in _ENTERS:
        if block.cells and not block.due_us:
            cell_ended(decision, block, block.cells[max(block.cells)])
        else:
            _ENTERS[block.kind](decision, block)


_ENTERS = {"repeat": repeat.go_on, "branch": _enter_branch, "group": _enter_group}


def continued(decision: Decision, message: Continued) -> None:
    """A node may be able to go on."""
    node = decision.state.node(message.path)
    if node is None:
        return
    if isinstance(node, BlockState) and node.status == t.RUNNING:
        if not ending(decision, node.scope):
            advance(decision, node)
    else:
        start_node(decision, node)
