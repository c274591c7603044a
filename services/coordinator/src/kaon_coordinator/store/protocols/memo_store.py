"""Executions that are remembered for equal ones. A batch remembers them."""

from __future__ import annotations

from abc import abstractmethod
from typing import Protocol

from kaon_coordinator.store.records import Memo


class MemoStore(Protocol):
    """Executions that are remembered for equal ones. A batch remembers them."""

    @abstractmethod
    def find_memo(self, tenant: str, key: str) -> Memo | None:
        """Return the newest memo under a key."""
