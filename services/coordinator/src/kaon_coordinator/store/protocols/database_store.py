"""The database itself."""

from __future__ import annotations

from abc import abstractmethod
from typing import Protocol


class DatabaseStore(Protocol):
    """The database itself."""

    @abstractmethod
    def check(self) -> None:
        """Returns when the database answers.

        Raises:
            Unavailable: it does not.
        """

    @abstractmethod
    def close(self) -> None:
        """Closes all connections. No call may follow."""
