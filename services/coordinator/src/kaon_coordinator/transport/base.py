"""The interface between the coordinator's shell and a message broker, and the guarantees of every backend.

- Records of one partition are delivered in the order of their offsets, without gaps.
- A record is acknowledged only after the `on_batch` that received it has returned. An unacknowledged record is delivered again, to
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

# All topics that a coordinator reads as a member of its group.
GROUP_TOPICS = (
    topics.RUN_COMMANDS,
    topics.STEP_EVENTS,
    topics.STEP_LOGS,
    topics.STEP_REQUESTS,
    topics.RUNNER_HEARTBEATS,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Send:
    """One record to send."""

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
    """The receiver of deliveries.

    An exception of these methods ends the transport: nothing more is delivered or acknowledged, and
    `Transport.failed` raises it, so that the process can end.
    """

    async def on_assigned(self, topic: str, partitions: Iterable[int]) -> None:
        """Take over these partitions of `topic`; their records come only after this has returned.

        Called for newly gained partitions only, topics in the order of `GROUP_TOPICS`, after all lost
        partitions have been revoked.
        """

    async def on_revoked(self, topic: str, partitions: Iterable[int]) -> None:
        """Give up these partitions of `topic`; another member may already own them.

        No record of theirs is delivered afterwards.
        """

    async def on_batch(self, records: Sequence[Incoming]) -> None:
        """Apply the records.

        Returning means: the transaction is committed and the sends are acknowledged, acknowledge the records.
        """


class Transport(Protocol):
    """A member of the coordinators' group, and a producer."""

    async def start(self, handler: Handler) -> None:
        """Join the group and begin to deliver to `handler` on the running loop.

        Returns when the broker has been reached and sends are possible; partitions are assigned afterwards.
        Every topic must exist.

        Raises:
            Unavailable: The broker did not answer, or a topic to read is missing.
        """

    async def stop(self) -> None:
        """Leave the group after the current batch, within a bounded time even when the broker is away.

        May be called twice.
        """

    async def failed(self) -> None:
        """Return when the transport was stopped.

        Raises:
            Exception: The cause of a failed delivery: an exception of the handler, or an error of the backend.
            The process must end then.
        """

    async def send(self, sends: Sequence[Send]) -> None:
        """Send a batch and return when the broker has acknowledged all of it.

        Records for one partition keep their order. While the broker is away it retries, for minutes if need
        be.

        Raises:
            Unavailable: A record was refused for good; others of the batch may have been written.
        """

    async def end_offsets(
        self, partitions: Iterable[TopicPartition]
    ) -> Mapping[TopicPartition, int]:
        """Return the offset of the next record of each partition, as the broker reports it now.

        Raises:
            Unavailable: The broker did not answer in time.
        """

    async def quarantine(self, incoming: Incoming, reason: str) -> None:
        """Send a record that cannot be applied to the topic's dead letters, and return when that is acknowledged.

        The headers hold the reason and the record's origin. The record still has to be acknowledged by
        returning from `on_batch`.

        Raises:
            Unavailable: The broker refused it for good.
        """

    @property
    def connected(self) -> bool:
        """Tell whether the broker has been heard recently: if not, silence of runners means nothing."""

    @property
    def last_contact(self) -> float:
        """Return when the broker was last heard (a reply to a fetch, heartbeat or send), in seconds of `time.monotonic`."""

    @property
    def trouble(self) -> str:
        """Return what the broker does not do, and for how long; empty while it does everything."""
