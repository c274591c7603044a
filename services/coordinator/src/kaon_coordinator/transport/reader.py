"""Reads partitions from given offsets with librdkafka, on a thread of its own and outside of any group.

The client fetches, checks and decrypts in C, without the interpreter's lock. What it has at hand is handed over together.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import structlog
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, Message, TopicPartition

from kaon_coordinator.transport import base
from kaon_service.kafka_producer import Reminder

log = structlog.get_logger(__name__)

# Called on the event loop: records in the order of their partitions.
Arrived: TypeAlias = Callable[[Sequence[base.Incoming]], None]
# Called on the event loop: nothing more is read.
Failed: TypeAlias = Callable[[BaseException], None]
_POLL_SECONDS = 0.5
# Records that are handed over together.
_TOGETHER = 2000
_CONSUMER: dict[str, Any] = {
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    # When records were deleted that nobody has read: the gap is found by their offsets.
    "auto.offset.reset": "earliest",
    "allow.auto.create.topics": False,
    "check.crcs": True,
    # Nothing of Kaon is sent in transactions: one that somebody else leaves open must not hold up what comes after it.
    "isolation.level": "read_uncommitted",
    "fetch.wait.max.ms": 1_500,
    "max.partition.fetch.bytes": 8 * 1024 * 1024,
    # What waits in the client, beside what waits for the handler.
    "queued.max.messages.kbytes": 32 * 1024,
}


class Reader:
    """Reads from the broker until it is closed. A change of partitions is a new reader: no record is taken for another's.

    Args:
        connection: How to connect; see `kaon_service.kafka_producer.connection`.
        group: Named to the broker; the reader does not join it, and commits nothing.
        positions: The partitions, and the offset of the first record to read; None reads from the first that there is.
        buffered: The records that may wait until they are taken; reading pauses then.
        arrived: Is given the records.
        failed: Is told when the reader cannot go on.
    """

    def __init__(
        self,
        connection: Mapping[str, Any],
        *,
        group: str,
        positions: Mapping[base.TopicPartition, int | None],
        buffered: int,
        arrived: Arrived,
        failed: Failed,
    ) -> None:
        self._settings = {**connection, **_CONSUMER, "group.id": group}
        # Replaced entries only: its partitions stay the same.
        self._positions = dict(positions)
        self._buffered = buffered
        self._arrived = arrived
        self._failed = failed
        self._loop = asyncio.get_running_loop()
        self._closing = threading.Event()
        self._room = threading.Condition()
        self._waiting = 0
        self._turns = 0
        self._reminder = Reminder()
        self._thread = threading.Thread(target=self._run, name="kafka-reader", daemon=True)
        self._thread.start()

    @property
    def turns(self) -> int:
        """Return how often the thread has asked for records, or looked whether there is room for them."""
        return self._turns

    @property
    def positions(self) -> Mapping[base.TopicPartition, int | None]:
        """Return the offset after the last record that was read of each partition; None reads from the first that there is."""
        return self._positions.copy()

    @property
    def has_room(self) -> bool:
        """Return whether records are asked for: not while too many wait."""
        return self._waiting < self._buffered

    def taken(self, count: int) -> None:
        """Note that so many records do not wait any more."""
        with self._room:
            # A batch of an earlier reader may be taken after this one has begun.
            self._waiting = max(0, self._waiting - count)
            self._room.notify()

    def close(self) -> None:
        """Let the thread end; nothing is handed over any more. Returns at once."""
        self._closing.set()
        with self._room:
            self._room.notify()

    def _run(self) -> None:
        try:
            consumer = Consumer(self._settings)
            try:
                consumer.assign([_from(*each) for each in self.positions.items()])
                self._read(consumer)
            finally:
                consumer.close()
        except Exception as error:
            self._tell(self._failed, error)

    def _read(self, consumer: Consumer) -> None:
        while not self._closing.is_set():
            self._turns += 1
            if not self._wait_for_room():
                continue
            first = consumer.poll(_POLL_SECONDS)
            if first is None:
                continue
            polled = (first, *consumer.consume(_TOGETHER, timeout=0))
            records = [_incoming(each) for each in polled if self._is_record(each)]
            with self._room:
                self._waiting += len(records)
            self._positions.update(
                ((each.topic, each.partition), each.offset + 1) for each in records
            )
            self._tell(self._arrived, records)

    def _wait_for_room(self) -> bool:
        with self._room:
            if not self.has_room:
                self._room.wait(_POLL_SECONDS)
            return self.has_room

    def _is_record(self, message: Message) -> bool:
        error: KafkaError | None = message.error()
        if error is not None:
            # The client goes on by itself.
            self._reminder(error)
        return error is None

    def _tell(self, call: Callable[[Any], None], what: Any) -> None:
        if self._closing.is_set():
            return
        try:
            self._loop.call_soon_threadsafe(self._unless_closed, call, what)
        except RuntimeError:
            # The loop was closed first: nobody is left to hear it.
            self._closing.set()

    def _unless_closed(self, call: Callable[[Any], None], what: Any) -> None:
        if not self._closing.is_set():
            call(what)


def _from(partition: base.TopicPartition, offset: int | None) -> TopicPartition:
    return TopicPartition(*partition, OFFSET_BEGINNING if offset is None else offset)


def _incoming(message: Any) -> base.Incoming:
    return base.Incoming(
        topic=message.topic(),
        partition=message.partition(),
        offset=message.offset(),
        timestamp_ms=message.timestamp()[1],
        value=message.value() or b"",
    )
