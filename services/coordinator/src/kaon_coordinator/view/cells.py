"""The cells of a foreach at a moment: what is shown of each, as values that columns and lists are made of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.engine.state.state import BlockState, RunState, ScopeState, StepState
from kaon_coordinator.view.columns import Clock, f32, u8, u32
from kaon_wire.errors import NotFound
from kaonapi.step.v1 import step_pb2
from kaonapi.view.v1 import cells_pb2

_NONE = float("nan")
MOST_METRICS = 100
# Cells that are looked at for the names of their metrics.
_SAMPLED = 1_000


@dataclass(frozen=True, kw_only=True)
class Look:
    """What is wanted of each cell."""

    # Path of the foreach.
    block: str
    # Of a node within the cell; empty for the cell itself.
    node: str = ""
    metric: str = ""


# Not frozen, which would take twice as long: one is made for every cell of a large foreach.
@dataclass(slots=True, kw_only=True)
class CellLook:
    """One cell, or one node of it. Times are microseconds since the epoch, 0 when they have not come."""

    index: int
    # None: the cell has not begun.
    cell: ScopeState | None = None
    node_path: str = ""
    status: int = 0
    attempt: int = 0
    ready_us: int = 0
    start_us: int = 0
    end_us: int = 0
    # Not a number when there is none.
    metric: float = _NONE
    error: step_pb2.StepError | None = None


def block_at(state: RunState, path: str) -> BlockState:
    """Return the foreach at a path.

    Raises:
        NotFound: there is none.
    """
    block = state.blocks.get(path)
    if block is None or block.kind != "for_each":
        raise NotFound(f"run {state.run_id} had no foreach {path!r} at that moment")
    return block


def look_at(block: BlockState, index: int, look: Look) -> CellLook:
    """One cell by its index."""
    cell = block.cells.get(index)
    if cell is None:
        return CellLook(index=index)
    if not look.node:
        return _whole(cell, look.metric)
    node = node_in(cell, look.node)
    return CellLook(index=index, cell=cell) if node is None else _of_node(cell, node, look.metric)


def packed(looks: Iterable[CellLook], *, metric: bool, consecutive: bool) -> cells_pb2.CellColumns:
    """Cells as columns."""
    each = list(looks)
    ready = [one.ready_us for one in each]
    start = [one.start_us for one in each]
    end = [one.end_us for one in each]
    clock = Clock([*ready, *start, *end])
    return cells_pb2.CellColumns(
        count=len(each),
        index=b"" if consecutive else u32([one.index for one in each]),
        status=u8([one.status for one in each]),
        attempt=u8([one.attempt for one in each]),
        base_us=clock.base_us,
        unit_us=clock.unit_us,
        ready=clock.pack(ready),
        start=clock.pack(start),
        end=clock.pack(end),
        metric=f32([one.metric for one in each]) if metric else b"",
    )


def metrics_of(block: BlockState) -> list[str]:
    """Names of the metrics that cells have reported, as the first ones tell."""
    names: set[str] = set()
    for cell, _ in zip(block.cells.values(), range(_SAMPLED), strict=False):
        for step in steps_in(cell):
            names.update(step.metrics)
    return sorted(names)[:MOST_METRICS]


def cell_of(state: RunState, key: str, block: str) -> int | None:
    """Return the index of the foreach's cell in which a path is, or whose key it is; None when it is in none."""
    node = state.steps.get(key) or state.blocks.get(key)
    scope = state.scopes.get(key) if node is None else node.scope
    while scope is not None and scope.parent is not None:
        if scope.parent.path == block:
            return scope.index
        scope = scope.parent.scope
    return None


def node_in(scope: ScopeState, path: str) -> StepState | BlockState | None:
    """Return the node at a path within a cell; of repeats in between, the newest iteration counts."""
    name, _, rest = path.partition("/")
    node = scope.nodes.get(name)
    if not rest or node is None:
        return node
    if isinstance(node, StepState) or node.kind == "for_each" or not node.cells:
        return None
    return node_in(node.cells[max(node.cells)], rest)


def steps_in(scope: ScopeState) -> Iterator[StepState]:
    """All steps in a cell, also those of cells in it."""
    for node in scope.nodes.values():
        if isinstance(node, StepState):
            yield node
        else:
            for cell in node.cells.values():
                yield from steps_in(cell)


def _whole(cell: ScopeState, metric: str) -> CellLook:
    attempt = ready = start = end = 0
    value = _NONE
    for step in steps_in(cell):
        attempt = max(attempt, step.attempt)
        if step.ready_us and (not ready or step.ready_us < ready):
            ready = step.ready_us
        if step.start_us and (not start or step.start_us < start):
            start = step.start_us
        end = max(end, step.end_us)
        if metric in step.metrics:
            value = step.metrics[metric]
    return CellLook(
        index=cell.index,
        cell=cell,
        status=cell.status,
        attempt=attempt,
        ready_us=ready,
        start_us=start,
        end_us=end if cell.status in t.TERMINAL else 0,
        metric=value,
        error=cell.error if cell.status != t.RUNNING else None,
    )


def _of_node(cell: ScopeState, node: StepState | BlockState, metric: str) -> CellLook:
    if isinstance(node, BlockState):
        return CellLook(
            index=cell.index,
            cell=cell,
            node_path=node.path,
            status=node.status,
            ready_us=node.start_us,
            start_us=node.start_us,
            end_us=node.end_us,
            error=node.error,
        )
    return CellLook(
        index=cell.index,
        cell=cell,
        node_path=node.path,
        status=node.status,
        attempt=node.attempt,
        ready_us=node.ready_us,
        start_us=node.start_us,
        end_us=node.end_us,
        metric=node.metrics.get(metric, _NONE),
        error=node.error,
    )
