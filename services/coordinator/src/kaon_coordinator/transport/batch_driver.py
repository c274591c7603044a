"""A driver of Faust whose messages are whole batches of records.

Faust's driver for aiokafka stays the member of the group: it joins, is assigned partitions, says that it lives and commits
offsets. It fetches nothing: its partitions are paused, and a `Reader` reads them. What has arrived while the loop was busy
is one message of Faust, so that its tasks, events and acknowledgements cost once for all of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import faust
import structlog
from faust.transport.consumer import ensure_TP
from faust.transport.drivers import aiokafka as driver
from faust.transport.producer import Producer
from faust.types import TP
from faust.types.tuples import ConsumerMessage
from mode.utils.futures import notify

from kaon_coordinator.transport import base
from kaon_coordinator.transport.reader import Reader
from kaon_coordinator.transport.threads import ConsumerThread

log = structlog.get_logger(__name__)


class BatchSchema(faust.Schema):  # type: ignore[type-arg]
    """Reads a message's value as it is: a list of records."""

    def loads_value(self, app: Any, message: Any, **_: Any) -> list[base.Incoming]:
        """Return the records."""
        records: list[base.Incoming] = message.value
        return records


class _PausingListener(driver.ConsumerRebalanceListener):
    """Keeps aiokafka from fetching."""

    async def on_partitions_assigned(self, assigned: Iterable[Any]) -> None:
        self._thread._ensure_consumer().pause(*assigned)
        await super().on_partitions_assigned(assigned)


class _GroupThread(driver.AIOKafkaConsumerThread):
    """The thread of the group's member."""

    Worker = ConsumerThread


class BatchConsumer(driver.Consumer):
    """A member of the group that reads by librdkafka, and acknowledges a message's records together."""

    RebalanceListener = _PausingListener
    transport: BatchTransport

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Where to read on after what was acknowledged since the last commit.
        self._next: dict[TP, int] = {}
        self._records: list[base.Incoming] = []
        self._filled = asyncio.Event()
        self._reader: Reader | None = None
        self._failure: BaseException | None = None
        self._seeking: asyncio.Future[None] | None = None
        self._unread = 0

    @property
    def turns(self) -> int:
        """Return a number that changes while records are asked for, or while this member owns nothing to read."""
        if self._reader is not None:
            return self._reader.turns
        if not self.assignment():
            self._unread -= 1
        return self._unread

    @property
    def reader(self) -> Reader | None:
        """Return the present reader; None while partitions are revoked and assigned."""
        return self._reader

    def _new_consumer_thread(self) -> Any:
        return _GroupThread(self, loop=self.loop, beacon=self.beacon)

    # --- reading -------------------------------------------------------------------------------------------------

    async def perform_seek(self) -> None:
        """Begin to read on from where the group has committed, as soon as it tells; return at once.

        The task of Faust that calls this ends without a word, for good, when it has waited for longer than a request may take,
        or what it waits for is cancelled.
        """
        self.stop_reading()
        self._seeking = asyncio.ensure_future(self._begin())
        self._seeking.add_done_callback(self._on_begun)

    async def _begin(self) -> None:
        found = {ensure_TP(tp): at for tp, at in (await self.seek_to_committed()).items()}
        self._committed_offset.update({tp: at or None for tp, at in found.items()})
        # Says after the fact where a member stood that got nothing.
        log.info("reading begins", partitions=len(found), committed=sum(map(bool, found.values())))
        self._reader = self.transport.new_reader(
            positions={(tp.topic, tp.partition): at for tp, at in found.items()},
            arrived=self._arrived,
            failed=self._fail,
        )

    def _on_begun(self, seeking: asyncio.Future[None]) -> None:
        if not seeking.cancelled() and (error := seeking.exception()) is not None:
            self._fail(error)

    def stop_reading(self) -> None:
        """Let nothing more arrive, and drop what has: it is read again from what is committed."""
        if self._seeking is not None:
            self._seeking.cancel()
        if self._reader is not None:
            self._reader.close()
            self._reader = None
        self._records = []

    def resume_flow(self) -> None:
        """Let records pass: a reader may have begun before."""
        super().resume_flow()
        self._filled.set()

    def _arrived(self, records: Sequence[base.Incoming]) -> None:
        self._records += records
        self._filled.set()

    def _fail(self, error: BaseException) -> None:
        self._failure = error
        self._filled.set()

    async def _drain_messages(self, fetcher: Any) -> None:
        while not (self.should_stop or fetcher.should_stop):
            await self._filled.wait()
            self._filled.clear()
            if self._failure is not None:
                raise self._failure
            if not self.flow_active:
                continue
            records, self._records = self._records, []
            if records:
                await self.callback(self._message(records))

    def _message(self, records: list[base.Incoming]) -> ConsumerMessage:
        """Return a message that holds records of any partitions, and counts as one of the last record's."""
        last = records[-1]
        return ConsumerMessage(
            last.topic,
            last.partition,
            last.offset,
            last.timestamp_ms / 1000,
            0,
            None,
            None,
            records,  # type: ignore[arg-type]
            None,
            0,
            0,
            TP(last.topic, last.partition),
            generation_id=self.app.consumer_generation_id,
        )

    # --- acknowledging -------------------------------------------------------------------------------------------

    def ack(self, message: Any) -> bool:
        """Note that all records of a message were applied."""
        if message.acked:
            return False
        message.acked = True
        self._unacked_messages.discard(message)
        for record in message.value:
            self._next[TP(record.topic, record.partition)] = record.offset + 1
        if self._reader is not None:
            self._reader.taken(len(message.value))
        notify(self._waiting_for_ack)
        return True

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Iterator[TP]:
        return iter([tp for tp in self._next if not topics or tp in topics or tp.topic in topics])

    def _new_offset(self, tp: TP) -> int | None:
        return self._next.pop(tp, None)

    def _should_commit(self, tp: TP, offset: int) -> bool:
        # Also a lower one: a topic that lost its end, or was made anew, is read from its first record. With the commit from
        # before, the next reader would leave out what has come since.
        return offset != self._committed_offset[tp]

    # --- ends ----------------------------------------------------------------------------------------------------

    async def on_partitions_revoked(self, revoked: Any) -> None:
        """Read nothing more, and forget what was acknowledged of partitions that are lost."""
        self.stop_reading()
        await super().on_partitions_revoked(revoked)
        for tp in revoked:
            self._next.pop(tp, None)

    async def on_stop(self) -> None:
        """Read nothing more."""
        self.stop_reading()
        await super().on_stop()

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Check nothing: Faust asks what aiokafka has fetched; `Membership` watches the reader."""


class BatchTransport(driver.Transport):
    """Faust's connection to Kafka.

    Args:
        urls: The brokers, for the group's member.
        app: Faust's.
        connection: How the reader connects; see `kaon_service.kafka_producer.connection`.
        buffered: The records that may wait for the handler before reading pauses.
    """

    Consumer = BatchConsumer
    # We send by a producer of our own: this one connects to nothing.
    Producer = Producer

    def __init__(
        self, urls: Any, app: faust.App, *, connection: Mapping[str, Any], buffered: int
    ) -> None:
        super().__init__(urls, app)
        self._connection = connection
        self._buffered = buffered

    def new_reader(self, **arguments: Any) -> Reader:
        """Return a reader that has begun; see there."""
        return Reader(
            self._connection, group=self.app.conf.id, buffered=self._buffered, **arguments
        )
