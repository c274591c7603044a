"""Dominant resource fairness (Ghodsi et al., NSDI 2011): whoever holds the smallest share of what it uses most goes first."""

from __future__ import annotations

from kaon_coordinator.matching.amounts import NOTHING, Amount, minus, plus


class Shares:
    """What each tenant's steps occupy, against what the pool has."""

    def __init__(self) -> None:
        self.total: Amount = NOTHING
        self._held: dict[str, Amount] = {}

    def take(self, tenant: str, need: Amount) -> None:
        """The tenant occupies `need` more."""
        self._held[tenant] = plus(self._held.get(tenant, NOTHING), need)

    def give_back(self, tenant: str, need: Amount) -> None:
        """The tenant occupies `need` less."""
        left = minus(self._held[tenant], need)
        if left == NOTHING:
            del self._held[tenant]
        else:
            self._held[tenant] = left

    def of(self, tenant: str) -> float:
        """The largest fraction that the tenant holds of any resource. Over 1 when steps are queued at runners."""
        held = self._held.get(tenant)
        if held is None:
            return 0.0
        return max(part / whole if whole else 0.0 for part, whole in zip(held, self.total, strict=True))
