"""Compiled definitions by version."""

from __future__ import annotations

from collections import OrderedDict

from kaon_coordinator.engine.definition.compiled import CompiledWorkflow, compile_workflow
from kaon_coordinator.store.base import LoadedRun, WorkflowRecord
from kaon_coordinator.store.protocols.workflow_store import WorkflowStore
from kaon_coordinator.store.store_calls import StoreCalls

# A definition with more bytes takes more than a few milliseconds.
_LARGE_BYTES = 16_384


class Workflows:
    """Caches the compiled definitions that were used last; runs hold references to theirs.

    Args:
        store: The store of definitions.
        kept: The number of cached definitions.
    """

    def __init__(self, store: StoreCalls[WorkflowStore], *, kept: int = 500) -> None:
        self._store = store
        self._kept = kept
        self._compiled: OrderedDict[tuple[str, str, str], CompiledWorkflow] = OrderedDict()

    async def of(self, run: LoadedRun) -> CompiledWorkflow:
        """Return the compiled definition of a run.

        Raises:
            NotFound: The version does not exist.
        """
        key = (run.tenant, run.workflow, run.version)
        found = self._compiled.get(key)
        if found is None:
            record = await self._store.run(self._store.store.get_workflow, *key)
            found = await self._compile(record)
            self._compiled[key] = found
        self._compiled.move_to_end(key)
        while len(self._compiled) > self._kept:
            self._compiled.popitem(last=False)
        return found

    async def _compile(self, record: WorkflowRecord) -> CompiledWorkflow:
        """Index a definition; a large one beside the loop, where the turns and calls of others go on."""
        if record.definition.ByteSize() > _LARGE_BYTES:
            return await self._store.study(compile_workflow, record.definition, record.version)
        return compile_workflow(record.definition, record.version)
