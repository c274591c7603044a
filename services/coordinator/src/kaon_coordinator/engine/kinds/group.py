"""Groups: blocks that share options and end together."""

from __future__ import annotations

from kaon_coordinator.engine.decision import BlockKind, Decision
from kaon_coordinator.engine.scopes.scopes import (
    advance_cell,
    end_with_cell,
    start_cell,
    stop_cells,
)
from kaon_coordinator.engine.scopes.timing import watch_node
from kaon_coordinator.engine.state import paths
from kaon_coordinator.engine.state.state import BlockState
from kaonapi.run.v1 import history_pb2


def _start(decision: Decision, block: BlockState) -> None:
    decision.emit(block_started=history_pb2.BlockStarted(path=block.path))
    watch_node(decision, block)
    _enter(decision, block)


def _enter(decision: Decision, block: BlockState) -> None:
    start_cell(decision, block, paths.group_cell(block.path), 0)


def _advance(decision: Decision, block: BlockState) -> None:
    advance_cell(decision, block, _enter)


KIND = BlockKind(start=_start, stop=stop_cells, cell_ended=end_with_cell, advance=_advance)
