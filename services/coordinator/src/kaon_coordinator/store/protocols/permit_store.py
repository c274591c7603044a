"""How many may hold a key of a tenant at once. A batch gives permits back."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Sequence
from typing import Protocol

from kaon_coordinator.store.records import Held, PermitAnswer, PermitRecord, PermitWish
from kaon_coordinator.store.strategies import Standing, Turn


class PermitStore(Protocol):
    """How many may hold a key of a tenant at once. A batch gives permits back."""

    @abstractmethod
    def set_permits(self, tenant: str, key: str, bound: int) -> PermitRecord:
        """Set the bound of a key, 0 meaning no bound. Present holders keep their permits."""

    @abstractmethod
    def list_permits(
        self, tenant: str, after: str = "", limit: int | None = None
    ) -> list[PermitRecord]:
        """Return the tenant's keys that have a bound, by key: at most `limit` after one."""

    @abstractmethod
    def take_permits(
        self, partition: int, epoch: int, wishes: Sequence[PermitWish], now_us: int
    ) -> list[PermitAnswer]:
        """Take the permits of each wish, all or none of them, in this order; tell for each wish whether it holds them.

        Taking held permits again succeeds at once. No bound is ever exceeded, whatever other owners do at the
        same time. A wish does not overtake one that ranks before it (by priority and waiting time, see
        `permit_rank`), unless that one has not asked again for some seconds. Runs that have ended get
        nothing. A run whose workflow has a submit strategy (`PermitWish.turn`) gets its permits when the
        strategy says so; a refusal tells that it never will, and runs that give way to it are asked to stop.

        Raises:
            Fenced: The epoch is not the partition's current one; nothing was taken.
        """

    @abstractmethod
    def permit_holders(self, tenant: str, keys: Collection[str]) -> dict[str, Held]:
        """Return the holders of some keys, by key and in order; a key without any is left out."""

    @abstractmethod
    def standing(self, tenant: str, run_id: str, turn: Turn) -> Standing:
        """Return what its workflow's strategy says about a run that has not begun."""
