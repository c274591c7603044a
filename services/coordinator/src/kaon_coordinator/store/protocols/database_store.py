"""The database itself."""

from __future__ import annotations

from abc import abstractmethod
from typing import Protocol


class DatabaseStore(Protocol):
    """The database itself."""

    @abstractmethod
    def check(self) -> None:
        """Return when the database answers.

        Raises:
            Unavailable: The database does not answer.
        """

    @abstractmethod
    def close(self) -> None:
        """Close all connections. No call may follow."""
