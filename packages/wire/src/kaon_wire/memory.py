"""An in-memory broker with the semantics of Kafka that Kaon needs: ordered partitions, offsets, retained records.

It serves embedded mode and is the second backend of the transport's contract tests. Thread-safe: coordinators
read it from an event loop, runners from threads.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from kaon_wire.errors import NotFound
from kaon_wire.topics import Topic


@dataclass(frozen=True, kw_only=True)
class Record:
    """One record as a consumer sees it."""

    topic: str
    partition: int
    offset: int
    # The broker's time of arrival, milliseconds since the epoch.
    timestamp_ms: int
    value: bytes
    headers: Mapping[str, bytes] = field(default_factory=dict)


class MemoryBroker:
    """Topics in memory.

    Args:
        topics: The existing topics; producing to another one is an error, as with a broker that creates none by itself.
        retained: The number of records that a partition keeps for later readers. Records that a registered reader has not read
            are kept whatever their number.
        clock: Returns seconds since the epoch.
    """

    def __init__(
        self,
        topics: Iterable[Topic],
        *,
        retained: int = 20_000,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._logs = {
            (topic.name, partition): _Log(retained=retained)
            for topic in topics
            for partition in range(topic.partitions)
        }
        self._lock = threading.Lock()
        self._listeners: dict[int, Callable[[], None]] = {}
        self._clock = clock

    def produce(
        self, topic: str, partition: int, value: bytes, headers: Mapping[str, bytes] | None = None
    ) -> int:
        """Append a record, wake every listener, and return its offset.

        Raises:
            NotFound: The topic or partition does not exist.
        """
        with self._lock:
            log = self._log(topic, partition)
            record = Record(
                topic=topic,
                partition=partition,
                offset=log.end,
                timestamp_ms=int(self._clock() * 1000),
                value=value,
                headers=headers or {},
            )
            log.append(record)
            listeners = tuple(self._listeners.values())
        for wake in listeners:
            wake()
        return record.offset

    def partitions(self, topic: str) -> tuple[int, ...]:
        """Return the partitions of `topic`, ascending; empty when it does not exist."""
        return tuple(sorted(partition for name, partition in self._logs if name == topic))

    def end_offset(self, topic: str, partition: int) -> int:
        """Return the offset of the next record."""
        with self._lock:
            return self._log(topic, partition).end

    def offset_at(self, topic: str, partition: int, timestamp_ms: int) -> int:
        """Return the offset of the first retained record since `timestamp_ms`; the end offset when there is none."""
        with self._lock:
            log = self._log(topic, partition)
            found = (record.offset for record in log.records if record.timestamp_ms >= timestamp_ms)
            return next(found, log.end)

    def reader(self, wake: Callable[[], None]) -> Reader:
        """Return a new reader without positions.

        `wake` is called, from any thread, whenever a record arrives anywhere.
        """
        return Reader(self, wake)

    def _log(self, topic: str, partition: int) -> _Log:
        try:
            return self._logs[topic, partition]
        except KeyError:
            raise NotFound(f"topic {topic!r} has no partition {partition}") from None


class Reader:
    """Reads partitions from positions of its own, like a consumer with assigned partitions and no group."""

    def __init__(self, broker: MemoryBroker, wake: Callable[[], None]) -> None:
        self._broker = broker
        self._positions: dict[tuple[str, int], int] = {}
        with broker._lock:
            broker._listeners[id(self)] = wake

    def assign(self, topic: str, partition: int, offset: int | None = None) -> None:
        """Read `partition` from `offset`, or from its end."""
        with self._broker._lock:
            log = self._broker._log(topic, partition)
            position = log.end if offset is None else max(offset, log.start)
            self._positions[topic, partition] = log.readers[id(self)] = position

    def poll(self, limit: int = 1000) -> list[Record]:
        """Return up to `limit` records that arrived at the assigned partitions, without waiting."""
        taken: list[Record] = []
        with self._broker._lock:
            for key, position in self._positions.items():
                log = self._broker._log(*key)
                records = log.read(position, limit - len(taken))
                taken.extend(records)
                self._positions[key] = log.readers[id(self)] = position + len(records)
                log.trim()
        return taken

    def position(self, topic: str, partition: int) -> int:
        """Return the offset of the next record that `poll` will return."""
        return self._positions[topic, partition]

    def close(self) -> None:
        """Forget the positions and the wake call."""
        with self._broker._lock:
            self._broker._listeners.pop(id(self), None)
            for key in self._positions:
                self._broker._log(*key).readers.pop(id(self), None)
            self._positions.clear()


class _Log:
    def __init__(self, *, retained: int) -> None:
        self.records: deque[Record] = deque()
        self.start = 0
        self.readers: dict[int, int] = {}
        self._retained = retained

    @property
    def end(self) -> int:
        return self.start + len(self.records)

    def append(self, record: Record) -> None:
        self.records.append(record)
        self.trim()

    def read(self, offset: int, limit: int) -> list[Record]:
        first = offset - self.start
        last = min(first + limit, len(self.records))
        return [self.records[index] for index in range(first, last)]

    def trim(self) -> None:
        unread = min(self.readers.values(), default=self.end)
        while len(self.records) > self._retained and self.start < unread:
            self.records.popleft()
            self.start += 1
