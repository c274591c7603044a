"""What is removed when it is old."""

from __future__ import annotations

from abc import abstractmethod
from typing import Protocol


class RetentionStore(Protocol):
    """What is removed when it is old."""

    @abstractmethod
    def remove_runs(self, before_us: int, limit: int) -> list[str]:
        """Deletes up to `limit` runs that ended before a time, with everything that belongs to them, and returns their ids. A run
        stays while a command waits for it, and while a fork of it or its parent is there."""

    @abstractmethod
    def remove_logs(self, before_us: int, limit: int) -> list[str]:
        """Deletes what the steps of up to `limit` runs printed that ended before a time, and returns the runs' ids."""

    @abstractmethod
    def remove_memos(self, before_us: int, limit: int) -> list[str]:
        """Forgets up to `limit` executions that were remembered before a time, and returns their keys."""
