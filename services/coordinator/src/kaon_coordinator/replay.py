"""Folds a run's history into its state after any event. Blocks: for reader threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from kaon_coordinator.engine.commands.fork import fork_state
from kaon_coordinator.engine.definition.compiled import CompiledWorkflow
from kaon_coordinator.engine.rows.codec import restore
from kaon_coordinator.engine.state.evolve import evolve
from kaon_coordinator.engine.state.state import RunState
from kaon_coordinator.store.base import LoadedRun, RunRecord, Snapshot
from kaon_coordinator.store.protocols.run_store import RunStore
from kaon_coordinator.store.protocols.snapshot_store import SnapshotStore
from kaon_wire.errors import InvalidValue
from kaonapi.run.v1 import history_pb2

_PAGE = 500

# Returns the compiled form of (tenant, workflow, version).
Compiled = Callable[[str, str, str], CompiledWorkflow]


class HistoryStore(RunStore, SnapshotStore, Protocol):
    """Where histories are read, and what is kept of them."""


def replay(store: HistoryStore, run: RunRecord, seq: int, compiled: Compiled) -> RunState:
    """Return the state after the event `seq`, folded from the newest snapshot that is not newer.

    Memory is bounded by the state: events are read page by page.

    Raises:
        InvalidValue: The run has no such event.
    """
    if not 0 <= seq <= run.row.seq:
        raise InvalidValue(
            f"seq: run {run.run_id}: there is no event {seq}; its newest is {run.row.seq}"
        )
    state = _kept(store, run, seq, compiled) or begin(store, run, compiled)
    _fold(store, state, run.run_id, seq)
    return state


def replay_whole(
    store: HistoryStore, run: RunRecord, compiled: Compiled, look: Callable[[RunState], None]
) -> RunState:
    """Return the state after the newest event, folded from the first one without snapshots; `look` receives each state."""
    state = begin(store, run, compiled)
    look(state)
    for event in _events(store, run.run_id, 0, run.row.seq):
        evolve(state, event)
        look(state)
    return state


def kept(run: RunRecord, snapshot: Snapshot, workflow: CompiledWorkflow) -> RunState:
    """Return the state in a snapshot of the run."""
    given = {
        name: value for name, value in vars(run).items() if name not in ("row", "steps", "blocks")
    }
    return stored(LoadedRun(**given, **vars(snapshot)), workflow)


def _kept(store: HistoryStore, run: RunRecord, seq: int, compiled: Compiled) -> RunState | None:
    snapshot = store.find_snapshot(run.run_id, seq)
    return (
        None
        if snapshot is None
        else kept(run, snapshot, compiled(run.tenant, run.workflow, run.version))
    )


def _fold(store: HistoryStore, state: RunState, run_id: str, last: int) -> None:
    for event in _events(store, run_id, state.seq, last):
        evolve(state, event)


def begin(store: HistoryStore, run: RunRecord, compiled: Compiled) -> RunState:
    """Return the state before a run's first event: empty, or for a fork that of the original run."""
    chain: list[RunRecord] = [run]
    state: RunState | None = None
    # Of forks of forks the oldest comes first; a loop, because such a chain may be long.
    while state is None and chain[-1].fork_run_id:
        chain.append(store.load_run(chain[-1].fork_run_id))
        state = _kept(store, chain[-1], chain[-2].fork_seq, compiled)
    state = state or empty(chain[-1], compiled)
    for forked, original in zip(reversed(chain[:-1]), reversed(chain[1:]), strict=True):
        _fold(store, state, original.run_id, forked.fork_seq)
        workflow = compiled(forked.tenant, forked.workflow, forked.version)
        state = fork_state(state, forked.run_id, workflow)
    return state


def empty(run: RunRecord, compiled: Compiled) -> RunState:
    """Return the state of a run without history."""
    return RunState(run_id=run.run_id, workflow=compiled(run.tenant, run.workflow, run.version))


def stored(run: LoadedRun, workflow: CompiledWorkflow) -> RunState:
    """Return the state of a run from its rows."""
    return restore(
        workflow=workflow,
        run=run.row,
        tenant=run.tenant,
        submitter=run.submitter,
        params=dict(run.params),
        steps=run.steps,
        blocks=run.blocks,
        parent_run_id=run.parent_run_id,
        fork_run_id=run.fork_run_id,
        fork_seq=run.fork_seq,
        origin=run.origin,
    )


def _events(
    store: HistoryStore, run_id: str, seq: int, last: int
) -> Iterator[history_pb2.HistoryEvent]:
    while seq < last:
        page = store.history(run_id, seq, min(_PAGE, last - seq))
        if not page:
            raise InvalidValue(f"run {run_id}: its history ends before event {last}")
        yield from page
        seq = page[-1].seq
