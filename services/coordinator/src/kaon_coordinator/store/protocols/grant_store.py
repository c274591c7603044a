"""Which tenant has which artifacts."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Mapping
from typing import Protocol


class GrantStore(Protocol):
    """Which tenant has which artifacts. What a step gives is granted to its run's tenant by the commit that ends the step."""

    @abstractmethod
    def grant(self, tenant: str, sizes: Mapping[str, int]) -> None:
        """Grant artifacts to a tenant; granted ones stay so.

        Args:
            tenant: Who has them.
            sizes: Their bytes, by the hex digits of their digests; 0 where they are not known.
        """

    @abstractmethod
    def grant_named(self) -> None:
        """Grant what the rows of each tenant name: after an upgrade, in which services of an earlier version gave no grants."""

    @abstractmethod
    def forget_artifact(self, digest: str) -> None:
        """Take an artifact from all tenants: it was deleted, and whoever stores it again has it anew."""

    @abstractmethod
    def missing_grants(self, tenant: str, digests: Collection[str]) -> set[str]:
        """Return those of the digests that a tenant is not granted, whether or not there is such an artifact."""
