"""How many may hold a key of a tenant at once. A batch gives permits back."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Protocol

from kaon_coordinator.store.records import PermitRecord, PermitWish


class PermitStore(Protocol):
    """How many may hold a key of a tenant at once. A batch gives permits back."""

    @abstractmethod
    def set_permits(self, tenant: str, key: str, bound: int) -> PermitRecord:
        """Sets how many may hold a key, 0 meaning any number. Who holds it already keeps it, however many they are."""

    @abstractmethod
    def list_permits(self, tenant: str) -> list[PermitRecord]:
        """The tenant's keys that have a bound, by key."""

    @abstractmethod
    def take_permits(
        self, partition: int, epoch: int, wishes: Sequence[PermitWish], now_us: int
    ) -> list[bool]:
        """Takes the permits of each wish, all or none of them, in this order, and says for each whether it has them now.

        Taking again what is held works at once. No bound is ever exceeded by this, whatever other owners do at the same time. Who
        ranks before (by priority and by how long it waits, see `permit_rank`) is not overtaken, unless it has not asked again for
        some seconds. Runs that have ended get nothing.

        Raises:
            Fenced: the epoch is not the partition's current one; nothing was taken.
        """
