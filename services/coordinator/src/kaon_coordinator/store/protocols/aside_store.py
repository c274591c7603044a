"""What is set aside: owners do not touch it until it is taken back. A batch sets runs aside."""

from __future__ import annotations

from abc import abstractmethod
from typing import Protocol

from kaon_coordinator.store.records import SetAside


class AsideStore(Protocol):
    """What is set aside: owners do not touch it until it is taken back. A batch sets runs aside."""

    @abstractmethod
    def put_aside(self, row: SetAside) -> None:
        """Set something aside; the newest reason counts."""

    @abstractmethod
    def list_set_aside(self, limit: int) -> list[SetAside]:
        """Return what is set aside, the newest first, at most `limit`; all of it when that is 0."""

    @abstractmethod
    def take_back(self, kind: str, tenant: str, name: str) -> bool:
        """Return something to its owner; return False when it was not set aside."""
