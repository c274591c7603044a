"""Dominant resource fairness (Ghodsi et al., NSDI 2011): the tenant with the smallest dominant share goes first.

Differences from the paper's progressive filling:

- A tenant's share is divided by its weight; the paper's weights are per resource.
- Priority goes before fairness, and quotas bound it (docs/scheduling.md has the order).
- Steps that are queued at runners count as held, so that short steps, which travel in batches, are shared fairly, too.
- The share is of the whole pool, also for a tenant whose labels admit only some runners.
- A tenant whose next request fits nowhere is passed over, so that no usable resource stays idle.
- There is no preemption: a tenant that comes late waits for the first slot that becomes free.
"""

from __future__ import annotations

from collections.abc import Iterable

from kaon_coordinator.matching.amounts import NOTHING, Amount, dominant, minus, plus, within_quota
from kaon_coordinator.matching.tenants import Entitlement, Tenants


class Shares:
    """The amounts that each tenant holds, against the pool's total.

    Args:
        tenants: Their entitlements.
        pool: The pool's name.
    """

    def __init__(self, tenants: Tenants, pool: str) -> None:
        self.total: Amount = NOTHING
        self._held: dict[str, Amount] = {}
        # Share divided by weight, valid until held or total amounts change.
        self._ranks: dict[str, float] = {}
        self._tenants = tenants
        self._pool = pool
        self._entitlements: dict[str, Entitlement] = {}

    def resize(self, total: Amount) -> None:
        """Set the pool's total."""
        if total != self.total:
            self.total = total
            self._ranks.clear()

    def take(self, tenant: str, need: Amount) -> None:
        """Add `need` to the tenant's held amount."""
        self._held[tenant] = plus(self._held.get(tenant, NOTHING), need)
        self._ranks.pop(tenant, None)

    def give_back(self, tenant: str, need: Amount) -> None:
        """Subtract `need` from the tenant's held amount."""
        left = minus(self._held[tenant], need)
        self._ranks.pop(tenant, None)
        if left == NOTHING:
            del self._held[tenant]
        else:
            self._held[tenant] = left

    def holders(self) -> Iterable[str]:
        """Return the tenants that hold anything."""
        return self._held.keys()

    def held(self, tenant: str) -> Amount:
        """Return the amount that the tenant holds."""
        return self._held.get(tenant, NOTHING)

    def of(self, tenant: str) -> float:
        """Return the tenant's dominant share. It exceeds 1 when steps are queued at runners."""
        held = self._held.get(tenant)
        return dominant(held, self.total) if held is not None else 0.0

    def rank(self, tenant: str) -> float:
        """Return the share divided by the weight: the smallest goes first."""
        rank = self._ranks.get(tenant)
        if rank is None:
            rank = self._ranks[tenant] = self.of(tenant) / self.entitlement(tenant).weight
        return rank

    def rank_without(self, tenant: str, need: Amount) -> float:
        """Return the rank that the tenant would have if it held so much less."""
        held = minus(self.held(tenant), need)
        return dominant(held, self.total) / self.entitlement(tenant).weight

    def entitlement(self, tenant: str) -> Entitlement:
        """Return the tenant's entitlement in this pool."""
        found = self._entitlements.get(tenant)
        if found is None:
            found = self._entitlements[tenant] = self._tenants.of(tenant, self._pool)
        return found

    def allows(self, tenant: str, need: Amount) -> bool:
        """Tell whether the tenant's quota leaves room for `need`."""
        quota = self.entitlement(tenant).quota
        return quota is NOTHING or within_quota(need, self.held(tenant), quota)
