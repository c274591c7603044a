"""The transport over Kafka. Faust is only its consumer, with a driver of our own (`batch_driver`).

Rules of safe use, each one measured: no tables; concurrency 1; nothing is raised inside an agent, because
Faust takes that for an acknowledgement; streams without acknowledgement feed a list that ONE task drains
whole, and events are acknowledged only after the handler has returned; an event is a batch of records; sends
leave through a producer of our own; offsets are checked for gaps.
"""

from __future__ import annotations

import asyncio
import logging
import os
import tempfile
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import faust
import structlog
from faust.auth import Credentials, SASLCredentials, SSLCredentials

from kaon_coordinator.transport.assignments import by_topic, check_assignment, check_counts
from kaon_coordinator.transport.base import GROUP_TOPICS, Handler, Incoming, TopicPartition
from kaon_coordinator.transport.batch_driver import BatchSchema, BatchTransport
from kaon_coordinator.transport.deadletters import headers_of
from kaon_coordinator.transport.lag_watch import LagWatch
from kaon_coordinator.transport.line import BrokerLine
from kaon_coordinator.transport.membership import Membership
from kaon_coordinator.transport.patience import retry_group_requests, retry_unknown_errors
from kaon_coordinator.transport.producing import Outgoing
from kaon_coordinator.transport.stream_watch import StreamWatch
from kaon_service.kafka_producer import connection
from kaon_service.kafka_security import OPEN, SCRAM, KafkaSecurity, Protocol
from kaon_wire.errors import KaonError, Unavailable
from kaon_wire.topic_rights import COORDINATORS_GROUP
from kaon_wire.topics import Catalogue, dead_letters

log = structlog.get_logger(__name__)


class OffsetGap(KaonError):
    """Records are missing between two delivered ones.

    Nothing after the gap is acknowledged, so a new process reads them.
    """


@dataclass(frozen=True, kw_only=True)
class FaustSettings:
    """Settings of a coordinator's membership. Times are seconds."""

    group: str = COORDINATORS_GROUP
    # A member that is silent for so long loses its partitions.
    session: float = 10.0
    heartbeat: float = 2.0
    # What was read since the last commit is read again after a crash, and changes nothing then; each commit costs the
    # broker and the event loop as much as several steps.
    commit_interval: float = 2.0
    # A send that cannot be delivered for so long fails.
    patience: float = 300.0
    # The broker counts as away after so much silence; it is probed when there is no other traffic.
    silence: float = 4.0
    probe: float = 1.0
    # A member that its group has not heard, or that reads nothing of what is there, for so long ends, if the broker answers.
    # The group itself waits 60 s for a member to rejoin.
    outside: float = 120.0
    stop: float = 8.0
    # Records that may wait for the handler before reading pauses.
    buffered: int = 20_000


@dataclass(frozen=True, slots=True)
class _Assignment:
    """A rebalance has ended."""

    partitions: frozenset[TopicPartition]
    generation: int


# The queue of the draining task, in order. The value of an event is a list of records.
_Item: TypeAlias = "_Assignment | faust.Event"


DEFAULT = FaustSettings()
_NEVER_SECONDS = 10 * 365 * 86_400.0


class FaustTransport(BrokerLine):
    """One member of the coordinators' consumer group; see `kaon_coordinator.transport.base.Transport`.

    Args:
        bootstrap: host:port of a broker, or several with commas.
        catalogue: The deployment's topics: the broker's partition counts must agree with it.
        security: How to connect to the broker.
        settings: Times and bounds.
    """

    def __init__(
        self,
        bootstrap: str,
        *,
        catalogue: Catalogue,
        security: KafkaSecurity = OPEN,
        settings: FaustSettings = DEFAULT,
    ) -> None:
        super().__init__(
            bootstrap,
            security=security,
            patience=settings.patience,
            silence=settings.silence,
            probe=settings.probe,
        )
        self._security = security
        self._catalogue = catalogue
        self._settings = settings
        self._app: Any = None
        self._items: deque[_Item] = deque()
        self._filled = asyncio.Event()
        self._owned: frozenset[TopicPartition] = frozenset()
        self._generation = -1
        self._expected: dict[TopicPartition, int] = {}
        self._ended: asyncio.Future[None] | None = None
        self._stopping = False
        self._tasks: list[asyncio.Task[None]] = []

    # --- the interface -------------------------------------------------------------------------------------------

    async def start(self, handler: Handler) -> None:
        """Join the group and begin to deliver to `handler` on the running loop."""
        self._ended = asyncio.get_running_loop().create_future()
        retry_unknown_errors()
        try:
            await self._producing.start()
            await self._offsets.start()
            self._check_topics()
            self._broker.hear()
            self._app = self._new_app()
            self._spawn(self._drain(handler), "drain")
            self._spawn(self._probe(), "probe")
            self._spawn(self._remind(), "remind")
            await self._app.start()
            self._spawn(self._watch_app(), "watch")
            consumer = self._app.consumer._thread._consumer
            retry_group_requests(consumer, self._broker)
            membership = Membership(
                consumer,
                turns=lambda: int(self._app.consumer.turns),
                connected=lambda: self.connected,
                patience=self._settings.outside,
            )
            self._spawn(membership.watch(), "membership")
            lag = LagWatch(
                lambda: self._app.consumer.reader, self._offsets, patience=self._settings.outside
            )
            self._spawn(lag.watch(), "lag")
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Leave the group after the current batch, within a bounded time even when the broker is away."""
        if self._stopping:
            return
        self._stopping = True
        await self._stop_app()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._offsets.stop()
        await self._producing.stop()
        self._end(None)

    async def failed(self) -> None:
        """Return when the transport was stopped."""
        if self._ended is None:
            raise Unavailable("the transport was not started")
        await asyncio.shield(self._ended)

    async def quarantine(self, incoming: Incoming, reason: str) -> None:
        """Send a record that cannot be applied to the topic's dead letters, and return when that is acknowledged."""
        headers = tuple(headers_of(incoming, reason).items())
        letter = Outgoing(
            topic=dead_letters(incoming.topic), partition=0, value=incoming.value, headers=headers
        )
        await self._producing.send([letter])

    # --- Faust ---------------------------------------------------------------------------------------------------

    def _new_app(self) -> Any:
        settings = self._settings
        for name in ("faust", "mode", "aiokafka"):
            # Their debug messages cost a tenth of the processor even when they are not printed.
            logger = logging.getLogger(name)
            if logger.level == logging.NOTSET:
                logger.setLevel(logging.WARNING)
        app = faust.App(
            settings.group,
            broker=[f"kafka://{address}" for address in self._bootstrap.split(",")],
            broker_credentials=_credentials(self._security),
            autodiscover=False,
            # Faust insists on a directory; without tables it stays empty, so all processes may share it.
            datadir=f"{tempfile.gettempdir()}/kaon-faust-{os.getuid()}",
            key_serializer="raw",
            value_serializer="raw",
            topic_allow_declare=False,
            topic_disable_leader=True,
            web_enabled=False,
            monitor=StreamWatch(),
            broker_session_timeout=settings.session,
            broker_heartbeat_interval=settings.heartbeat,
            broker_request_timeout=max(settings.session, 30.0),
            broker_commit_interval=settings.commit_interval,
            # aiokafka fetches nothing, and must not leave the group for it: `Membership` watches who reads.
            broker_max_poll_interval=_NEVER_SECONDS,
            consumer_auto_offset_reset="earliest",
            producer_linger=0,
            producer_request_timeout=30.0,
            stream_wait_empty=True,
            stream_buffer_maxsize=4096,
        )
        app.transport = BatchTransport(
            app.conf.broker_consumer,
            app,
            connection=connection(self._bootstrap, self._security),
            buffered=settings.buffered,
        )
        topic = app.topic(*GROUP_TOPICS, schema=BatchSchema())
        app.agent(topic, name="kaon.incoming", concurrency=1)(self._take)
        app.on_partitions_assigned.connect(self._take_assignment, weak=False)
        return app

    async def _take(self, stream: Any) -> None:
        """Queue events, as Faust's agent, and never raise."""
        events: AsyncIterator[faust.Event] = stream.noack().events()
        async for event in events:
            self._put(event)

    async def _take_assignment(self, app: Any, /, *arguments: Any, signal: Any, **_: Any) -> None:
        self._broker.hear()
        (assigned,) = arguments
        partitions = frozenset((key.topic, key.partition) for key in assigned)
        self._put(_Assignment(partitions, app.consumer_generation_id))

    def _put(self, item: _Item) -> None:
        self._items.append(item)
        self._filled.set()

    async def _stop_app(self) -> None:
        if self._app is None:
            return
        if self._ended is not None and self._ended.done():
            # No task is left to handle the records that were read: they are neither awaited nor acknowledged.
            self._app.conf.stream_wait_empty = False
        stopping = asyncio.ensure_future(self._app.stop())
        try:
            await asyncio.wait_for(asyncio.shield(stopping), self._settings.stop)
        except TimeoutError:
            log.warning("consumer did not leave its group in time; abandoned")
            self._app.consumer.stop_reading()
            # Faust's tasks ignore cancels while they wait for acknowledgements: then the process would never end.
            self._app.consumer._unacked_messages.clear()
            stopping.cancel()
            thread = self._app.consumer._thread._thread
            if thread is not None:
                thread.abandon()

    async def _watch_app(self) -> None:
        # Every way in which Faust gives up ends here.
        await asyncio.wait(
            [
                asyncio.ensure_future(self._app._crashed.wait()),
                asyncio.ensure_future(self._app._stopped.wait()),
            ],
            return_when=asyncio.FIRST_COMPLETED,
        )
        if not self._stopping:
            reason = self._app._crash_reason
            raise Unavailable(f"the Kafka consumer failed: {reason!r}") from reason

    # --- delivery ------------------------------------------------------------------------------------------------

    async def _drain(self, handler: Handler) -> None:
        while True:
            await self._filled.wait()
            self._filled.clear()
            items, self._items = self._items, deque()
            batch: list[faust.Event] = []
            for item in items:
                if isinstance(item, _Assignment):
                    await self._deliver(handler, batch)
                    batch = []
                    await self._assign(handler, item)
                else:
                    batch.append(item)
            await self._deliver(handler, batch)

    async def _deliver(self, handler: Handler, events: list[faust.Event]) -> None:
        """Deliver batches to the handler as one, and acknowledge them when they have been applied."""
        records: list[Incoming] = []
        for event in events:
            batch: Any = event.value
            # What is not ours is not acknowledged: its owner reads it.
            batch[:] = [each for each in batch if (each.topic, each.partition) in self._owned]
            records += batch
        if not records:
            return
        self._broker.hear()
        for record in records:
            self._check_offset(record)
        await handler.on_batch(records)
        for event in events:
            event.ack()

    def _check_offset(self, record: Incoming) -> None:
        key = (record.topic, record.partition)
        expected = self._expected.get(key, record.offset)
        if record.offset > expected:
            raise OffsetGap(
                f"{record.topic}/{record.partition} went from offset {expected - 1} to {record.offset}: records are missing"
            )
        self._expected[key] = record.offset + 1

    async def _assign(self, handler: Handler, assignment: _Assignment) -> None:
        """Report the changes of a rebalance to the handler.

        When another rebalance took place without this member, another member may have owned everything
        meanwhile: then all partitions are lost and gained.
        """
        check_assignment(assignment.partitions)
        kept = self._owned & assignment.partitions
        if assignment.generation != self._generation + 1:
            kept = frozenset()
        self._generation = assignment.generation
        lost, self._owned = self._owned - kept, kept
        for key in lost:
            self._expected.pop(key, None)
        for topic, numbers in by_topic(lost):
            await handler.on_revoked(topic, numbers)
        for topic, numbers in by_topic(assignment.partitions - kept):
            await handler.on_assigned(topic, numbers)
        self._owned = assignment.partitions
        log.info(
            "partitions assigned",
            partitions=len(assignment.partitions),
            generation=assignment.generation,
        )

    # --- contact -------------------------------------------------------------------------------------------------

    def _check_topics(self) -> None:
        counts = {topic: self._producing.partitions(topic) for topic in GROUP_TOPICS}
        missing = [topic for topic, count in counts.items() if count == 0]
        if missing:
            raise Unavailable(
                f"these topics do not exist at {self._bootstrap}: {', '.join(missing)}; create them first"
            )
        check_counts(counts)
        for topic, count in counts.items():
            if count != self._catalogue.partitions_of(topic):
                raise Unavailable(
                    f"topic {topic} has {count} partitions at {self._bootstrap}, but "
                    f"{self._catalogue.partitions_of(topic)} are configured: make them agree"
                )

    # --- ends ----------------------------------------------------------------------------------------------------

    def _spawn(self, work: Any, name: str) -> None:
        task: asyncio.Task[None] = asyncio.create_task(work, name=f"transport {name}")
        task.add_done_callback(self._on_done)
        self._tasks.append(task)

    def _on_done(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("transport failed", task=task.get_name(), reason=repr(error))
            self._end(error)

    def _end(self, error: BaseException | None) -> None:
        if self._ended is None or self._ended.done():
            return
        if error is None:
            self._ended.set_result(None)
        else:
            self._ended.set_exception(error)
            # An error that no caller asks for must not be reported at garbage collection.
            self._ended.exception()


def _credentials(security: KafkaSecurity) -> Credentials | None:
    match security.protocol:
        case Protocol.SASL_SSL:
            return SASLCredentials(
                mechanism=SCRAM,
                username=security.user,
                password=security.password,
                ssl_context=security.context,
            )
        case Protocol.SSL:
            return SSLCredentials(security.context)
    return None
