"""Branches: run the first case whose condition holds."""

from __future__ import annotations

from kaon_coordinator.engine.decision import BlockKind, Decision
from kaon_coordinator.engine.scopes.scopes import (
    advance_cell,
    end_block,
    end_with_cell,
    start_cell,
    stop_cells,
)
from kaon_coordinator.engine.scopes.timing import watch_node
from kaon_coordinator.engine.state import paths
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.engine.state.bindings import condition
from kaon_coordinator.engine.state.state import BlockState
from kaonapi.run.v1 import history_pb2


def _start(decision: Decision, block: BlockState) -> None:
    branch = block.block.branch
    taken = "else" if branch.HasField("otherwise") else ""
    for index, case in enumerate(branch.cases):
        if condition(decision.state, block.scope, case.condition, decision.context.evaluate):
            taken = str(index)
            break
    decision.emit(
        block_started=history_pb2.BlockStarted(path=block.path, keys=[taken] if taken else [])
    )
    watch_node(decision, block)
    _enter(decision, block)


def _enter(decision: Decision, block: BlockState) -> None:
    if block.case:
        start_cell(decision, block, paths.case_cell(block.path, block.case), 0)
    else:
        end_block(decision, block, t.SKIPPED)


def _advance(decision: Decision, block: BlockState) -> None:
    advance_cell(decision, block, _enter)


KIND = BlockKind(start=_start, stop=stop_cells, cell_ended=end_with_cell, advance=_advance)
