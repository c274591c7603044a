"""The runner's interface to the message queue."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

from google.protobuf.message import Message

from kaon_wire.errors import Unavailable

# Called from any thread, in order, with decoded records.
Deliver: TypeAlias = Callable[[Sequence[Message]], None]
# Called from any thread, once: with None when the record is acknowledged, with the reason when it was not
# delivered.
Done: TypeAlias = Callable[[Exception | None], None]


class Outgoing(Protocol):
    """What can be sent: a message, or what is serialized already."""

    def SerializeToString(self) -> bytes:  # noqa: N802 (as messages have it)
        """Return the record."""


class TransportClosed(Unavailable):
    """The transport has been closed: nothing can be sent."""


class Transport(Protocol):
    """One runner's connection.

    Guarantees: once `start` has returned, every record for this incarnation is delivered at least once, in
    the order of its partition. Undecodable records go to the topic's dead letters, with the reason, and are
    not delivered. Records for other incarnations may be delivered; the runner ignores them.
    """

    def start(self, incarnation: str, deliver: Deliver) -> None:
        """Read the incarnation's partitions of step-ready.<pool> and runner-commands from their ends on.

        Returns when the positions are fixed: all records produced after this call will be delivered.

        Raises:
            Unavailable: The queue does not answer; the message names the address.
        """

    def send(self, topic: str, partition: int, message: Outgoing, done: Done) -> None:
        """Send a record; `done` is called when all replicas have acknowledged it.

        Does not wait and never raises: `done` receives errors.
        """

    def partitions(self, topic: str) -> int:
        """Return the number of partitions of `topic`."""

    def close(self, timeout: float = 5.0) -> None:
        """Flush sent records for at most `timeout` seconds, then end. Nothing is delivered afterwards."""
