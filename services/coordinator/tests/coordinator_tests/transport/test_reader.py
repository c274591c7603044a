"""The reader, with a real broker: from which offsets it reads, when it pauses, and when it is silent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pytest
from confluent_kafka import KafkaException, Producer

from kaon_coordinator.transport.base import Incoming, TopicPartition
from kaon_coordinator.transport.reader import Reader
from kaon_service.kafka_producer import connection
from kaon_service.kafka_security import OPEN
from kaon_wire.topics import RUN_COMMANDS, STEP_EVENTS

from .backends import PATIENCE, KafkaBackend
from .test_contract import numbered

pytestmark = pytest.mark.real


class Heard:
    """What a reader has handed over."""

    def __init__(self) -> None:
        self.records: list[Incoming] = []
        self.failures: list[BaseException] = []
        self._changed = asyncio.Event()

    def arrived(self, records: Sequence[Incoming]) -> None:
        self.records += records
        self._changed.set()

    def failed(self, error: BaseException) -> None:
        self.failures.append(error)
        self._changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not condition():
                await self._changed.wait()
                self._changed.clear()


@pytest.fixture
def new_reader(kafka: KafkaBackend) -> Iterator[Callable[..., tuple[Reader, Heard]]]:
    """Makes readers that do not outlive the test."""
    readers: list[Reader] = []

    def make(
        positions: Mapping[TopicPartition, int | None], buffered: int = 1000, **settings: Any
    ) -> tuple[Reader, Heard]:
        heard = Heard()
        reader = Reader(
            {**connection(kafka.broker.address, OPEN), **settings},
            group="readers",
            positions=positions,
            buffered=buffered,
            arrived=heard.arrived,
            failed=heard.failed,
        )
        readers.append(reader)
        return reader, heard

    yield make
    for reader in readers:
        reader.close()


async def test_it_reads_each_partition_from_its_offset_or_from_the_first_record(
    kafka: KafkaBackend, new_reader: Callable[..., tuple[Reader, Heard]]
) -> None:
    await kafka.produce([*numbered(STEP_EVENTS, 32), *numbered(RUN_COMMANDS, 8)])

    _, heard = new_reader({(STEP_EVENTS, 0): 1, (STEP_EVENTS, 3): 3, (RUN_COMMANDS, 5): None})
    await heard.until(lambda: len(heard.records) >= 5)

    found = sorted((each.topic, each.partition, each.offset, each.value) for each in heard.records)
    assert found == [
        (RUN_COMMANDS, 5, 0, b"5"),
        (STEP_EVENTS, 0, 1, b"8"),
        (STEP_EVENTS, 0, 2, b"16"),
        (STEP_EVENTS, 0, 3, b"24"),
        (STEP_EVENTS, 3, 3, b"27"),
    ]


async def test_from_an_offset_that_the_topic_does_not_have_it_reads_what_there_is(
    kafka: KafkaBackend, new_reader: Callable[..., tuple[Reader, Heard]]
) -> None:
    await kafka.produce(numbered(STEP_EVENTS, 16))

    reader, heard = new_reader({(STEP_EVENTS, 0): 1_000, (STEP_EVENTS, 1): 2})
    await heard.until(lambda: len(heard.records) == 2)
    assert [(each.partition, each.offset) for each in heard.records] == [(0, 0), (0, 1)]
    assert reader.positions == {(STEP_EVENTS, 0): 2, (STEP_EVENTS, 1): 2}


async def test_a_transaction_that_somebody_leaves_open_holds_nothing_up(
    kafka: KafkaBackend, new_reader: Callable[..., tuple[Reader, Heard]]
) -> None:
    stranger = Producer({**connection(kafka.broker.address, OPEN), "transactional.id": "stranger"})
    stranger.init_transactions()
    stranger.begin_transaction()
    stranger.produce(STEP_EVENTS, b"open", partition=0)
    stranger.flush()
    await kafka.produce(numbered(STEP_EVENTS, 1))

    _, heard = new_reader({(STEP_EVENTS, 0): None})
    await heard.until(lambda: len(heard.records) == 2)
    stranger.abort_transaction()


async def test_it_pauses_while_too_much_waits_and_lives_on(
    kafka: KafkaBackend, new_reader: Callable[..., tuple[Reader, Heard]]
) -> None:
    await kafka.produce(numbered(STEP_EVENTS, 8))
    reader, heard = new_reader({(STEP_EVENTS, n): None for n in range(8)}, buffered=8)
    await heard.until(lambda: len(heard.records) == 8)
    await kafka.produce(numbered(STEP_EVENTS, 8, start=8))
    turns = reader.turns
    async with asyncio.timeout(PATIENCE):
        # Two looks for room, and nothing is read.
        while reader.turns < turns + 3:
            await asyncio.to_thread(reader._thread.join, 0.01)
    assert len(heard.records) == 8

    reader.taken(8)
    await heard.until(lambda: len(heard.records) == 16)


async def test_a_closed_reader_hands_nothing_over_not_even_what_it_has_read(
    kafka: KafkaBackend, new_reader: Callable[..., tuple[Reader, Heard]]
) -> None:
    await kafka.produce(numbered(STEP_EVENTS, 8))
    reader, heard = new_reader({(STEP_EVENTS, n): None for n in range(8)})
    # The loop is held until the thread has called it.
    thread = reader._thread
    while not reader._waiting:
        thread.join(0.01)
    reader.close()
    await asyncio.to_thread(thread.join, PATIENCE)

    assert not thread.is_alive()
    assert heard.records == []
    assert heard.failures == []


async def test_a_reader_that_cannot_begin_says_why(
    new_reader: Callable[..., tuple[Reader, Heard]],
) -> None:
    _, heard = new_reader({(STEP_EVENTS, 0): None}, **{"security.protocol": "none"})
    await heard.until(lambda: bool(heard.failures))

    assert isinstance(heard.failures[0], KafkaException)
    assert "security.protocol" in str(heard.failures[0])
