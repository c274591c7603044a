"""Which tenant has which artifacts."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection
from typing import Protocol


class GrantStore(Protocol):
    """Which tenant has which artifacts. What a step gives is granted to its run's tenant by the commit that ends the step."""

    @abstractmethod
    def grant(self, tenant: str, digests: Collection[str]) -> None:
        """Grant artifacts to a tenant, by the hex digits of their digests; granted ones stay so."""

    @abstractmethod
    def grant_named(self) -> None:
        """Grant what the rows of each tenant name: after an upgrade, in which services of an earlier version gave no grants."""

    @abstractmethod
    def missing_grants(self, tenant: str, digests: Collection[str]) -> set[str]:
        """Return those of the digests that a tenant is not granted, whether or not there is such an artifact."""
