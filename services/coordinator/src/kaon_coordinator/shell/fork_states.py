"""Initial states of forks: the state of another run, folded from its history beside the turns."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

import structlog

from kaon_coordinator import replay
from kaon_coordinator.engine.definition.compiled import CompiledWorkflow, compile_workflow
from kaon_coordinator.engine.state.state import RunState
from kaon_coordinator.store.base import LoadedRun
from kaon_coordinator.store.protocols.workflow_store import WorkflowStore
from kaon_coordinator.store.store_calls import StoreCalls
from kaon_wire.errors import Unavailable

log = structlog.get_logger(__name__)


class PastStore(replay.HistoryStore, WorkflowStore, Protocol):
    """Histories with the workflows that they are of."""


class ForkStates:
    """Folds the initial state of each fork once.

    Args:
        store: The store of histories.
        done: Called with the partition of a fork that can begin.
    """

    def __init__(self, store: StoreCalls[PastStore], done: Callable[[int], object]) -> None:
        self._store = store
        self._done = done
        # By run, with its partition.
        self._folding: dict[str, tuple[int, asyncio.Task[RunState]]] = {}

    def take(self, fork: LoadedRun) -> RunState | None:
        """Return the fork's initial state, or None while it is being folded; then `done` is called."""
        if fork.run_id not in self._folding:
            begun = asyncio.ensure_future(self._store.study(_fold, self._store.store, fork))
            begun.add_done_callback(lambda _: self._done(fork.partition))
            self._folding[fork.run_id] = fork.partition, begun
        _, task = self._folding[fork.run_id]
        if not task.done():
            return None
        del self._folding[fork.run_id]
        if isinstance(task.exception(), Unavailable):
            log.warning(
                "fork state not ready; retrying", run=fork.run_id, reason=str(task.exception())
            )
            return None
        return task.result()

    def drop(self, partition: int) -> None:
        """Forget a partition that another owner has claimed."""
        for run_id in [
            run_id for run_id, (place, _) in self._folding.items() if place == partition
        ]:
            self._folding.pop(run_id)[1].cancel()

    async def close(self) -> None:
        """Cancel pending folds."""
        tasks = [task for _, task in self._folding.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _fold(store: PastStore, fork: LoadedRun) -> RunState:
    return replay.begin(store, fork, definitions(store))


def definitions(store: PastStore) -> replay.Compiled:
    """Return the compiled definitions, read from the store on demand."""
    known: dict[tuple[str, str, str], CompiledWorkflow] = {}

    def compiled(tenant: str, workflow: str, version: str) -> CompiledWorkflow:
        key = (tenant, workflow, version)
        if key not in known:
            known[key] = compile_workflow(store.get_workflow(*key).definition, version)
        return known[key]

    return compiled
