"""The transport over an in-memory broker, for embedded mode and tests."""

from __future__ import annotations

import threading

from kaon_runner.transport.base import Deliver, Done, Outgoing, TransportClosed
from kaon_runner.transport.command_gate import OPEN_GATE, CommandGate
from kaon_runner.transport.decoding import Decoder
from kaon_wire.memory import MemoryBroker, Reader
from kaon_wire.partitioning import partition_of


class MemoryTransport:
    """Delivers in the thread that produces.

    Args:
        broker: The broker, shared with the other components.
        pool: The pool whose step-ready topic is read.
        gate: Drops commands that do not count.
    """

    def __init__(self, broker: MemoryBroker, *, pool: str, gate: CommandGate = OPEN_GATE) -> None:
        self._broker = broker
        self._decoder = Decoder(pool, broker.produce, gate)  # type: ignore[arg-type]
        self._reader: Reader | None = None
        self._deliver: Deliver | None = None
        # Held while records are taken and delivered, so that two producers cannot swap them.
        self._order = threading.RLock()
        self._closed = False

    def start(self, incarnation: str, deliver: Deliver) -> None:
        """Connect; see `Transport`."""
        self._deliver = deliver
        reader = self._broker.reader(self._wake)
        for topic in self._decoder.types:
            reader.assign(topic, partition_of(incarnation, self.partitions(topic)))
        self._reader = reader
        self._wake()

    def send(self, topic: str, partition: int, message: Outgoing, done: Done) -> None:
        """Send a record; see `Transport`."""
        try:
            if self._closed:
                raise TransportClosed("the runner's transport is closed")
            self._broker.produce(topic, partition, message.SerializeToString())
        except Exception as error:
            done(error)
        else:
            done(None)

    def partitions(self, topic: str) -> int:
        """Return the number of partitions; see `Transport`."""
        return len(self._broker.partitions(topic))

    def close(self, timeout: float = 5.0) -> None:
        """Close the connection; see `Transport`."""
        with self._order:
            self._closed = True
            if self._reader is not None:
                self._reader.close()
                self._reader = None

    def _wake(self) -> None:
        with self._order:
            if self._reader is None or self._deliver is None:
                return
            records = self._reader.poll()
            decoded = (
                self._decoder.decode(r.topic, r.partition, r.offset, r.value) for r in records
            )
            messages = [message for message in decoded if message is not None]
            if messages:
                self._deliver(messages)
