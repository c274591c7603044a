"""A run at a moment: everything outside of foreach cells, and what is in them counted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from kaon_coordinator import replay
from kaon_coordinator.api import views
from kaon_coordinator.engine.definition.compiled import CompiledWorkflow
from kaon_coordinator.engine.rows import codec
from kaon_coordinator.engine.rows.row_views import block_view, step_view
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.engine.state.paths import at_or_under
from kaon_coordinator.engine.state.state import BlockState, RunState, ScopeState, StepState
from kaon_coordinator.store.records import LoadedRun, RunRecord
from kaon_coordinator.store.view_reads import Outline
from kaon_coordinator.view.folding import Folded, fold_rows, folded, under
from kaon_coordinator.view.live_run import LiveRun
from kaon_wire import canonical
from kaon_wire.errors import NotFound
from kaonapi.run.v1 import run_pb2
from kaonapi.view.v1 import run_view_pb2

ITERATIONS = 20
_LONGEST_OUTPUT = 4_096


@dataclass(frozen=True, kw_only=True)
class Wish:
    """Which part of a run is wanted."""

    # Key of a cell; empty for the whole run.
    scope: str = ""
    # Newest iterations of each repeat that are shown with what is in them.
    iterations: int = ITERATIONS


@dataclass(kw_only=True)
class _Outside:
    """What is outside of foreach cells."""

    steps: list[StepState] = field(default_factory=list)
    blocks: list[BlockState] = field(default_factory=list)
    iterations: list[ScopeState] = field(default_factory=list)


def show(
    run: RunRecord, live: LiveRun, wish: Wish, *, hashed: bool = False
) -> run_view_pb2.RunView:
    """Return the run as the state has it.

    Raises:
        NotFound: there is no such cell.
    """
    state = live.state
    scope = scope_at(state, wish.scope)
    found = _outside(scope, wish.iterations)
    counts = live.folded if scope is state.root else _counts_of(scope)
    return run_view_pb2.RunView(
        run=shown_run(run, state),
        steps=[shown_step(step) for step in sorted(found.steps, key=_position)],
        blocks=[_shown_block(block, counts) for block in sorted(found.blocks, key=_position)],
        folded=counts.shown(),
        iterations=[_shown_iteration(cell) for cell in found.iterations],
        state_hash=codec.digest(state) if hashed else "",
    )


def show_rows(outline: Outline, workflow: CompiledWorkflow, wish: Wish) -> run_view_pb2.RunView:
    """Return a run as its rows have it, without restoring what is in foreach cells."""
    state = replay.stored(
        LoadedRun(**vars(outline.run), steps=outline.steps, blocks=outline.blocks), workflow
    )
    found = _outside(state.root, wish.iterations)
    counts = fold_rows(outline.counted_steps, outline.counted_blocks)
    return run_view_pb2.RunView(
        run=views.run(outline.run),
        steps=[shown_step(step) for step in sorted(found.steps, key=_position)],
        blocks=[_shown_block(block, counts) for block in sorted(found.blocks, key=_position)],
        folded=counts.shown(),
        iterations=[_shown_iteration(cell) for cell in found.iterations],
    )


def changes(run: RunRecord, live: LiveRun, wish: Wish, seq: int) -> run_view_pb2.RunView | None:
    """Return what stands otherwise since an event; None when that is not known any more, or the part is gone."""
    changed = live.since(seq)
    state = live.state
    scope = state.scopes.get(wish.scope)
    if changed is None or scope is None:
        return None
    found = _outside(scope, wish.iterations)
    paths = changed.steps | changed.blocks
    if scope is state.root and changed.places is not None:
        counts, places, outside = live.folded, changed.places, changed.outside
    else:
        counts = live.folded if scope is state.root else _counts_of(scope)
        inside = [path for path in paths | changed.dropped if at_or_under(path, scope.key)]
        places = frozenset(place for path in inside if (place := counts.place(path)) is not None)
        outside = frozenset(path for path in paths if folded(path, len(scope.key)) is None)
    # The state of an iteration or of a case shows in its block, that of cells in their foreach.
    blocks = {foreach for foreach, _ in places} | {_block_of(state, key) for key in outside}
    return run_view_pb2.RunView(
        run=shown_run(run, state),
        steps=[shown_step(step) for step in found.steps if step.path in changed.steps],
        blocks=[_shown_block(block, counts) for block in found.blocks if block.path in blocks],
        folded=counts.shown(places),
        iterations=[
            _shown_iteration(cell) for cell in found.iterations if _is_touched(cell, paths)
        ],
        removed=[path for path in sorted(changed.dropped) if is_outside(path, scope.key)],
    )


def scope_at(state: RunState, key: str) -> ScopeState:
    """Return the scope of a key; of the empty one the whole run.

    Raises:
        NotFound: there is none.
    """
    scope = state.scopes.get(key)
    if scope is None:
        raise NotFound(f"run {state.run_id} had no cell {key!r} at that moment")
    return scope


def is_outside(path: str, scope: str) -> bool:
    """Whether the path is that of a step or block in a scope and outside of foreach cells."""
    return at_or_under(path, scope) and not path.endswith("/") and folded(path, len(scope)) is None


def shown_run(run: RunRecord, state: RunState) -> run_pb2.Run:
    """Return the run itself as the state has it."""
    if state.seq == 0:
        return views.run(run)
    return views.run(replace(run, row=codec.run_row(state), params=dict(state.params)))


def shown_step(step: StepState) -> run_pb2.StepView:
    """Return a step, without outputs that are long."""
    view = step_view(codec.step_row(step))
    _leave_out(view.outputs_json)
    return view


def add_progress(view: run_view_pb2.RunView, progress: Mapping[str, run_pb2.StepView]) -> None:
    """Add to steps how far they have come."""
    for step in view.steps:
        note_progress(step, progress)


def note_progress(step: run_pb2.StepView, progress: Mapping[str, run_pb2.StepView]) -> None:
    """Add to a step how far it has come, if that is told of its present lease."""
    told = progress.get(step.path)
    if told is not None and told.generation == step.generation and step.status in t.AT_WORK:
        step.progress, step.progress_message = told.progress, told.progress_message


def _leave_out(outputs: Any) -> None:
    for name in [name for name, text in outputs.items() if len(text) > _LONGEST_OUTPUT]:
        del outputs[name]


def _shown_block(block: BlockState, counts: Folded) -> run_pb2.BlockView:
    cells = counts.cells(block.path) if block.kind == "for_each" else _cell_statuses(block)
    view = block_view(codec.block_row(block), cells or {})
    _leave_out(view.outputs_json)
    return view


def _cell_statuses(block: BlockState) -> dict[int, int]:
    found: dict[int, int] = {}
    for cell in block.cells.values():
        found[cell.status] = found.get(cell.status, 0) + 1
    return found


def _position(node: StepState | BlockState) -> int:
    return node.position


def _outside(scope: ScopeState, iterations: int) -> _Outside:
    found = _Outside()
    waiting = [scope]
    while waiting:
        for node in waiting.pop().nodes.values():
            if isinstance(node, StepState):
                found.steps.append(node)
                continue
            found.blocks.append(node)
            if node.kind == "for_each":
                continue
            cells = sorted(node.cells.values(), key=lambda cell: cell.index)
            if node.kind == "repeat":
                found.iterations += cells
                cells = cells[-iterations:]
            waiting += cells
    return found


def _counts_of(scope: ScopeState) -> Folded:
    counts = Folded(len(scope.key))
    for key, instance in under(scope):
        counts.put(key, instance)
    return counts


def _block_of(state: RunState, key: str) -> str:
    scope = state.scopes.get(key)
    if key in state.blocks or scope is None or scope.parent is None:
        return key
    return scope.parent.path


def _is_touched(cell: ScopeState, paths: frozenset[str]) -> bool:
    return cell.key in paths or any(node.path in paths for node in _nodes(cell))


def _nodes(scope: ScopeState) -> Iterator[StepState | BlockState]:
    """Return steps and blocks of a scope outside of foreach cells."""
    found = _outside(scope, 1)
    yield from found.steps
    yield from found.blocks


def _shown_iteration(cell: ScopeState) -> run_view_pb2.Iteration:
    assert cell.parent is not None
    found = _outside(cell, 1)
    starts = [each.begin_us for each in found.steps if each.begin_us]
    starts += [each.start_us for each in found.blocks if each.start_us]
    ends = [step.end_us for step in found.steps] + [block.end_us for block in found.blocks]
    shown = run_view_pb2.Iteration(
        block=cell.parent.path,
        number=cell.index,
        status=cell.status,
        start_us=min(starts, default=0),
        end_us=max(ends, default=0) if cell.status in t.TERMINAL else 0,
    )
    for step in found.steps:
        name = step.path[len(cell.path) + 1 :]
        shown.metrics.update({f"{name}/{metric}": value for metric, value in step.metrics.items()})
        shown.outputs.update({f"{name}/{output}": value for output, value in _numbers(step)})
    return shown


def _numbers(step: StepState) -> Iterator[tuple[str, float]]:
    for name, text in step.outputs.items():
        # Only what may be a number is read.
        if len(text) > 30 or text[:1] not in "-0123456789":
            continue
        value = canonical.loads(text)
        if isinstance(value, int | float) and not isinstance(value, bool):
            yield name, float(value)
