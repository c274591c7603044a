"""Who owns the pools."""

from __future__ import annotations

from abc import abstractmethod
from typing import Protocol


class PoolStore(Protocol):
    """Who owns the pools."""

    @abstractmethod
    def claim_pool(self, pool: str, owner: str) -> int:
        """Raises the pool's epoch and returns it, higher than any before."""

    @abstractmethod
    def pool_owner(self, pool: str) -> str:
        """Who claimed the pool last, as `claim_pool` was told; empty when nobody has."""
