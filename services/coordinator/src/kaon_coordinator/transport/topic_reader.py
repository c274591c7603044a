"""Reads topics from positions that the schedules keep: no consumer group, and nothing committed to the broker."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from kaon_coordinator.schedules.topic_records import Fetched, Record
from kaon_service.kafka_security import OPEN, KafkaSecurity
from kaon_wire.errors import NotFound, Unavailable

# How long a read waits for records that are known to exist.
_WAIT_MS = 3_000
_ANSWER_SECONDS = 10.0
# Consumers that are kept for the next read; topics read less often get a new one.
_CONSUMERS = 32


class KafkaRecords:
    """Reads a Kafka cluster. Each topic has a consumer of its own: an unresponsive one delays no reader of another topic.

    Args:
        brokers: host:port, separated by commas.
        security: How to connect to them.
    """

    def __init__(self, brokers: str, security: KafkaSecurity = OPEN) -> None:
        self._brokers = brokers
        self._security = security
        # The most recently read topic comes last.
        self._topics: OrderedDict[str, _TopicReader] = OrderedDict()

    async def fetch(self, topic: str, positions: Mapping[int, int], limit: int) -> Fetched:
        """Return records; see `RecordSource`."""
        reader = self._topics.get(topic)
        if reader is None:
            reader = self._topics[topic] = _TopicReader(self._brokers, self._security, topic)
        self._topics.move_to_end(topic)
        fetched = await reader.fetch(positions, limit)
        for name in [name for name, each in self._topics.items() if not each.busy][:-_CONSUMERS]:
            await self._topics.pop(name).close()
        return fetched

    async def close(self) -> None:
        """Close the connection to the broker."""
        readers, self._topics = list(self._topics.values()), OrderedDict()
        await asyncio.gather(*(reader.close() for reader in readers))


class _TopicReader:
    """Reads one topic, with a consumer that is created on demand."""

    def __init__(self, brokers: str, security: KafkaSecurity, topic: str) -> None:
        self._brokers = brokers
        self._security = security
        self._topic = topic
        self._consumer: AIOKafkaConsumer | None = None
        # One caller at a time assigns, moves and reads a consumer.
        self._turn = asyncio.Lock()

    @property
    def busy(self) -> bool:
        """Tell whether a read is in progress."""
        return self._turn.locked()

    async def fetch(self, positions: Mapping[int, int], limit: int) -> Fetched:
        """Return records; see `RecordSource`."""
        topic = self._topic
        async with self._turn:
            try:
                async with asyncio.timeout(_ANSWER_SECONDS):
                    return await self._fetch(topic, positions, limit)
            except (KafkaError, OSError, TimeoutError) as error:
                await self.close()
                raise Unavailable(
                    f"topic {topic!r} cannot be read: {error or type(error).__name__}"
                ) from error

    async def _fetch(self, topic: str, positions: Mapping[int, int], limit: int) -> Fetched:
        consumer = await self._started()
        if topic not in await consumer.topics():
            raise NotFound(f"there is no topic {topic!r}")
        places = await self._assigned(consumer, topic)
        ends = await consumer.end_offsets(list(places.values()))
        begins = await consumer.beginning_offsets(list(places.values()))
        following = dict(positions)
        for number, place in places.items():
            following[number] = max(positions.get(number, ends[place]), begins[place])
        records: list[Record] = []
        if any(following[number] < ends[place] for number, place in places.items()):
            for number, place in places.items():
                consumer.seek(place, following[number])
            for place, batch in (
                await consumer.getmany(timeout_ms=_WAIT_MS, max_records=limit)
            ).items():
                records += [_record(each) for each in batch]
                if batch:
                    following[place.partition] = batch[-1].offset + 1
        return Fetched(records=records, positions=following)

    async def _assigned(self, consumer: AIOKafkaConsumer, topic: str) -> dict[int, TopicPartition]:
        """Assign the topic's partitions and return them."""
        if not consumer.partitions_for_topic(topic):
            # The client learns about topics that are assigned.
            first = TopicPartition(topic, 0)
            consumer.assign([first])
            await consumer.end_offsets([first])
        places = {
            number: TopicPartition(topic, number)
            for number in consumer.partitions_for_topic(topic) or ()
        }
        if not places:
            raise Unavailable(f"the partitions of topic {topic!r} are not known yet")
        consumer.assign(list(places.values()))
        return places

    async def _started(self) -> AIOKafkaConsumer:
        if self._consumer is None:
            consumer = AIOKafkaConsumer(
                bootstrap_servers=self._brokers,
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                **self._security.arguments,
            )
            try:
                await consumer.start()
            except BaseException:
                await consumer.stop()
                raise
            self._consumer = consumer
        return self._consumer

    async def close(self) -> None:
        """Close the connection to the broker."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            # It may end with the cancellation of its own inner tasks.
            await asyncio.gather(consumer.stop(), return_exceptions=True)


def _record(each: Any) -> Record:
    return Record(
        partition=each.partition,
        offset=each.offset,
        time_us=each.timestamp * 1000,
        value=each.value or b"",
        key=each.key or b"",
        headers={name: value or b"" for name, value in each.headers},
    )
