"""When records leave: at once when idle, together within a few milliseconds under load. Pure."""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Batch(Generic[T]):
    """Collects what goes to one partition.

    Args:
        window: seconds after a full departure in which what arrives waits for the next one; after a small departure less, in
            proportion, so that a lone step is not held up by the one before it.
        limit: entries at which it leaves whatever the time.
        weight_limit: sum of weights that one departure carries at most, unless a single entry is heavier.
    """

    # A departure of at least so many entries is a sign of load.
    LOADED = 20

    def __init__(self, *, window: float = 0.003, limit: int = 500, weight_limit: int = 400_000) -> None:
        self._full_window = window
        self._window = 0.0
        self._limit = limit
        self._weight_limit = weight_limit
        self._weight = 0
        self._entries: deque[tuple[T, int]] = deque()
        self._departed = float("-inf")

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, entry: T, weight: int = 0) -> None:
        """One more to go; its weight is its size in bytes."""
        self._entries.append((entry, weight))
        self._weight += weight

    def due(self, now: float) -> float | None:
        """Seconds until it must leave; 0 when now; None when it is empty."""
        if not self._entries:
            return None
        if len(self._entries) >= self._limit or self._weight >= self._weight_limit:
            return 0.0
        return max(0.0, self._departed + self._window - now)

    def depart(self, now: float) -> list[T]:
        """The oldest entries, as many as one departure carries: they have left now."""
        self._departed = now
        self._window = self._full_window * min(1.0, len(self._entries) / self.LOADED)
        entries: list[T] = []
        weight = 0
        while self._entries and len(entries) < self._limit:
            entry, size = self._entries[0]
            if entries and weight + size > self._weight_limit:
                break
            self._entries.popleft()
            entries.append(entry)
            weight += size
        self._weight -= weight
        return entries
