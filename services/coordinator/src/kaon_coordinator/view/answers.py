"""The answer to GetRunView."""

from __future__ import annotations

from kaon_coordinator.api import aside as asides
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.store.records import RunRecord
from kaon_coordinator.view import cell_rows, run_view
from kaon_coordinator.view.cells import Look, block_at, look_at, metrics_of, packed
from kaon_coordinator.view.parts import ViewParts
from kaon_coordinator.view.states import seq_of
from kaonapi.view.v1 import cells_pb2, run_view_pb2

_ALL_CELLS = 1_000_000


def run_view_answer(
    parts: ViewParts, run: RunRecord, request: run_view_pb2.GetRunViewRequest
) -> run_view_pb2.GetRunViewResponse:
    """Return a run at a moment. Blocks.

    Raises:
        NotFound: it had no such cell.
        InvalidValue: it has no such event.
    """
    seq = seq_of(parts.reads, run, request.moment)
    wish = run_view.Wish(scope=request.scope, iterations=request.iterations or run_view.ITERATIONS)
    if (
        seq in {0, run.row.seq}
        and not wish.scope
        and not request.hash
        and parts.states.is_slow(run)
    ):
        view = outlined(parts, run, wish)
    else:
        with parts.states.at(run, seq) as live:
            view = run_view.show(run, live, wish, hashed=request.hash)
    at = view.run.last_seq
    if at:
        view.time_us = parts.reads.events_at(run.run_id, [at])[at].time_us
    if seq == 0:
        _add_present(parts, run, view)
    return run_view_pb2.GetRunViewResponse(view=view, newest_seq=max(run.row.seq, at))


def cells_answer(
    parts: ViewParts, run: RunRecord, request: cells_pb2.GetCellsRequest
) -> cells_pb2.GetCellsResponse:
    """Return the cells of a foreach at a moment. Blocks.

    Raises:
        NotFound: It had no such foreach.
        InvalidValue: It has no such event.
    """
    look = Look(block=request.block, node=request.node, metric=request.metric)
    seq, count = seq_of(parts.reads, run, request.moment), request.count or _ALL_CELLS
    answer = cells_pb2.GetCellsResponse(first=request.first)
    rows_do = parts.states.is_slow(run) and cell_rows.can_show(look, parts.states.workflow(run))
    if seq in {0, run.row.seq} and rows_do:
        rows = parts.reads.cell_rows(run.run_id, look.block)
        found = list(cell_rows.looks(rows, look))
        answer.seq, answer.total = rows.seq, len(found)
        shown = found[request.first : request.first + count]
        answer.columns.CopyFrom(packed(shown, metric=False, consecutive=True))
        answer.metrics.extend(cell_rows.metrics_of(parts.reads, run.run_id, look.block))
        return answer
    with parts.states.at(run, seq) as live:
        block = block_at(live.state, look.block)
        answer.seq, answer.total = live.state.seq, max(block.count, len(block.cells))
        last = min(answer.total, request.first + count)
        looks = (look_at(block, index, look) for index in range(request.first, last))
        answer.columns.CopyFrom(packed(looks, metric=bool(look.metric), consecutive=True))
        answer.metrics.extend(metrics_of(block))
    return answer


def outlined(parts: ViewParts, run: RunRecord, wish: run_view.Wish) -> run_view_pb2.RunView:
    """Return a large run from its rows; while it goes on, its state is read meanwhile. Blocks."""
    view = run_view.show_rows(parts.reads.outline(run.run_id), parts.states.workflow(run), wish)
    if run.row.status not in t.TERMINAL:
        parts.threads.later(parts.states.warm, run, parts.threads.give_way)
    return view


def _add_present(parts: ViewParts, run: RunRecord, view: run_view_pb2.RunView) -> None:
    """Return what no history tells: commands that wait, and why nobody works on the run."""
    store = parts.reads.store
    view.run.commands_waiting = len(store.waiting_commands(run.partition, run.run_id))
    if run.row.status not in t.TERMINAL and (aside := asides.find(store, run.run_id)) is not None:
        view.run.error.CopyFrom(asides.error(aside))
