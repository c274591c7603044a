"""The runner's view of the message queue."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

from google.protobuf.message import Message

from kaon_wire.errors import Unavailable

# Called from any thread, in order, with decoded records.
Deliver: TypeAlias = Callable[[Sequence[Message]], None]
# Called from any thread, once: None when the record is acknowledged, the reason when it was not delivered.
Done: TypeAlias = Callable[[Exception | None], None]


class TransportClosed(Unavailable):
    """The transport has been closed: nothing can be sent."""


class Transport(Protocol):
    """One runner's connection.

    Guarantees: once `start` has returned, every record for this incarnation is delivered at least once, in the order of its
    partition. Records that cannot be decoded go to the topic's dead letters, with the reason, and are not delivered. Records for
    other incarnations may be delivered; the runner ignores them.
    """

    def start(self, incarnation: str, deliver: Deliver) -> None:
        """Reads the incarnation's partitions of step-ready.<pool> and runner-commands from their ends on, and returns when the
        positions stand: what is produced after this call will be delivered.

        Raises:
            Unavailable: the queue does not answer; the message names the address.
        """

    def send(self, topic: str, partition: int, message: Message, done: Done) -> None:
        """Hands a record over; `done` is told when it is acknowledged by all replicas.

        Does not wait, never raises: what goes wrong is told to `done`.
        """

    def partitions(self, topic: str) -> int:
        """The number of partitions of `topic`."""

    def close(self, timeout: float = 5.0) -> None:
        """Lets what was sent leave, for at most `timeout` seconds, then ends. Nothing is delivered afterwards."""
