"""What the broker refuses for a moment, as the leader of a partition that is being made does, is sent again."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from kaon_coordinator.transport.base import Send
from kaon_service.kafka_producer import KafkaProducer, connection
from kaon_service.kafka_security import OPEN
from kaon_wire.topics import RUN_COMMANDS

from .backends import PATIENCE, KafkaBackend

pytestmark = pytest.mark.real

_PRODUCE, _METADATA = 0, 3


class Refusing:
    """Stands before a broker, and lets it refuse the first record of a topic: it asks for another topic, of equal length."""

    def __init__(self, broker_port: int, topic: str) -> None:
        self.refused = 0
        self.port = 0
        self._broker_port = broker_port
        self._topic = topic.encode()
        self._nowhere = b"-" * len(topic)
        self._writers: list[asyncio.StreamWriter] = []

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        async with server:
            try:
                yield
            finally:
                for writer in self._writers:
                    writer.close()
                closing = (writer.wait_closed() for writer in self._writers)
                await asyncio.gather(*closing, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._broker_port)
        self._writers += (writer, up_writer)
        # The key of the request that each response answers.
        keys: dict[int, int] = {}
        await asyncio.gather(
            self._requests(reader, up_writer, keys), self._responses(up_reader, writer, keys)
        )

    async def _requests(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, keys: dict[int, int]
    ) -> None:
        async for frame in _frames(reader):
            key, _, number = struct.unpack(">hhi", frame[:8])
            keys[number] = key
            if key == _PRODUCE and not self.refused:
                assert self._topic in frame
                self.refused += 1
                writer.write(_framed(frame.replace(self._topic, self._nowhere)))
            else:
                writer.write(_framed(frame))
        writer.close()

    async def _responses(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, keys: dict[int, int]
    ) -> None:
        async for frame in _frames(reader):
            answer = frame.replace(self._nowhere, self._topic)
            (number,) = struct.unpack(">i", answer[:4])
            if keys[number] == _METADATA:
                there, here = struct.pack(">i", self._broker_port), struct.pack(">i", self.port)
                answer = answer.replace(there, here)
            writer.write(_framed(answer))
        writer.close()


def _framed(frame: bytes) -> bytes:
    return struct.pack(">i", len(frame)) + frame


async def _frames(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    try:
        while True:
            (length,) = struct.unpack(">i", await reader.readexactly(4))
            yield await reader.readexactly(length)
    except (asyncio.IncompleteReadError, ConnectionError):
        return


async def test_the_first_record_of_a_partition_is_not_lost_when_it_is_refused_and_the_next_is_not(
    kafka: KafkaBackend,
) -> None:
    values = [b"%d" % number for number in range(5)]
    host, port = kafka.broker.address.split(":")
    proxy = Refusing(int(port), RUN_COMMANDS)
    async with proxy.listening():
        # Each record is a request, and they are under way together.
        settings = {**connection(f"{host}:{proxy.port}", OPEN), "batch.num.messages": 1}
        producer = KafkaProducer(settings, delivery_seconds=PATIENCE)
        await asyncio.to_thread(producer.partitions, PATIENCE)
        loop = asyncio.get_running_loop()
        answers: asyncio.Queue[Exception | None] = asyncio.Queue()
        for value in values:
            producer.send(
                RUN_COMMANDS,
                0,
                value,
                lambda error: loop.call_soon_threadsafe(answers.put_nowait, error),
            )
        acknowledged = [await asyncio.wait_for(answers.get(), PATIENCE) for _ in values]
        await asyncio.to_thread(producer.close, 1.0)

    assert proxy.refused == 1
    assert acknowledged == [None] * len(values)
    await kafka.produce([Send(topic=RUN_COMMANDS, partition=0, value=b"last")])
    assert await _values(kafka) == [*values, b"last"]


async def _values(kafka: KafkaBackend) -> list[bytes | None]:
    """The records of the partition, up to the one that was sent last."""
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka.broker.address)
    await consumer.start()
    try:
        place = TopicPartition(RUN_COMMANDS, 0)
        consumer.assign([place])
        await consumer.seek_to_beginning(place)
        found: list[bytes | None] = []
        while b"last" not in found:
            found.append((await asyncio.wait_for(consumer.getone(), PATIENCE)).value)
    finally:
        await consumer.stop()
    return found
