"""Repeats: the iterations of a body until a condition holds, or as long as one does."""

from __future__ import annotations

from kaon_coordinator.engine.actions import Continue, Timer, WatchTime
from kaon_coordinator.engine.backoff import backoff_ms, later_us
from kaon_coordinator.engine.decision import BlockKind, Decision, user_error
from kaon_coordinator.engine.messages import Due
from kaon_coordinator.engine.scopes.readiness import ending
from kaon_coordinator.engine.scopes.scopes import (
    advance_cell,
    end_block,
    end_with_cell,
    start_cell,
    stop_cells,
)
from kaon_coordinator.engine.scopes.timing import watch_node
from kaon_coordinator.engine.scopes.upstream import SKIPPED
from kaon_coordinator.engine.state import paths
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.engine.state.bindings import condition
from kaon_coordinator.engine.state.state import BlockState, ScopeState
from kaon_wire.errors import KaonError
from kaonapi.run.v1 import history_pb2
from kaonapi.workflow.v1 import definition_pb2 as d


def _start(decision: Decision, block: BlockState) -> None:
    """Start the first iteration, unless its condition already ends the repeat."""
    decision.emit(block_started=history_pb2.BlockStarted(path=block.path))
    watch_node(decision, block)
    _begin(decision, block)


def _begin(decision: Decision, block: BlockState) -> None:
    if block.block.repeat.HasField("as_long_as") and _is_over(decision, block, 0):
        end_block(decision, block, t.SUCCEEDED)
    else:
        _start_iteration(decision, block, 1)


def _is_over(decision: Decision, block: BlockState, passed: int) -> bool:
    """Tell whether the condition ends the repeat after so many iterations.

    Raises:
        KaonError: The condition cannot be evaluated.
    """
    repeat, state, evaluate = block.block.repeat, decision.state, decision.context.evaluate
    if not repeat.HasField("as_long_as"):
        return condition(state, block.cells[passed], repeat.until, evaluate)
    # The condition is evaluated as if in the next iteration, which is not there yet.
    path = paths.iteration_cell(block.path, passed + 1)
    following = ScopeState(
        path=path,
        key=path,
        position=0,
        graph=block.scope.graph.inner[block.block.name]["body"],
        parent=block,
        index=passed + 1,
    )
    return not condition(state, following, repeat.as_long_as, evaluate)


def _start_iteration(decision: Decision, block: BlockState, number: int) -> None:
    start_cell(decision, block, paths.iteration_cell(block.path, number), number)


def _iteration_ended(decision: Decision, block: BlockState, cell: ScopeState) -> None:
    """Handle the end of an iteration: after a success, the condition decides whether another one follows."""
    if cell.status != t.SUCCEEDED:
        end_with_cell(decision, block, cell)
        return
    if decision.defers(block.path):
        return
    repeat = block.block.repeat
    try:
        done = _is_over(decision, block, cell.index)
    except KaonError as error:
        end_block(decision, block, t.FAILED, user_error("BindingError", f"{block.path}: {error}"))
        return
    if done:
        end_block(decision, block, t.SUCCEEDED)
    elif ending(decision, block.scope):
        end_block(decision, block, t.CANCELLED)
    elif cell.index < repeat.max_iterations:
        _schedule_iteration(decision, block, cell.index + 1)
    elif repeat.exhausted == d.EXHAUSTED_ACCEPT:
        end_block(decision, block, t.SUCCEEDED)
    elif repeat.exhausted == d.EXHAUSTED_SKIP:
        text = f"{_held(repeat)} after {cell.index} iterations (max_iterations)"
        end_block(decision, block, t.SKIPPED, user_error(SKIPPED, text))
    else:
        text = f"{block.path}: {_held(repeat)} after {cell.index} iterations (max_iterations)"
        end_block(decision, block, t.FAILED, user_error("RepeatExhausted", text))


def _held(repeat: d.Repeat) -> str:
    still = repeat.HasField("as_long_as")
    return "the condition still held" if still else "the condition did not hold"


def _schedule_iteration(decision: Decision, block: BlockState, number: int) -> None:
    repeat = block.block.repeat
    if repeat.backoff_ms:
        factor = repeat.backoff_factor or 1.0
        delay_ms = backoff_ms(repeat.backoff_ms, factor, number - 2, repeat.max_backoff_ms)
        due_us = later_us(decision.context.now_us, int(delay_ms * 1000))
        decision.emit(
            pass_scheduled=history_pb2.PassScheduled(block=block.path, number=number, due_us=due_us)
        )
        decision.act(WatchTime(timer=Timer.ITERATION, path=block.path, due_us=due_us))
    elif not decision.state.halted:
        _start_iteration(decision, block, number)


def _enter(decision: Decision, block: BlockState) -> None:
    """Begin the next iteration, unless it must wait or its surroundings end. Idempotent."""
    if ending(decision, block.scope):
        end_block(decision, block, t.CANCELLED)
    elif not block.cells and not block.due_us:
        _begin(decision, block)
    elif decision.context.now_us >= block.due_us:
        _start_iteration(decision, block, len(block.cells) + 1)
    else:
        decision.act(WatchTime(timer=Timer.ITERATION, path=block.path, due_us=block.due_us))


def due(decision: Decision, message: Due) -> None:
    """Begin the next iteration when the wait before it is over."""
    block = decision.state.blocks.get(message.path)
    if block is None or block.due_us != message.due_us:
        return
    waits = (
        block.kind == "repeat" and block.status == t.RUNNING and block.active == 0 and block.due_us
    )
    if waits and not decision.state.halted and not ending(decision, block.scope):
        _enter(decision, block)


def _advance(decision: Decision, block: BlockState) -> None:
    advance_cell(decision, block, _enter)


def _derive(decision: Decision, block: BlockState) -> None:
    if block.due_us:
        decision.act(WatchTime(timer=Timer.ITERATION, path=block.path, due_us=block.due_us))
    elif block.cells and block.active == 0:
        # The turn in which the last iteration ended did not evaluate the condition.
        decision.act(Continue(path=block.path))


KIND = BlockKind(
    start=_start, stop=stop_cells, cell_ended=_iteration_ended, advance=_advance, derive=_derive
)
