"""Foreach blocks: items, concurrency, tolerated failures and early stopping."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from kaon_coordinator.engine.actions import Continue, ReadItems
from kaon_coordinator.engine.decision import BlockKind, Decision, user_error
from kaon_coordinator.engine.kinds import sweeps
from kaon_coordinator.engine.messages import ItemsRead
from kaon_coordinator.engine.scopes.readiness import ending, may_start
from kaon_coordinator.engine.scopes.scopes import end_block, start_cell, stop_cells, stop_scope
from kaon_coordinator.engine.scopes.stopping import request_stop
from kaon_coordinator.engine.scopes.timing import watch_node
from kaon_coordinator.engine.state import paths
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.engine.state.bindings import resolve
from kaon_coordinator.engine.state.counting import counts_as_failed, tolerated, too_many_failed
from kaon_coordinator.engine.state.state import BlockState, Items, Preparation, ScopeState
from kaon_wire import canonical
from kaon_wire.errors import KaonError
from kaonapi.run.v1 import history_pb2


def _start(decision: Decision, block: BlockState) -> None:
    """Start a pending foreach, or request its items first."""
    items = _items(decision, block)
    if items is not None:
        _begin(decision, block, items)


def _items(decision: Decision, block: BlockState) -> tuple[str, ...] | None:
    """Return the items, each as canonical JSON, or None after requesting items that lie in an artifact."""
    state, spec = decision.state, block.block.for_each
    if spec.HasField("sweep"):
        return sweeps.points(state, block.scope, spec.sweep, decision.context)
    text = resolve(state, block.scope, spec.items, decision.context.evaluate)
    value = canonical.loads(text)
    if isinstance(value, dict) and value.keys() == {"artifact"}:
        state.transient.preparing[block.path] = Preparation(
            inputs={}, awaits="items", asked=state.seq
        )
        decision.act(ReadItems(path=block.path, asked=state.seq, artifact_json=text))
        return None
    if not isinstance(value, list):
        raise KaonError(f"a foreach needs a list or an artifact of JSON lines, not {text[:80]}")
    return tuple(canonical.dumps(item) for item in value)


def items_read(decision: Decision, message: ItemsRead) -> None:
    """Start the foreach with the items that the shell read from an artifact."""
    block = decision.state.blocks.get(message.path)
    preparation = decision.state.transient.preparing.get(message.path)
    if block is None or preparation is None or preparation.asked != message.asked:
        return
    del decision.state.transient.preparing[message.path]
    if block.status == t.RUNNING:
        _take_items(decision, block, message.items)
    elif may_start(decision, block):
        try:
            _begin(decision, block, message.items)
        except KaonError as error:
            end_block(
                decision, block, t.FAILED, user_error("BindingError", f"{block.path}: {error}")
            )


def _begin(decision: Decision, block: BlockState, items: tuple[str, ...]) -> None:
    limit = decision.context.limits.foreach_items
    if len(items) > limit:
        raise KaonError(f"a foreach has {len(items)} items; the limit foreach_items is {limit}")
    if problem := decision.context.limits.items_problem(items):
        raise KaonError(problem)
    decision.state.transient.items[block.path] = Items(values=items, keys=_keys(block, items))
    decision.emit(
        block_started=history_pb2.BlockStarted(
            path=block.path, count=len(items), items_digest=digest_of(items)
        )
    )
    watch_node(decision, block)
    if items:
        _start_cells(decision, block)
    else:
        end_block(decision, block, t.SUCCEEDED)


def digest_of(items: Sequence[str]) -> str:
    """Return the digest of items as JSON lines."""
    hasher = hashlib.sha256()
    for item in items:
        hasher.update(item.encode() + b"\n")
    return f"sha256:{hasher.hexdigest()}"


def _keys(block: BlockState, items: Sequence[str]) -> tuple[str, ...]:
    """Return the distinct keys of all items.

    Points of a sweep are keyed by number, because an axis may have any name.
    """
    numbers = tuple(map(str, range(len(items))))
    if block.block.for_each.HasField("sweep"):
        return numbers
    keys = paths.item_keys([canonical.loads(item) for item in items])
    # A foreach that has begun keeps its keys, whatever the bound was then.
    begun = 0 in block.cells and block.cells[0].path != paths.item_cell(block.path, "0")
    return keys if begun or paths.fits(block.path, keys) else numbers


def _start_cells(decision: Decision, block: BlockState) -> None:
    """Start as many cells as the concurrency allows and runners can soon take, within the bound of one turn.

    Where many steps wait for runners, this is called again when half of those have been taken
    (`scopes.left_the_queue`).
    """
    limits, wanted = decision.context.limits, _wanted(decision, block)
    waiting = _waiting(decision, block)
    if not wanted or waiting > limits.waiting_steps // 2:
        return
    items = decision.state.transient.items[block.path]
    if items.keys is None:
        # After a takeover the new owner has only the items.
        items.keys = _keys(block, items.values)
    place, turn = (decision.state.run_id, block.path), decision.context.cells
    before = turn.count.get(place, 0)
    now = min(wanted, limits.cells_per_turn - before, limits.waiting_steps - waiting)
    turn.count[place] = before + now
    for _ in range(now):
        index = len(block.cells)
        cell = paths.item_cell(block.path, items.keys[index])
        start_cell(decision, block, cell, index, items.values[index])
    decision.opening[block.path] = decision.opening.get(block.path, 0) + now
    # On the agenda these cells come first.
    decision.then(_opened, block, now)


def _wanted(decision: Decision, block: BlockState) -> int:
    """Return how many further cells the concurrency allows."""
    at_once = block.block.for_each.max_concurrency or block.count
    room = min(at_once, decision.context.limits.open_cells) - block.active
    return max(0, min(room, block.count - len(block.cells)))


def _waiting(decision: Decision, block: BlockState) -> int:
    """Return how many steps wait for runners, with one for each cell whose steps are about to become READY."""
    return block.waiting + decision.opening.get(block.path, 0)


def _opened(decision: Decision, block: BlockState, cells: int) -> None:
    """Let the next turn start further cells, unless runners have enough to take."""
    decision.opening[block.path] -= cells
    has_room = _waiting(decision, block) <= decision.context.limits.waiting_steps // 2
    place, deferred = (decision.state.run_id, block.path), decision.context.cells.deferred
    if has_room and place not in deferred and _wanted(decision, block):
        deferred.add(place)
        decision.act(Continue(path=block.path))


def _advance(decision: Decision, block: BlockState) -> None:
    """Start further cells, or end the foreach when all cells have ended. Idempotent."""
    if _stopping(decision, block):
        for cell in list(block.cells.values()):
            stop_scope(decision, cell)
    elif len(block.cells) < block.count:
        if block.path not in decision.state.transient.items:
            _read_again(decision, block)
        else:
            _start_cells(decision, block)
        return
    if block.active == 0:
        _end(decision, block)


def _read_again(decision: Decision, block: BlockState) -> None:
    """Request the waiting items again: after a takeover the new owner does not have them.

    They equal those of the start.
    """
    if block.path in decision.state.transient.preparing:
        return
    try:
        items = _items(decision, block)
    except KaonError as error:
        _fail(decision, block, str(error))
        return
    if items is not None:
        _take_items(decision, block, items)


def _take_items(decision: Decision, block: BlockState, items: tuple[str, ...]) -> None:
    if digest_of(items) != block.items_digest:
        _fail(decision, block, "the items are not those that the foreach began with")
        return
    decision.state.transient.items[block.path] = Items(values=items)
    if not _stopping(decision, block) and not decision.state.halted:
        _start_cells(decision, block)


def _fail(decision: Decision, block: BlockState, problem: str) -> None:
    request_stop(decision, block, t.FAILED, cause="items", reason=problem)


def _cell_ended(decision: Decision, block: BlockState, cell: ScopeState) -> None:
    """Handle the end of a cell: start the next cell, stop after too many failures, or end the foreach."""
    if counts_as_failed(cell) and block.failed == tolerated(block) + 1 and too_many_failed(block):
        for other in list(block.cells.values()):
            stop_scope(decision, other)
    if len(block.cells) < block.count and not _stopping(decision, block):
        if decision.state.halted:
            # It goes on with the run.
            return
        if block.path not in decision.state.transient.items:
            _read_again(decision, block)
        else:
            _start_cells(decision, block)
    elif block.active == 0:
        _end(decision, block)


def _stopping(decision: Decision, block: BlockState) -> bool:
    return block.stop != t.NONE or too_many_failed(block) or ending(decision, block.scope)


def _end(decision: Decision, block: BlockState) -> None:
    if block.failed > tolerated(block):
        first = next(cell for cell in block.cells.values() if counts_as_failed(cell))
        error = first.error or user_error("CellCancelled", f"{first.path} was cancelled")
        end_block(decision, block, t.FAILED, error)
    elif len(block.cells) < block.count or any(
        _was_cancelled(cell) for cell in block.cells.values()
    ):
        end_block(decision, block, t.CANCELLED)
    else:
        end_block(decision, block, t.SUCCEEDED)


def _was_cancelled(cell: ScopeState) -> bool:
    """Tell whether a cell was stopped because an enclosing scope was stopped."""
    return cell.status == t.CANCELLED and cell.stop == t.NONE


def _derive(decision: Decision, block: BlockState) -> None:
    if len(block.cells) < block.count:
        decision.act(Continue(path=block.path))


KIND = BlockKind(
    start=_start, stop=stop_cells, cell_ended=_cell_ended, advance=_advance, derive=_derive
)
