"""The driver of Faust: batches as messages, their acknowledgement, and what is read after a rebalance."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import faust
import pytest
from faust.types import TP

from kaon_coordinator.transport.base import Incoming
from kaon_coordinator.transport.batch_driver import BatchConsumer, BatchSchema, BatchTransport
from kaon_wire.topics import RUN_COMMANDS, STEP_EVENTS

from .backends import PATIENCE, KafkaBackend, Recorder
from .test_contract import joined, numbered


def record(topic: str, partition: int, offset: int) -> Incoming:
    return Incoming(
        topic=topic, partition=partition, offset=offset, timestamp_ms=1_700_000_000_123, value=b"x"
    )


class StubReader:
    """Reads nothing, and remembers what it is told."""

    def __init__(self, **arguments: Any) -> None:
        self.arguments = arguments
        self.turns = 7
        self.given_back = 0
        self.closed = False

    def taken(self, count: int) -> None:
        self.given_back += count

    def close(self) -> None:
        self.closed = True


class Driver:
    """A consumer without a broker."""

    def __init__(self) -> None:
        app = faust.App("driver", broker="kafka://127.0.0.1:1", autodiscover=False)
        transport = BatchTransport(app.conf.broker_consumer, app, connection={}, buffered=10)
        app.transport = transport
        self.readers: list[StubReader] = []
        transport.new_reader = self._new_reader  # type: ignore[method-assign, assignment]
        self.consumer: BatchConsumer = app.consumer  # type: ignore[assignment]
        self.committed: asyncio.Future[dict[TP, int | None]] = asyncio.Future()
        self.consumer.seek_to_committed = lambda: self.committed  # type: ignore[method-assign, assignment]
        self.messages: asyncio.Queue[Any] = asyncio.Queue()
        self.consumer.callback = self.messages.put

    def _new_reader(self, **arguments: Any) -> StubReader:
        self.readers.append(StubReader(**arguments))
        return self.readers[-1]

    async def begun(self) -> StubReader:
        """Returns the reader after an assignment."""
        self.committed.set_result({TP(STEP_EVENTS, 1): 5, TP(RUN_COMMANDS, 0): None})
        await self.consumer.perform_seek()
        await self.sought()
        return self.readers[-1]

    async def sought(self) -> None:
        """Returns when the group has told its offsets, or nobody asks for them any more."""
        assert self.consumer._seeking is not None
        await asyncio.wait([self.consumer._seeking])

    async def turn(self, turns: int = 1) -> Any:
        """Returns the message that Faust is given next, or None."""
        async with asyncio.timeout(60):
            await self.consumer._drain_messages(Turns(turns))
        return None if self.messages.empty() else self.messages.get_nowait()


class Turns:
    """Faust's service that fetches, for so many turns."""

    def __init__(self, count: int) -> None:
        self._left = count

    @property
    def should_stop(self) -> bool:
        self._left -= 1
        return self._left < 0


@pytest.fixture
async def driver() -> AsyncIterator[Driver]:
    made = Driver()
    yield made
    # The loop of the thread that was never started.
    made.consumer._thread.thread_loop.close()


async def test_it_reads_from_what_was_committed(driver: Driver) -> None:
    reader = await driver.begun()

    assert reader.arguments["positions"] == {(STEP_EVENTS, 1): 5, (RUN_COMMANDS, 0): None}


async def test_what_has_arrived_meanwhile_is_one_message_in_order(driver: Driver) -> None:
    arrived: Callable[..., None] = (await driver.begun()).arguments["arrived"]
    records = [record(STEP_EVENTS, 1, 5), record(RUN_COMMANDS, 0, 0), record(STEP_EVENTS, 1, 6)]
    arrived(records[:1])
    arrived(records[1:])

    message = await driver.turn()

    assert BatchSchema().loads_value(None, message) == records
    assert (message.tp, message.offset) == (TP(STEP_EVENTS, 1), 6)
    assert driver.messages.empty()


async def test_an_acknowledged_message_commits_behind_all_its_records_once(driver: Driver) -> None:
    reader = await driver.begun()
    reader.arguments["arrived"](
        [record(STEP_EVENTS, 1, 5), record(RUN_COMMANDS, 0, 0), record(STEP_EVENTS, 1, 6)]
    )
    message, consumer = await driver.turn(), driver.consumer
    assert list(consumer._filter_tps_with_pending_acks()) == []

    message.incref()
    assert message.ack(consumer)
    assert not message.ack(consumer)

    pending = list(consumer._filter_tps_with_pending_acks())
    assert consumer._filter_committable_offsets(pending) == {
        TP(STEP_EVENTS, 1): 7,
        TP(RUN_COMMANDS, 0): 1,
    }
    assert list(consumer._filter_tps_with_pending_acks()) == []
    assert reader.given_back == 3


async def test_a_topic_that_has_lost_its_end_is_committed_where_it_was_read(
    driver: Driver,
) -> None:
    # Its end is below what was committed, so the client reads it from its first record.
    reader = await driver.begun()
    reader.arguments["arrived"]([record(STEP_EVENTS, 1, 0), record(STEP_EVENTS, 1, 1)])
    message, consumer = await driver.turn(), driver.consumer
    message.incref()
    message.ack(consumer)

    assert consumer._filter_committable_offsets([TP(STEP_EVENTS, 1)]) == {TP(STEP_EVENTS, 1): 2}


async def test_records_wait_for_the_flow_unless_their_partitions_are_lost(driver: Driver) -> None:
    arrived = (await driver.begun()).arguments["arrived"]
    driver.consumer.stop_flow()
    arrived([record(STEP_EVENTS, 1, 5)])
    turn = asyncio.ensure_future(driver.turn(3))
    await asyncio.sleep(0)
    driver.consumer.stop_reading()
    arrived([record(STEP_EVENTS, 1, 6)])
    await asyncio.sleep(0)
    assert driver.messages.empty()

    driver.consumer.resume_flow()

    assert [each.offset for each in (await turn).value] == [6]


async def test_lost_partitions_are_neither_read_nor_committed(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def revoked(self: Any, partitions: Any) -> None:
        # As Faust does: what is acknowledged while it waits is committed here.
        assert set(self._filter_tps_with_pending_acks()) == partitions

    monkeypatch.setattr(
        "kaon_coordinator.transport.batch_driver.driver.Consumer.on_partitions_revoked", revoked
    )
    reader = await driver.begun()
    reader.arguments["arrived"]([record(STEP_EVENTS, 1, 5)])
    message = await driver.turn()
    message.incref()
    message.ack(driver.consumer)

    await driver.consumer.on_partitions_revoked({TP(STEP_EVENTS, 1)})

    assert reader.closed
    assert list(driver.consumer._filter_tps_with_pending_acks()) == []


async def test_faust_does_not_wait_until_the_group_tells_its_offsets(driver: Driver) -> None:
    # Its task ends for good when this takes longer than a request may.
    recovery = driver.consumer.app.tables.recovery
    await recovery._wait(driver.consumer.perform_seek(), timeout=60)
    assert not driver.readers

    driver.committed.set_result({TP(STEP_EVENTS, 1): 5})
    await driver.sought()

    assert [each.arguments["positions"] for each in driver.readers] == [{(STEP_EVENTS, 1): 5}]


async def test_an_assignment_that_is_taken_back_at_once_is_never_read(driver: Driver) -> None:
    await driver.consumer.perform_seek()
    driver.consumer.stop_reading()
    await driver.sought()

    driver.committed.set_result({TP(STEP_EVENTS, 1): 5})
    await asyncio.sleep(0)
    assert not driver.readers


@pytest.mark.parametrize("begun", [True, False], ids=["the reader", "the committed offsets"])
async def test_whoever_fails_ends_the_consumer(driver: Driver, begun: bool) -> None:
    if begun:
        (await driver.begun()).arguments["failed"](OSError("no memory"))
    else:
        driver.committed.set_exception(OSError("no memory"))
        await driver.consumer.perform_seek()
        await driver.sought()

    with pytest.raises(OSError, match="no memory"):
        await driver.turn()


async def test_only_a_consumer_that_owns_partitions_and_reads_nothing_stands_still(
    driver: Driver,
) -> None:
    owned: set[TP] = set()
    driver.consumer.assignment = lambda: owned  # type: ignore[method-assign]
    assert driver.consumer.turns != driver.consumer.turns

    owned.add(TP(STEP_EVENTS, 1))
    assert driver.consumer.turns == driver.consumer.turns

    reader = await driver.begun()
    assert driver.consumer.turns == driver.consumer.turns == reader.turns
    reader.turns += 1
    assert driver.consumer.turns == reader.turns


@pytest.mark.real
async def test_the_groups_member_fetches_nothing_and_stays(kafka: KafkaBackend) -> None:
    recorder = Recorder()
    await joined(kafka, recorder)
    await kafka.produce(numbered(STEP_EVENTS, 80))
    await recorder.until(lambda: len(recorder.records) == 80)

    (member,) = kafka._members
    consumer = member._app.consumer._thread._consumer
    assert len(consumer.assignment()) == len(recorder.owned)
    assert consumer.paused() == consumer.assignment()
    assert not consumer._fetcher._records
    # It is never asked for records: a member that is idle for so long leaves its group.
    assert consumer._coordinator._max_poll_interval > 365 * 86_400


@pytest.mark.real
async def test_a_member_reads_after_a_rebalance_that_came_while_it_asked_where_to_begin(
    kafka: KafkaBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    asks, seek = asyncio.Event(), BatchConsumer.seek_to_committed

    async def at_first_for_ever(self: BatchConsumer) -> Any:
        if not asks.is_set():
            asks.set()
            await asyncio.Event().wait()
        return await seek(self)

    monkeypatch.setattr(BatchConsumer, "seek_to_committed", at_first_for_ever)
    first, second = Recorder(), Recorder()
    async with asyncio.timeout(PATIENCE):
        await kafka.member().start(first)
        await asks.wait()
    await kafka.member().start(second)
    await second.until(lambda: bool(second.owned))

    await kafka.produce(numbered(STEP_EVENTS, 80))
    await first.until(lambda: bool(first.records))
