"""A producer of our own, with every acknowledgement awaited.

Faust's producer only logs a failed send.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

import structlog
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from kaon_coordinator.transport.base import Send, TopicPartition
from kaon_coordinator.transport.broker_watch import BrokerWatch
from kaon_coordinator.transport.transient import may_pass
from kaon_service.kafka_security import KafkaSecurity
from kaon_wire.errors import Unavailable

log = structlog.get_logger(__name__)

_PAUSE_SECONDS = 0.25
_CLOSE_SECONDS = 3.0


@dataclass(frozen=True, kw_only=True)
class Outgoing:
    """One record, with headers."""

    topic: str
    partition: int
    value: bytes
    headers: tuple[tuple[str, bytes], ...] = ()


@dataclass(kw_only=True)
class _Lost:
    """The records to send again, and the reason."""

    records: list[Outgoing] = field(default_factory=list)
    error: KafkaError | None = None


class Producing:
    """An idempotent producer that waits through outages of the broker.

    Args:
        bootstrap: host:port of a broker, or several with commas.
        security: How to connect to it.
        patience: The seconds after which an undelivered send fails.
        watch: Is told what the broker acknowledges, and what it does not.
    """

    def __init__(
        self,
        *,
        bootstrap: str,
        security: KafkaSecurity,
        patience: float,
        watch: BrokerWatch,
    ) -> None:
        self._bootstrap = bootstrap
        self._security = security
        self._patience = patience
        self._watch = watch
        self._producer: AIOKafkaProducer | None = None

    async def start(self) -> None:
        """Connect to the broker.

        Raises:
            Unavailable: No broker answers.
        """
        producer = AIOKafkaProducer(
            bootstrap_servers=self._bootstrap,
            acks="all",
            enable_idempotence=True,
            linger_ms=0,
            request_timeout_ms=30_000,
            metadata_max_age_ms=30_000,
            retry_backoff_ms=100,
            max_request_size=8 * 1024 * 1024,
            **self._security.arguments,
        )
        try:
            await producer.start()
        except KafkaError as error:
            await producer.stop()
            raise Unavailable(f"no broker answers at {self._bootstrap}: {error!r}") from error
        self._producer = producer

    async def stop(self) -> None:
        """Disconnect, within a bounded time."""
        producer, self._producer = self._producer, None
        if producer is None:
            return
        try:
            await asyncio.wait_for(producer.stop(), _CLOSE_SECONDS)
        except (TimeoutError, KafkaError) as error:
            log.warning("producer did not close in time", reason=repr(error))

    async def partitions(self, topic: str) -> int:
        """Return the number of partitions of a topic; 0 when it does not exist."""
        try:
            return len(await self._connected().partitions_for(topic))
        except KafkaError:
            return 0

    async def send(self, records: Sequence[Outgoing | Send]) -> None:
        """Return when the broker has acknowledged all records; see `Transport.send`.

        A failed record is sent again together with all that follow it in its partition: duplicated, but in
        order.
        """
        with self._watch.waiting("acknowledged a send"):
            await self._send([_outgoing(record) for record in records])

    async def _send(self, pending: list[Outgoing]) -> None:
        deadline = time.monotonic() + self._patience
        while pending:
            lost = await self._try(pending)
            pending = lost.records
            if lost.error is None:
                continue
            if time.monotonic() > deadline:
                raise Unavailable(
                    f"{len(pending)} records could not be sent in {self._patience:.0f} s: {lost.error!r}"
                ) from lost.error
            log.warning(
                "Kafka send failed; retrying", records=len(pending), reason=repr(lost.error)
            )
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _try(self, records: list[Outgoing]) -> _Lost:
        producer = self._connected()
        sent: list[tuple[Outgoing, asyncio.Future[object]]] = []
        lost = _Lost()
        for position, record in enumerate(records):
            try:
                future = await producer.send(
                    record.topic,
                    record.value,
                    partition=record.partition,
                    headers=list(record.headers),
                )
            except KafkaError as error:
                _judge(record, error)
                lost.error = error
                lost.records = records[position:]
                break
            except AssertionError as error:
                raise Unavailable(
                    f"topic {record.topic!r} has no partition {record.partition}: {error}"
                ) from error
            sent.append((record, future))
        answered = await asyncio.gather(*(future for _, future in sent), return_exceptions=True)
        return self._settle(sent, answered, lost)

    def _settle(
        self,
        sent: list[tuple[Outgoing, asyncio.Future[object]]],
        answered: list[object],
        lost: _Lost,
    ) -> _Lost:
        """Add unacknowledged records, and those that follow them in their partitions, to the lost ones."""
        again: dict[TopicPartition, list[Outgoing]] = defaultdict(list)
        for (record, _), answer in zip(sent, answered, strict=True):
            key = (record.topic, record.partition)
            if isinstance(answer, KafkaError):
                _judge(record, answer)
                lost.error = answer
                again[key].append(record)
            elif isinstance(answer, BaseException):
                raise answer
            else:
                self._watch.hear()
                if key in again:
                    again[key].append(record)
        lost.records = [record for records in again.values() for record in records] + lost.records
        return lost

    def _connected(self) -> AIOKafkaProducer:
        if self._producer is None:
            raise Unavailable("the transport is not started, or was stopped")
        return self._producer


def _outgoing(record: Outgoing | Send) -> Outgoing:
    if isinstance(record, Outgoing):
        return record
    return Outgoing(topic=record.topic, partition=record.partition, value=record.value)


def _judge(record: Outgoing, error: KafkaError) -> None:
    """Raise when a retry cannot help."""
    if not may_pass(error):
        raise Unavailable(
            f"the broker refused a record of {len(record.value)} bytes for {record.topic}/{record.partition}: {error!r}"
        ) from error
