"""Snapshots the states of runs with long histories, beside the turns of their owner."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

import structlog

from kaon_coordinator.engine.rows.snapshot_policy import outweighs, rows_in
from kaon_coordinator.engine.state.state import RunState
from kaon_coordinator.faults import going_on
from kaon_coordinator.store.protocols.snapshot_store import SnapshotStore
from kaon_coordinator.store.store_calls import StoreCalls
from kaon_wire.errors import NotFound

log = structlog.get_logger(__name__)

# Interval between two looks at the active runs.
ROUND_SECONDS = 5.0


class Snapshots:
    """The snapshots of one coordinator.

    Two owners that snapshot the same state store it once: their snapshots are equal.

    Args:
        store: The database.
        open_runs: Returns the active runs in this coordinator's memory.
    """

    def __init__(
        self, store: StoreCalls[SnapshotStore], open_runs: Callable[[], Iterable[RunState]]
    ) -> None:
        self._store = store
        self._open_runs = open_runs
        # By run: the event of its newest snapshot, 0 when it has none. Only of runs with long histories.
        self._newest: dict[str, int] = {}

    async def run(self) -> None:
        """Look until cancelled; the next round retries when the database does not answer."""
        while True:
            await asyncio.sleep(ROUND_SECONDS)
            with going_on("snapshots were taken"):
                await self.once()

    async def once(self) -> int:
        """Look once; return the number of snapshots taken."""
        taken = 0
        states = {state.run_id: state for state in self._open_runs()}
        self._newest = {run_id: seq for run_id, seq in self._newest.items() if run_id in states}
        for state in states.values():
            if outweighs(state.seq - self._newest.get(state.run_id, 0), rows_in(state)):
                with going_on("a snapshot was taken", run=state.run_id):
                    taken += await self._keep(state)
        return taken

    async def _keep(self, state: RunState) -> bool:
        store = self._store.store
        if state.run_id not in self._newest:
            known = await self._store.read(store.snapshot_seqs, state.run_id)
            self._newest[state.run_id] = known[-1] if known else 0
            if not outweighs(state.seq - self._newest[state.run_id], rows_in(state)):
                return False
        try:
            snapshot = await self._store.study(store.read_snapshot, state.run_id)
        except NotFound:
            return False
        if snapshot is None:
            # It changes too often at present.
            return False
        await self._store.run(store.put_snapshot, snapshot)
        self._newest[state.run_id] = snapshot.row.seq
        log.debug("snapshot taken", run=state.run_id, seq=snapshot.row.seq)
        return True
