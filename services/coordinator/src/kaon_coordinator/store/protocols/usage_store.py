"""How much of what is stored each tenant uses."""

from __future__ import annotations

from abc import abstractmethod
from typing import Protocol


class UsageStore(Protocol):
    """How much of what is stored each tenant uses."""

    @abstractmethod
    def count_open_runs(self, tenant: str, most: int) -> int:
        """Return the number of the tenant's runs that have not ended; counting stops at `most`."""

    @abstractmethod
    def count_workflows(self, tenant: str) -> int:
        """Return the number of the tenant's workflow names."""

    @abstractmethod
    def count_versions(self, tenant: str, workflow: str) -> int:
        """Return the number of versions of a workflow."""

    @abstractmethod
    def count_schedules(self, tenant: str) -> int:
        """Return the number of the tenant's schedules."""

    @abstractmethod
    def count_bytes(self, tenant: str) -> int:
        """Return how many bytes the tenant's artifacts and code bundles have."""

    @abstractmethod
    def is_key_used(self, tenant: str, workflow: str, idempotency_key: str) -> bool:
        """Return whether a run of this idempotency key was submitted."""
