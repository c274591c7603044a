"""Bounds of what a tenant submits: its highest priority, and its quotas."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from kaon_coordinator.matching.amounts import NOTHING, Amount, in_words, wanted, within_quota
from kaon_coordinator.matching.tenants import Tenants
from kaon_coordinator.problems import Denied, InvalidRequest, Problem
from kaon_coordinator.store.protocols.access_store import AccessStore
from kaon_coordinator.store.protocols.workflow_store import WorkflowStore
from kaon_coordinator.store.records import WorkflowRecord
from kaon_coordinator.store.store_calls import StoreCalls
from kaon_service.principal import Principal
from kaon_service.roles import Role
from kaon_wire.definitions.graphs import all_blocks
from kaon_wire.errors import NotFound
from kaonapi.workflow.v1 import definition_pb2 as d

_DEFAULT_POOL = "default"
# Remembered versions of workflows, which never change.
_KEPT = 1_000


class BoundsStore(AccessStore, WorkflowStore, Protocol):
    """What the bounds need of the store."""


@dataclass(frozen=True, kw_only=True)
class _Needs:
    """What the steps of one version ask for."""

    # The highest priority of a step, and its name.
    priority: int
    urgent: str
    # Different needs, each with a step that has it.
    amounts: tuple[tuple[str, str, Amount], ...]
    # Workflows that it calls: name and version.
    calls: tuple[tuple[str, str], ...]


class TenantBounds:
    """Checks what is submitted.

    Args:
        store: Where tenants and workflows are kept.
        entitlements: The quotas of tenants.
    """

    def __init__(self, store: StoreCalls[BoundsStore], entitlements: Tenants) -> None:
        self._threads = store
        self._entitlements = entitlements
        self._needs: dict[tuple[str, str, str], _Needs] = {}

    async def check(self, workflow: WorkflowRecord, priority: int, caller: Principal) -> None:
        """Check that runs of a workflow with a priority stay within the bounds of its tenant.

        Raises:
            Denied: A step would have a higher priority than the tenant may use.
            InvalidRequest: A step can never fit into the tenant's quota.
        """
        needs = await self._needs_below(workflow)
        self._check_quota(workflow, needs)
        urgent = max(needs, key=lambda each: each.priority)
        together = priority + max(urgent.priority, 0)
        most = await self._most(workflow.tenant, caller) if together > 0 else None
        if most is not None and together > most:
            also = (
                f", with {urgent.priority} of step {urgent.urgent}" if urgent.priority > 0 else ""
            )
            raise Denied(
                f"priority {priority}{also}: the highest of tenant {workflow.tenant} is {most}, which role "
                f"{Role.PLATFORM_ADMIN} sets (kaon tenants)"
            )

    async def lowered(self, workflow: WorkflowRecord, priority: int, caller: Principal) -> int:
        """Return a priority, or the highest one below it that a run of the workflow may have."""
        most = await self._most(workflow.tenant, caller) if priority > 0 else None
        if most is None:
            return priority
        needs = await self._needs_below(workflow)
        return max(0, min(priority, most - max(0, *(each.priority for each in needs))))

    def _check_quota(self, workflow: WorkflowRecord, needs: list[_Needs]) -> None:
        for name, pool, need in (amount for each in needs for amount in each.amounts):
            quota = self._entitlements.of(workflow.tenant, pool).quota
            if quota != NOTHING and not within_quota(need, NOTHING, quota):
                text = (
                    f"step {name} needs {in_words(need)}, and the quota of tenant {workflow.tenant} in pool {pool!r} is "
                    f"{in_words(quota)}: it could never run"
                )
                raise InvalidRequest(
                    f"workflow {workflow.name!r}", [Problem(field="workflow", text=text)]
                )

    async def _most(self, tenant: str, caller: Principal) -> int | None:
        """Return the highest priority that a caller may use; None: any."""
        if caller.holds(Role.PLATFORM_ADMIN):
            return None
        record = await self._threads.read(self._threads.store.find_tenant, tenant)
        return 0 if record is None else record.highest_priority

    async def _needs_below(self, workflow: WorkflowRecord) -> list[_Needs]:
        """Return the needs of a workflow and of all that it calls."""
        known = self._needs.get(_key(workflow))
        if known is not None and not known.calls:
            # Nothing is read: no submission waits for a thread.
            return [known]
        return await self._threads.read(self._all_needs, workflow)

    def _all_needs(self, workflow: WorkflowRecord) -> list[_Needs]:
        """Return the needs of a workflow and of all that it calls. Blocks."""
        found: dict[tuple[str, str], _Needs] = {}
        waiting = [workflow]
        while waiting:
            record = waiting.pop()
            if (record.name, record.version) not in found:
                found[record.name, record.version] = needs = self._needs_of(record)
                waiting += self._called(workflow.tenant, needs)
        return list(found.values())

    def _called(self, tenant: str, needs: _Needs) -> Iterator[WorkflowRecord]:
        for name, version in needs.calls:
            try:
                yield self._threads.store.get_workflow(tenant, name, version)
            except NotFound:
                # The run will say so, when it comes there.
                continue

    def _needs_of(self, record: WorkflowRecord) -> _Needs:
        key = _key(record)
        known = self._needs.get(key)
        if known is None:
            if len(self._needs) >= _KEPT:
                self._needs.clear()
            known = self._needs[key] = _needs(record.definition)
        return known


def _key(record: WorkflowRecord) -> tuple[str, str, str]:
    return record.tenant, record.name, record.version


def _needs(definition: d.WorkflowDefinition) -> _Needs:
    blocks = list(all_blocks(definition.body))
    steps = [block for block in blocks if block.HasField("step")]
    calls = [block.sub_workflow for block in blocks if block.HasField("sub_workflow")]
    urgent = max(steps, key=lambda each: each.step.priority, default=d.Block())
    amounts = {
        (block.step.pool or _DEFAULT_POOL, wanted(block.step.resources)): block.name
        for block in steps
        # Of others the run knows the pool, and they are checked there (`RunBounds`).
        if "step.pool" not in block.bound
    }
    return _Needs(
        priority=urgent.step.priority,
        urgent=urgent.name,
        amounts=tuple((name, pool, need) for (pool, need), name in amounts.items()),
        calls=tuple((call.workflow, call.version) for call in calls),
    )
