"""When records leave: at once when idle, together within a few milliseconds under load. Pure."""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Batch(Generic[T]):
    """Collects what goes to one partition.

    Args:
        limit: entries that one departure carries at most.
        weight_limit: sum of weights that one departure carries at most, unless a single entry is heavier.
    """

    def __init__(self, *, limit: int = 500, weight_limit: int = 400_000) -> None:
        self._limit = limit
        self._weight_limit = weight_limit
        self._weight = 0
        self._entries: deque[tuple[T, int]] = deque()

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def is_full(self) -> bool:
        """Whether it need not wait for company any longer."""
        return len(self._entries) >= self._limit or self._weight >= self._weight_limit

    def add(self, entry: T, weight: int = 0) -> None:
        """One more to go; its weight is its size in bytes."""
        self._entries.append((entry, weight))
        self._weight += weight

    def depart(self) -> list[T]:
        """The oldest entries, as many as one departure carries: they have left now."""
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


class Departures:
    """When all that waits leaves together: the more short steps a runner has, the longer a report waits for theirs.

    Args:
        window: seconds that a report waits at most.
        share: seconds that each other step adds to the wait, up to the window: a step that is alone is not held up.
    """

    def __init__(self, *, window: float = 0.006, share: float = 0.000_5) -> None:
        self._window = window
        self._share = share
        # Since when something has been waiting.
        self._since: float | None = None

    def due(self, now: float, others: int) -> float:
        """When what has come now leaves with all that waits, not before `now`.

        Args:
            others: steps that are expected to end soon.
        """
        if self._since is None:
            self._since = now
        return max(now, self._since + min(self._window, self._share * others))

    def depart(self) -> None:
        """Everything leaves now."""
        self._since = None
