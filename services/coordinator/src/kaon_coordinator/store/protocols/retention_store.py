"""What is removed when it is old."""

from __future__ import annotations

from abc import abstractmethod
from typing import Protocol


class RetentionStore(Protocol):
    """What is removed when it is old."""

    @abstractmethod
    def remove_runs(self, before_us: int, limit: int) -> list[str]:
        """Delete up to `limit` runs that ended before a time, with all their data, and return their ids.

        A run stays while a command waits for it, and while a fork of it or its parent exists.
        """

    @abstractmethod
    def remove_logs(self, before_us: int, limit: int) -> list[str]:
        """Delete the archived lines of up to `limit` runs that ended before a time, and return the runs' ids."""

    @abstractmethod
    def remove_memos(self, before_us: int, limit: int) -> list[str]:
        """Delete up to `limit` memos from before a time, and return their keys."""
