"""Who owns the pools."""

from __future__ import annotations

from abc import abstractmethod
from typing import Protocol


class PoolStore(Protocol):
    """Who owns the pools."""

    @abstractmethod
    def claim_pool(self, pool: str, owner: str) -> int:
        """Raise the pool's epoch and return it, higher than any before."""

    @abstractmethod
    def pool_owner(self, pool: str) -> str:
        """Return the last owner of the pool as passed to `claim_pool`; empty when there was none."""
