"""The answer to GetRunView."""

from __future__ import annotations

from kaon_coordinator.api import aside as asides
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.store.records import RunRecord
from kaon_coordinator.view import run_view
from kaon_coordinator.view.parts import ViewParts
from kaon_coordinator.view.states import seq_of
from kaonapi.view.v1 import run_view_pb2


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
    with parts.states.at(run, seq) as live:
        view = run_view.show(run, live, wish, hashed=request.hash)
        at = live.state.seq
    if at:
        view.time_us = parts.reads.events_at(run.run_id, [at])[at].time_us
    if seq == 0:
        _add_present(parts, run, view)
    return run_view_pb2.GetRunViewResponse(view=view, newest_seq=max(run.row.seq, at))


def _add_present(parts: ViewParts, run: RunRecord, view: run_view_pb2.RunView) -> None:
    """Return what no history tells: commands that wait, and why nobody works on the run."""
    store = parts.reads.store
    view.run.commands_waiting = len(store.waiting_commands(run.partition, run.run_id))
    if run.row.status not in t.TERMINAL and (aside := asides.find(store, run.run_id)) is not None:
        view.run.error.CopyFrom(asides.error(aside))
