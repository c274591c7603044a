"""The transport over the in-memory broker: embedded mode, and the second backend of the contract tests.

Members of a `MemoryGroup` share its partitions as members of a consumer group do. All members of a group live in one event loop;
producers of the broker may live in any thread.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence

from kaon_coordinator.transport.assignments import by_topic, check_counts, share
from kaon_coordinator.transport.base import GROUP_TOPICS, Handler, Incoming, Send, TopicPartition
from kaon_coordinator.transport.deadletters import headers_of
from kaon_wire.errors import NotFound, Unavailable
from kaon_wire.memory import MemoryBroker, Reader, Record
from kaon_wire.topics import dead_letters

BATCH = 2000


class MemoryGroup:
    """The state of a consumer group: owners of partitions, and acknowledged offsets.

    Args:
        broker: The broker with the topics.
    """

    def __init__(self, broker: MemoryBroker) -> None:
        self.broker = broker
        self.committed: dict[TopicPartition, int] = {}
        self.owners: dict[TopicPartition, MemoryTransport] = {}
        self._members: list[MemoryTransport] = []

    def join(self, member: MemoryTransport) -> None:
        """Add a member; partitions move when their owners have given them up."""
        self._members.append(member)
        self._rebalance()

    def leave(self, member: MemoryTransport) -> None:
        """Remove a member and its partitions."""
        if member in self._members:
            self._members.remove(member)
        self.give_up(member, [key for key, owner in self.owners.items() if owner is member])
        self._rebalance()

    def give_up(self, member: MemoryTransport, partitions: Iterable[TopicPartition]) -> None:
        """Note that the member no longer reads these partitions: others may take them."""
        for key in partitions:
            if self.owners.get(key) is member:
                del self.owners[key]
        for other in self._members:
            other.wake()

    def _rebalance(self) -> None:
        names = [str(index) for index in range(len(self._members))]
        for name, member in zip(names, self._members, strict=True):
            member.target = frozenset(
                (topic, number)
                for topic in GROUP_TOPICS
                for number in share(self.broker.partitions(topic), names)[name]
            )
            member.wake()


class MemoryTransport:
    """One member of a group; see `kaon_coordinator.transport.base.Transport`."""

    def __init__(self, group: MemoryGroup) -> None:
        self._group = group
        self._broker = group.broker
        self._owned: frozenset[TopicPartition] = frozenset()
        self._reader: Reader | None = None
        self._woken = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._stopping = False
        # The partitions that the group assigns to this member.
        self.target: frozenset[TopicPartition] = frozenset()

    async def start(self, handler: Handler) -> None:
        """Join the group and begin to deliver to `handler` on the running loop."""
        counts = {topic: len(self._broker.partitions(topic)) for topic in GROUP_TOPICS}
        missing = [topic for topic, count in counts.items() if count == 0]
        if missing:
            raise Unavailable(f"these topics do not exist: {', '.join(missing)}")
        check_counts(counts)
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.create_task(self._deliver(handler), name="memory transport")
        self._group.join(self)

    async def stop(self) -> None:
        """Leave the group after the current batch, within a bounded time even when the broker is away."""
        self._stopping = True
        self._woken.set()
        if self._task is not None:
            await asyncio.wait([self._task])

    async def failed(self) -> None:
        """Return when the transport was stopped."""
        if self._task is not None:
            await asyncio.shield(self._task)

    async def send(self, sends: Sequence[Send]) -> None:
        """Send a batch and return when the broker has acknowledged all of it."""
        for send in sends:
            self._produce(send.topic, send.partition, send.value, {})

    async def end_offsets(
        self, partitions: Iterable[TopicPartition]
    ) -> Mapping[TopicPartition, int]:
        """Return the offset of the next record of each partition, as the broker reports it now."""
        return {key: self._broker.end_offset(*key) for key in partitions}

    async def quarantine(self, incoming: Incoming, reason: str) -> None:
        """Send a record that cannot be applied to the topic's dead letters, and return when that is acknowledged."""
        self._produce(dead_letters(incoming.topic), 0, incoming.value, headers_of(incoming, reason))

    @property
    def connected(self) -> bool:
        """Tell whether the broker has been heard recently: if not, silence of runners means nothing."""
        return True

    @property
    def last_contact(self) -> float:
        """Return when the broker was last heard (a reply to a fetch, heartbeat or send), in seconds of `time.monotonic`."""
        return time.monotonic()

    @property
    def trouble(self) -> str:
        """Return what the broker does not do, and for how long; empty while it does everything."""
        return ""

    def wake(self) -> None:
        """Wake the member: a record has arrived, or ownership has changed. Called from any thread."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._woken.set)

    async def _deliver(self, handler: Handler) -> None:
        try:
            while not self._stopping:
                self._woken.clear()
                await self._follow_target(handler)
                records = self._reader.poll(BATCH) if self._reader is not None else []
                if not records:
                    await self._woken.wait()
                    continue
                await handler.on_batch([_incoming(record) for record in records])
                for record in records:
                    self._group.committed[record.topic, record.partition] = record.offset + 1
                # A handler that never awaits must not block the loop.
                await asyncio.sleep(0)
        finally:
            self._close_reader()
            self._group.leave(self)

    async def _follow_target(self, handler: Handler) -> None:
        """Give up partitions that are no longer assigned, and take assigned ones that are free."""
        lost = self._owned - self.target
        if lost:
            self._read(self._owned - lost)
            for topic, numbers in by_topic(lost):
                await handler.on_revoked(topic, numbers)
            self._group.give_up(self, lost)
        gained = {key for key in self.target - self._owned if key not in self._group.owners}
        if gained:
            self._group.owners.update(dict.fromkeys(gained, self))
            for topic, numbers in by_topic(gained):
                await handler.on_assigned(topic, numbers)
            self._read(self._owned | gained)

    def _read(self, owned: frozenset[TopicPartition]) -> None:
        self._close_reader()
        self._owned = owned
        self._reader = self._broker.reader(self.wake)
        for topic, number in sorted(owned):
            self._reader.assign(topic, number, self._group.committed.get((topic, number), 0))

    def _close_reader(self) -> None:
        if self._reader is not None:
            self._reader.close()
        self._reader = None

    def _produce(
        self, topic: str, partition: int, value: bytes, headers: Mapping[str, bytes]
    ) -> None:
        try:
            self._broker.produce(topic, partition, value, headers)
        except NotFound as error:
            raise Unavailable(f"a record cannot be sent: {error}") from error


def _incoming(record: Record) -> Incoming:
    return Incoming(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        timestamp_ms=record.timestamp_ms,
        value=record.value,
    )
