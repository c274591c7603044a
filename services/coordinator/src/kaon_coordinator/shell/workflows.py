"""Compiled definitions by version."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable

from kaon_coordinator.engine.definition.compiled import CompiledWorkflow, compile_workflow
from kaonapi.workflow.v1 import definition_pb2 as d

# Reads the definition of (tenant, name, version); raises NotFound.
Load = Callable[[str, str, str], Awaitable[d.WorkflowDefinition]]


class Workflows:
    """Keeps the compiled form of the definitions that were used last; runs hold on to theirs.

    Args:
        load: reads a definition from the store.
        kept: how many compiled definitions are kept.
    """

    def __init__(self, load: Load, *, kept: int = 500) -> None:
        self._load = load
        self._kept = kept
        self._compiled: OrderedDict[tuple[str, str, str], CompiledWorkflow] = OrderedDict()

    async def get(self, tenant: str, name: str, version: str) -> CompiledWorkflow:
        """The compiled definition of a version.

        Raises:
            NotFound: there is no such version.
        """
        key = (tenant, name, version)
        found = self._compiled.get(key)
        if found is None:
            found = compile_workflow(await self._load(tenant, name, version), version)
            self._compiled[key] = found
        self._compiled.move_to_end(key)
        while len(self._compiled) > self._kept:
            self._compiled.popitem(last=False)
        return found
