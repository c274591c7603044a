"""Bounds of tenants for what their runs know only while they run: policies of steps, and workflows that they call."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from kaon_coordinator.access.bounds import BoundsStore, TenantBounds
from kaon_coordinator.faults import going_on
from kaon_coordinator.matching.amounts import NOTHING, in_words, wanted, within_quota
from kaon_coordinator.matching.labels import parse_label_expression
from kaon_coordinator.matching.tenants import Tenants
from kaon_coordinator.problems import Denied
from kaon_coordinator.store.records import WorkflowRecord
from kaon_coordinator.store.store_calls import StoreCalls
from kaon_service.principal import Principal
from kaon_wire.errors import InvalidValue
from kaonapi.workflow.v1 import definition_pb2 as d

# A change of a tenant's highest priority counts for runs that have begun after so many seconds.
REFRESH_SECONDS = 5.0
_PAGE = 500


class RunBounds:
    """Tells whether a run may have what it has not named at its submission, from what is in memory.

    Who submitted a run does not count: with authentication, priorities are bounded as for callers without a role.

    Args:
        store: Where tenants and workflows are kept.
        entitlements: The quotas of tenants.
        authenticated: Callers are authenticated; without that, any of them may use any priority.
    """

    def __init__(
        self, store: StoreCalls[BoundsStore], entitlements: Tenants, *, authenticated: bool
    ) -> None:
        self._threads = store
        self._entitlements = entitlements
        self._bounds = TenantBounds(store, entitlements)
        self._authenticated = authenticated
        self._highest: Mapping[str, int] = {}

    async def run(self) -> None:
        """Read the highest priorities of tenants again and again."""
        while self._authenticated:
            await asyncio.sleep(REFRESH_SECONDS)
            with going_on("the highest priorities of tenants were read"):
                await self.refresh()
        await asyncio.Event().wait()

    async def refresh(self) -> None:
        """Read the highest priorities of tenants."""
        if self._authenticated:
            self._highest = await self._threads.read(self._read)

    def _read(self) -> dict[str, int]:
        found: dict[str, int] = {}
        page = self._threads.store.list_tenants("", _PAGE)
        while page:
            found |= {tenant.name: tenant.highest_priority for tenant in page}
            page = self._threads.store.list_tenants(page[-1].name, _PAGE)
        return found

    def refusal(self, tenant: str, priority: int, step: d.Step) -> str:
        """Return why a step of a run of this priority may not have these policies; empty when it may."""
        for label in step.labels:
            try:
                parse_label_expression(label)
            except InvalidValue as error:
                return f"labels: {error}"
        pool, need = step.pool or "default", wanted(step.resources)
        quota = self._entitlements.of(tenant, pool).quota
        if quota != NOTHING and not within_quota(need, NOTHING, quota):
            return (
                f"it needs {in_words(need)}, and the quota of tenant {tenant} in pool {pool!r} is "
                f"{in_words(quota)}: it could never run"
            )
        most = self._highest.get(tenant, 0)
        if self._authenticated and step.priority > 0 and priority + step.priority > most:
            also = f", with {priority} of its run" if priority else ""
            return f"priority is {step.priority}{also}: the highest of tenant {tenant} is {most}"
        return ""

    async def may_call(self, workflow: WorkflowRecord, priority: int) -> str:
        """Return why a run of this priority may not call a workflow whose name it knows only now; empty when it may."""
        authentication = "run" if self._authenticated else "off"
        caller = Principal(tenant=workflow.tenant, authentication=authentication)
        try:
            await self._bounds.check(workflow, priority, caller)
        except (Denied, InvalidValue) as error:
            return str(error)
        return ""
