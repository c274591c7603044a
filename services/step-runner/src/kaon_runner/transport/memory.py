"""The transport over an in-memory broker, for embedded mode and tests."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable

from google.protobuf.message import DecodeError, Message

from kaon_runner.transport.base import Deliver, Done, TransportClosed
from kaon_wire.memory import MemoryBroker, Reader, Record
from kaon_wire.partitioning import partition_of
from kaon_wire.topics import RUNNER_COMMANDS, dead_letters, step_ready
from kaonapi.runner.v1 import runner_pb2
from kaonapi.step.v1 import step_pb2

_log = logging.getLogger(__name__)


class MemoryTransport:
    """Delivers in the thread that produces.

    Args:
        broker: shared with the other parts of the system.
        pool: whose step-ready topic is read.
    """

    def __init__(self, broker: MemoryBroker, *, pool: str) -> None:
        self._broker = broker
        self._types: dict[str, type[Message]] = {
            step_ready(pool): step_pb2.StepReleases,
            RUNNER_COMMANDS: runner_pb2.RunnerCommands,
        }
        self._reader: Reader | None = None
        self._deliver: Deliver | None = None
        # Held while records are taken and delivered, so that two producers cannot swap them.
        self._order = threading.RLock()
        self._closed = False

    def start(self, incarnation: str, deliver: Deliver) -> None:
        """See `Transport`."""
        self._deliver = deliver
        reader = self._broker.reader(self._wake)
        for topic in self._types:
            reader.assign(topic, partition_of(incarnation, self.partitions(topic)))
        self._reader = reader
        self._wake()

    def send(self, topic: str, partition: int, message: Message, done: Done) -> None:
        """See `Transport`."""
        try:
            if self._closed:
                raise TransportClosed("the runner's transport is closed")
            self._broker.produce(topic, partition, message.SerializeToString())
        except Exception as error:
            done(error)
        else:
            done(None)

    def partitions(self, topic: str) -> int:
        """See `Transport`."""
        return len(self._broker.partitions(topic))

    def close(self, timeout: float = 5.0) -> None:
        """See `Transport`."""
        with self._order:
            self._closed = True
            if self._reader is not None:
                self._reader.close()
                self._reader = None

    def _wake(self) -> None:
        with self._order:
            if self._reader is None or self._deliver is None:
                return
            messages = list(self._decode(self._reader.poll()))
            if messages:
                self._deliver(messages)

    def _decode(self, records: Iterable[Record]) -> Iterable[Message]:
        for record in records:
            try:
                yield self._types[record.topic].FromString(record.value)
            except DecodeError as error:
                self._quarantine(record, error)

    def _quarantine(self, record: Record, error: DecodeError) -> None:
        _log.error("undecodable record %s/%s@%s: %s", record.topic, record.partition, record.offset, error)
        headers = {"reason": f"undecodable: {error}".encode(), "source": f"{record.topic}/{record.partition}/{record.offset}".encode()}
        self._broker.produce(dead_letters(record.topic), 0, record.value, headers)
