"""Timers: messages that are due at a time.

The rows of the steps hold the times; this heap only avoids a search through them.
"""

from __future__ import annotations

import heapq
import itertools

from kaon_coordinator.engine.messages import Message


class Timers:
    """A heap by due time, in microseconds since the epoch.

    No entry is removed before its time: the engine ignores those that no longer apply.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, str, Message]] = []
        self._order = itertools.count()

    def set(self, due_us: int, run_id: str, message: Message) -> None:
        """Send `message` to the run at `due_us`."""
        heapq.heappush(self._heap, (due_us, next(self._order), run_id, message))

    def take_due(self, now_us: int) -> list[tuple[str, Message]]:
        """Return the due messages, in order of time."""
        due: list[tuple[str, Message]] = []
        while self._heap and self._heap[0][0] <= now_us:
            _, _, run_id, message = heapq.heappop(self._heap)
            due.append((run_id, message))
        return due

    def next_us(self) -> int | None:
        """Return when the next message is due."""
        return self._heap[0][0] if self._heap else None
