"""The interface between the coordinator's shell and a message broker, and the guarantees that every backend keeps.

- Records of one partition are delivered in the order of their offsets, without gaps.
- A record is acknowledged only after the `on_batch` that received it has returned. What was not acknowledged is delivered again, to
  this member of the group or to the partition's next owner. So a record may come twice; none is lost.
- The partitions p of `run-commands`, `step-events` and `step-logs` always belong to the same member, and so do those of
  `step-requests` and `runner-heartbeats`.
- No call of the handler overlaps another one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from kaon_wire import topics

TopicPartition: TypeAlias = tuple[str, int]

# Everything that a coordinator reads as a member of its group.
GROUP_TOPICS = (
    topics.RUN_COMMANDS,
    topics.STEP_EVENTS,
    topics.STEP_LOGS,
    topics.STEP_REQUESTS,
    topics.RUNNER_HEARTBEATS,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Send:
    """One record to be sent."""

    topic: str
    partition: int
    value: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Incoming:
    """One record that has arrived."""

    topic: str
    partition: int
    offset: int
    # Milliseconds since the epoch: the broker's or the sender's time, as the topic is configured.
    timestamp_ms: int
    value: bytes


class Handler(Protocol):
    """What the shell does with what arrives. Anything that these methods raise ends the transport: nothing more is delivered
    or acknowledged, and `Transport.failed` raises it, so that the process can end."""

    async def on_assigned(self, topic: str, partitions: Iterable[int]) -> None:
        """These partitions of `topic` now belong to this member; their records come only after this has returned.

        Called for newly gained partitions only, topics in the order of `GROUP_TOPICS`, after everything that was lost has been
        revoked.
        """

    async def on_revoked(self, topic: str, partitions: Iterable[int]) -> None:
        """These partitions of `topic` no longer belong to this member; another one may already have them. No record of theirs
        is delivered afterwards."""

    async def on_batch(self, records: Sequence[Incoming]) -> None:
        """Applies the records. Returning means: the transaction is committed and the sends are acknowledged, forget the records."""


class Transport(Protocol):
    """A member of the coordinators' group, and a producer."""

    async def start(self, handler: Handler) -> None:
        """Joins the group and begins to deliver to `handler` on the running loop. Returns when the broker has been reached and
        sends are possible; partitions are assigned afterwards. Every topic must exist.

        Raises:
            Unavailable: the broker did not answer, or a topic that is read is missing.
        """

    async def stop(self) -> None:
        """Leaves the group after the batch in hand, within a bounded time even when the broker is away. May be called twice."""

    async def failed(self) -> None:
        """Returns when the transport was stopped.

        Raises:
            Exception: what ended the delivery: whatever the handler raised, or an error of the backend. The process must end then.
        """

    async def send(self, sends: Sequence[Send]) -> None:
        """Sends a batch and returns when the broker has acknowledged all of it. Records for one partition keep their order.
        Waits and tries again while the broker is away, for minutes if need be.

        Raises:
            Unavailable: a record was finally refused; others of the batch may have been written.
        """

    async def end_offsets(self, partitions: Iterable[TopicPartition]) -> Mapping[TopicPartition, int]:
        """The offset that the next record of each partition will get, asked from the broker now.

        Raises:
            Unavailable: the broker did not answer in time.
        """

    async def quarantine(self, incoming: Incoming, reason: str) -> None:
        """Sends a record that cannot be applied to the topic's dead letters, with the reason and where it came from in the headers.
        Returns when that is acknowledged. The record still has to be acknowledged by returning from `on_batch`.

        Raises:
            Unavailable: the broker finally refused it.
        """

    @property
    def connected(self) -> bool:
        """Whether the broker has been heard lately: if not, silence of runners says nothing about them."""

    @property
    def last_contact(self) -> float:
        """When the broker was last heard (a reply to a fetch, heartbeat or send), in seconds of `time.monotonic`."""
