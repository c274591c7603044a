"""Sends the first record of each partition alone: the client loses it otherwise when the broker refuses it for a moment.

A broker takes any sequence number as the first of a producer that it does not know. When a partition has no leader yet, it
refuses record 0 and may take record 1, which is under way already. The client takes that for the proof that record 0 was
written too, and reports both as acknowledged (confluent-kafka-go #921). Once the broker has one record of the producer, it
refuses every gap.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

Partition: TypeAlias = tuple[str, int]
# Gives a record to the client.
Give: TypeAlias = Callable[[], None]
# Reports that a record was not sent, and why.
Refuse: TypeAlias = Callable[[Exception], None]


@dataclass(kw_only=True)
class _Line:
    """What waits for the first record of a partition."""

    behind: deque[tuple[Give, Refuse]]
    # The first record was acknowledged: what waits is being sent.
    open: bool = False


class FirstRecords:
    """The partitions of one client that the broker has a record of, and what waits for the first record of the others."""

    def __init__(self) -> None:
        # What is sent may fail at once, which is told here again.
        self._lock = threading.RLock()
        self._known: set[Partition] = set()
        self._lines: dict[Partition, _Line] = {}

    def send(self, partition: Partition, give: Give, refuse: Refuse) -> None:
        """Give a record to the client, now or after the first of its partition is acknowledged; from any thread."""
        if partition not in self._known:
            with self._lock:
                if (line := self._lines.get(partition)) is not None:
                    line.behind.append((give, refuse))
                    return
                if partition not in self._known:
                    self._lines[partition] = _Line(behind=deque())
        give()

    def acknowledged(self, partition: Partition) -> None:
        """Note that the broker has a record, and send what waits for it, in order."""
        if partition in self._known:
            return
        with self._lock:
            if (line := self._lines.get(partition)) is None:
                return
            line.open = True
            while line.behind:
                give, _ = line.behind.popleft()
                give()
            self._known.add(partition)
            del self._lines[partition]

    def failed(self, partition: Partition, error: Exception, *, alone: bool) -> None:
        """Note that a record was not written. If it was the first, the next is the first now.

        Args:
            partition: Where it should have gone.
            error: Why it did not.
            alone: Whether the reason is the record's own. What waits is refused as well otherwise, for the same reason.
        """
        with self._lock:
            line = self._lines.get(partition)
            if line is None or line.open:
                return
            if alone and line.behind:
                give, _ = line.behind.popleft()
                give()
                return
            del self._lines[partition]
        for _, refuse in line.behind:
            refuse(error)
