"""When records leave: at once when idle, together within a few milliseconds under load. Pure."""

from __future__ import annotations

from typing import Generic, TypeVar

T = TypeVar("T")


class Batch(Generic[T]):
    """Collects what goes to one partition.

    Args:
        window: seconds after a full departure in which what arrives waits for the next one; after a small departure less, in
            proportion, so that a lone step is not held up by the one before it.
        limit: entries at which it leaves whatever the time.
    """

    # A departure of at least so many entries is a sign of load.
    LOADED = 20

    def __init__(self, *, window: float = 0.003, limit: int = 500) -> None:
        self._full_window = window
        self._window = 0.0
        self._limit = limit
        self._entries: list[T] = []
        self._departed = float("-inf")

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, entry: T) -> None:
        """One more to go."""
        self._entries.append(entry)

    def due(self, now: float) -> float | None:
        """Seconds until it must leave; 0 when now; None when it is empty."""
        if not self._entries:
            return None
        if len(self._entries) >= self._limit:
            return 0.0
        return max(0.0, self._departed + self._window - now)

    def depart(self, now: float) -> list[T]:
        """Everything collected, which has left now."""
        self._departed = now
        self._window = self._full_window * min(1.0, len(self._entries) / self.LOADED)
        entries, self._entries = self._entries, []
        return entries
