"""The two backends of the contract suite, behind one face."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from aiokafka import AIOKafkaConsumer
from kafka.admin import KafkaAdminClient
from kafka.errors import KafkaError

from kaon_coordinator.schedules.topic_records import RecordSource
from kaon_coordinator.transport.base import Handler, Incoming, Send, TopicPartition, Transport
from kaon_coordinator.transport.broker_watch import BrokerWatch
from kaon_coordinator.transport.faust import FaustSettings, FaustTransport
from kaon_coordinator.transport.memory import MemoryGroup, MemoryTransport
from kaon_coordinator.transport.memory_records import MemoryRecords
from kaon_coordinator.transport.producing import Producing
from kaon_coordinator.transport.topic_reader import KafkaRecords
from kaon_local.errors import NotReady
from kaon_local.kafka import Kafka, KafkaConfig, ensure_topics
from kaon_local.server import wait_until
from kaon_service.kafka_security import OPEN
from kaon_wire.memory import MemoryBroker
from kaon_wire.topics import Catalogue

CATALOGUE = Catalogue(run_partitions=8, pool_partitions=4, runner_partitions=2)
PATIENCE = 60.0


@dataclass(frozen=True, kw_only=True)
class Letter:
    """A record with its headers, as somebody else reads it."""

    value: bytes
    headers: dict[str, bytes]


class Backend(Protocol):
    """A broker with the catalogue's topics, and members of one group."""

    def member(self) -> Transport:
        """A new member, not started."""

    async def produce(self, sends: Sequence[Send]) -> None:
        """What runners and other coordinators send."""

    async def letters(self, topic: str, count: int) -> list[Letter]:
        """The first records of partition 0 of a topic, as soon as there are so many."""

    def records(self) -> RecordSource:
        """Reads topics for schedules; closed by whoever asked."""

    async def close(self) -> None:
        """Stops every member."""


class MemoryBackend:
    def __init__(self) -> None:
        self._broker = MemoryBroker(CATALOGUE.topics())
        self._group = MemoryGroup(self._broker)
        self._members: list[MemoryTransport] = []

    def member(self) -> Transport:
        self._members.append(MemoryTransport(self._group))
        return self._members[-1]

    async def produce(self, sends: Sequence[Send]) -> None:
        for send in sends:
            self._broker.produce(send.topic, send.partition, send.value)

    async def letters(self, topic: str, count: int) -> list[Letter]:
        reader = self._broker.reader(lambda: None)
        reader.assign(topic, 0, 0)
        found = reader.poll()
        reader.close()
        assert len(found) >= count
        return [Letter(value=record.value, headers=dict(record.headers)) for record in found]

    def records(self) -> RecordSource:
        return MemoryRecords(self._broker)

    async def close(self) -> None:
        for member in self._members:
            await member.stop()


def broker_in(state: Path) -> Kafka:
    """A broker with the catalogue's topics, started."""
    broker = Kafka(KafkaConfig(state=state, topics=CATALOGUE.topics()))
    broker.start()
    return broker


def emptied(broker: Kafka) -> None:
    """Makes a broker that others have used as good as new: no groups, and topics without records."""
    admin = KafkaAdminClient(bootstrap_servers=broker.address)
    try:
        wait_until(lambda: _none_left(admin), lambda: None, seconds=PATIENCE)
    finally:
        admin.close()
    wait_until(
        lambda: ensure_topics(broker.address, CATALOGUE.topics()), lambda: None, seconds=PATIENCE
    )


def _none_left(admin: KafkaAdminClient) -> None:
    try:
        if left := {topic.name for topic in CATALOGUE.topics()} & set(admin.list_topics()):
            admin.delete_topics(sorted(left))
            raise NotReady(f"the topics {left} are there")
        if groups := admin.list_groups():
            # A member that was killed is in its group until its session has run out: only then the group can go.
            admin.delete_groups([each["group_id"] for each in groups])
            raise NotReady(f"the groups {groups} are there")
    except KafkaError as error:
        # A broker that has just started again still loads its groups; topics that are being deleted may be gone already.
        if not error.retriable:
            raise
        raise NotReady(f"the broker is not ready: {error}") from error


class KafkaBackend:
    """A running broker; whoever started it stops it."""

    def __init__(self, broker: Kafka) -> None:
        self.broker = broker
        self._members: list[FaustTransport] = []
        self._producing = Producing(
            bootstrap=self.broker.address,
            security=OPEN,
            patience=PATIENCE,
            watch=BrokerWatch(silence=PATIENCE),
        )
        self._started = False

    def member(self) -> Transport:
        settings = FaustSettings(stop=3.0)
        self._members.append(
            FaustTransport(self.broker.address, catalogue=CATALOGUE, settings=settings)
        )
        return self._members[-1]

    async def produce(self, sends: Sequence[Send]) -> None:
        if not self._started:
            await self._producing.start()
            self._started = True
        await self._producing.send(sends)

    async def letters(self, topic: str, count: int) -> list[Letter]:
        consumer = AIOKafkaConsumer(
            topic, bootstrap_servers=self.broker.address, auto_offset_reset="earliest"
        )
        await consumer.start()
        try:
            found = [await asyncio.wait_for(consumer.getone(), PATIENCE) for _ in range(count)]
        finally:
            await consumer.stop()
        return [Letter(value=record.value, headers=dict(record.headers)) for record in found]

    def records(self) -> RecordSource:
        return KafkaRecords(self.broker.address)

    async def close(self) -> None:
        for member in self._members:
            await member.stop()
        await self._producing.stop()


@dataclass
class Recorder(Handler):
    """A handler that remembers everything, and can be told to wait or to fail."""

    owned: set[TopicPartition] = field(default_factory=set)
    records: list[Incoming] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    # Called with each batch before it is remembered.
    before: Callable[[Sequence[Incoming]], None] = lambda records: None
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)
    _busy: bool = False

    async def on_assigned(self, topic: str, partitions: Sequence[int]) -> None:  # type: ignore[override]
        async with self._alone():
            self.calls.append(f"assigned {topic}")
            self.owned |= {(topic, number) for number in partitions}

    async def on_revoked(self, topic: str, partitions: Sequence[int]) -> None:  # type: ignore[override]
        async with self._alone():
            self.calls.append(f"revoked {topic}")
            self.owned -= {(topic, number) for number in partitions}

    async def on_batch(self, records: Sequence[Incoming]) -> None:
        async with self._alone():
            assert {(record.topic, record.partition) for record in records} <= self.owned
            self.before(records)
            self.records += records

    def values(self, topic: str, partition: int) -> list[bytes]:
        """What came of one partition, in the order of its coming."""
        return [
            record.value
            for record in self.records
            if (record.topic, record.partition) == (topic, partition)
        ]

    async def until(self, condition: Callable[[], bool], seconds: float = PATIENCE) -> None:
        """Returns when the condition holds, looking whenever something has come."""
        async with self.changed:
            await asyncio.wait_for(self.changed.wait_for(condition), seconds)

    def _alone(self) -> _Alone:
        return _Alone(self)


class _Alone:
    """Fails when calls overlap, and tells when one has ended."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    async def __aenter__(self) -> None:
        assert not self._recorder._busy, "two calls of the handler overlap"
        self._recorder._busy = True
        await asyncio.sleep(0)

    async def __aexit__(self, *_: object) -> None:
        self._recorder._busy = False
        async with self._recorder.changed:
            self._recorder.changed.notify_all()


Backends = AsyncIterator[Backend]
