"""Departure times of records: at once when idle, batched within a few milliseconds under load. Pure."""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Batch(Generic[T]):
    """Collects the entries for one partition.

    Args:
        limit: The most entries of one departure.
        weight_limit: The largest sum of weights of one departure, unless a single entry is heavier.
    """

    def __init__(self, *, limit: int = 500, weight_limit: int = 400_000) -> None:
        self._limit = limit
        self._weight_limit = weight_limit
        self._weight = 0
        # Entry, weight, and whether it travels with the one before it.
        self._entries: deque[tuple[T, int, bool]] = deque()

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def is_full(self) -> bool:
        """Tell whether it need not wait for further entries."""
        return len(self._entries) >= self._limit or self._weight >= self._weight_limit

    def add(self, entry: T, weight: int = 0, *, joined: bool = False) -> None:
        """Add an entry; its weight is its size in bytes. A joined one departs together with the one before it."""
        self._entries.append((entry, weight, joined))
        self._weight += weight

    def depart(self) -> list[T]:
        """Remove and return the oldest entries, as many as one departure carries."""
        entries: list[T] = []
        weight = 0
        while self._entries:
            entry, size, joined = self._entries[0]
            full = len(entries) >= self._limit or weight + size > self._weight_limit
            if entries and full and not joined:
                break
            self._entries.popleft()
            entries.append(entry)
            weight += size
        self._weight -= weight
        return entries


class Departures:
    """The common departure of all waiting entries: the more short steps a runner has, the longer a report waits for theirs.

    Args:
        window: The longest wait of a report in seconds.
        share: The seconds that each other step adds to the wait, up to the window: the report of a single step does not wait.
    """

    def __init__(self, *, window: float = 0.006, share: float = 0.000_5) -> None:
        self._window = window
        self._share = share
        # Since when an entry has been waiting.
        self._since: float | None = None

    def due(self, now: float, others: int) -> float:
        """Return when a new entry departs with all waiting ones, not before `now`.

        Args:
            now: The current time, in seconds of the loop's clock.
            others: The number of steps that are expected to end soon.
        """
        if self._since is None:
            self._since = now
        return max(now, self._since + min(self._window, self._share * others))

    def depart(self) -> None:
        """Record the departure of all entries."""
        self._since = None
