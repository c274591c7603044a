"""What the broker refuses or leaves unanswered for a moment, as one does that has just started, is sent again."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from kaon_coordinator.transport.base import Send
from kaon_service.kafka_producer import KafkaProducer, connection
from kaon_service.kafka_security import OPEN
from kaon_wire.topics import RUN_COMMANDS

from .backends import PATIENCE, KafkaBackend

pytestmark = pytest.mark.real

_PRODUCE, _METADATA, _PRODUCER_ID = 0, 3, 22


class Troubled:
    """Stands before a broker, for one topic.

    Args:
        broker_port: Where the broker is.
        refuses: Lets the broker refuse the first record: it asks for another topic, with a name of equal length.
        ignores: Never answers the first request for a producer id.
    """

    def __init__(self, broker_port: int, *, refuses: bool = False, ignores: bool = False) -> None:
        self.done = 0
        self.port = 0
        self._broker_port = broker_port
        self._key = _PRODUCE if refuses else _PRODUCER_ID
        self._ignores = ignores
        self._topic = RUN_COMMANDS.encode()
        self._nowhere = b"-" * len(RUN_COMMANDS)
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
            if key != self._key or self.done:
                writer.write(_framed(frame))
                continue
            self.done += 1
            if not self._ignores:
                assert self._topic in frame
                writer.write(_framed(frame.replace(self._topic, self._nowhere)))
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
    proxy = Troubled(_port(kafka), refuses=True)
    values = await _sent_by(proxy, stalled_seconds=PATIENCE)
    assert proxy.done == 1
    assert await _values(kafka) == values


async def test_a_client_that_never_gets_a_producer_id_is_replaced(kafka: KafkaBackend) -> None:
    proxy = Troubled(_port(kafka), ignores=True)
    values = await _sent_by(proxy, stalled_seconds=1.0)
    assert proxy.done == 1
    # A broker that is slow as well gets some of them again.
    assert list(dict.fromkeys(await _values(kafka))) == values


def _port(kafka: KafkaBackend) -> int:
    return int(kafka.broker.address.rpartition(":")[2])


async def _sent_by(proxy: Troubled, *, stalled_seconds: float) -> list[bytes]:
    """Send records to a partition until all are acknowledged, and return them."""
    values = [b"%d" % number for number in range(5)]
    async with proxy.listening():
        # Each record is a request, and they are under way together.
        settings = {**connection(f"127.0.0.1:{proxy.port}", OPEN), "batch.num.messages": 1}
        producer = KafkaProducer(
            settings, delivery_seconds=PATIENCE, stalled_seconds=stalled_seconds
        )
        loop = asyncio.get_running_loop()
        try:
            lost = values
            while lost:
                answers: list[asyncio.Future[Exception | None]] = []
                for value in lost:
                    answers.append(loop.create_future())
                    settle = partial(loop.call_soon_threadsafe, answers[-1].set_result)
                    producer.send(RUN_COMMANDS, 0, value, settle)
                errors = await asyncio.wait_for(asyncio.gather(*answers), PATIENCE)
                lost = [
                    value for value, error in zip(lost, errors, strict=True) if error is not None
                ]
        finally:
            await asyncio.to_thread(producer.close, 1.0)
    return values


async def _values(kafka: KafkaBackend) -> list[bytes | None]:
    """Return the records of the partition, all of them."""
    await kafka.produce([Send(topic=RUN_COMMANDS, partition=0, value=b"last")])
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
    return found[:-1]
