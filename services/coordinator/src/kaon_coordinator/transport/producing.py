"""Sends of the coordinator, with every acknowledgement awaited.

Faust's producer only logs a failed send.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import structlog
from confluent_kafka import KafkaError, KafkaException

from kaon_coordinator.transport.base import Send, TopicPartition
from kaon_coordinator.transport.broker_watch import BrokerWatch
from kaon_service.kafka_producer import KafkaProducer, connection
from kaon_service.kafka_security import KafkaSecurity
from kaon_wire.errors import Unavailable

log = structlog.get_logger(__name__)

_PAUSE_SECONDS = 0.25
# Errors after which the client gives a record up, and which may pass all the same: a broker that cannot write, such as one
# whose disk is full, tells no reason.
_PASSING = frozenset(
    {
        KafkaError.UNKNOWN,
        KafkaError.KAFKA_STORAGE_ERROR,
        KafkaError._FATAL,
        # After the whole patience: no more attempt is made.
        KafkaError._MSG_TIMED_OUT,
        KafkaError._PURGE_QUEUE,
        KafkaError._PURGE_INFLIGHT,
    }
)
# How long `start` waits for a broker.
_CONNECT_SECONDS = 5.0
_CLOSE_SECONDS = 3.0


@dataclass(frozen=True, kw_only=True)
class Outgoing:
    """One record, with headers."""

    topic: str
    partition: int
    value: bytes
    headers: tuple[tuple[str, bytes], ...] = ()


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
        self._producer: KafkaProducer | None = None
        self._partitions: dict[str, int] = {}

    async def start(self) -> None:
        """Connect to the broker.

        Raises:
            Unavailable: No broker answers.
        """
        producer = KafkaProducer(
            connection(self._bootstrap, self._security), delivery_seconds=self._patience
        )
        try:
            self._partitions = await asyncio.to_thread(producer.partitions, _CONNECT_SECONDS)
        except KafkaException as error:
            await asyncio.to_thread(producer.close, 0.0)
            raise Unavailable(f"no broker answers at {self._bootstrap}: {error.args[0]}") from error
        self._producer = producer

    async def stop(self) -> None:
        """Disconnect, within a bounded time."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await asyncio.to_thread(producer.close, _CLOSE_SECONDS)

    def partitions(self, topic: str) -> int:
        """Return the number of partitions that a topic had at the start; 0 when it did not exist."""
        return self._partitions.get(topic, 0)

    async def send(self, records: Sequence[Outgoing | Send]) -> None:
        """Return when the broker has acknowledged all records; see `Transport.send`.

        The client sends again what a broker has not acknowledged. A record that it gives up is sent again together with all that
        follow it in its partition: duplicated, but in order.
        """
        with self._watch.waiting("acknowledged a send"):
            await self._send(records)

    async def _send(self, pending: Sequence[Outgoing | Send]) -> None:
        deadline = time.monotonic() + self._patience
        while pending:
            answers = await self._answers(pending)
            if None in answers:
                self._watch.hear()
            errors = [error for error in answers if error is not None]
            if not errors:
                return
            for record, error in zip(pending, answers, strict=True):
                _judge(record, error)
            pending = _lost(pending, answers)
            if time.monotonic() >= deadline:
                raise Unavailable(
                    f"{len(pending)} records could not be sent in {self._patience:.0f} s: {errors[0]}"
                ) from errors[0]
            log.warning("Kafka send failed; retrying", records=len(pending), reason=str(errors[0]))
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _answers(self, records: Sequence[Outgoing | Send]) -> list[Exception | None]:
        """Return what became of each record."""
        if (producer := self._producer) is None:
            raise Unavailable("the transport is not started, or was stopped")
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[None] = loop.create_future()
        answers: list[Exception | None] = [None] * len(records)
        waiting = _Countdown(len(records), lambda: loop.call_soon_threadsafe(_settle, answered))
        for number, record in enumerate(records):
            headers = record.headers if isinstance(record, Outgoing) else ()

            def done(error: Exception | None, number: int = number) -> None:
                answers[number] = error
                waiting.count()

            producer.send(record.topic, record.partition, record.value, done, headers)
        await answered
        return answers


class _Countdown:
    """Calls `reached` once it was counted down by all threads together."""

    def __init__(self, number: int, reached: Callable[[], object]) -> None:
        self._left = number
        self._reached = reached
        self._lock = threading.Lock()

    def count(self) -> None:
        with self._lock:
            self._left -= 1
            left = self._left
        if left == 0:
            self._reached()


def _settle(answered: asyncio.Future[None]) -> None:
    # Whoever waited may be cancelled.
    if not answered.done():
        answered.set_result(None)


def _lost(
    records: Sequence[Outgoing | Send], answers: Sequence[Exception | None]
) -> list[Outgoing | Send]:
    """Return the records without acknowledgement, and those that follow them in their partitions."""
    broken: set[TopicPartition] = set()
    found = []
    for record, error in zip(records, answers, strict=True):
        key = (record.topic, record.partition)
        if error is not None:
            broken.add(key)
        if key in broken:
            found.append(record)
    return found


def _judge(record: Outgoing | Send, error: Exception | None) -> None:
    """Raise when a retry cannot help."""
    if error is None:
        return
    reason = error.args[0] if isinstance(error, KafkaException) else None
    if reason is not None and (reason.fatal() or reason.code() in _PASSING):
        return
    if reason is not None and reason.code() == KafkaError._UNKNOWN_PARTITION:
        raise Unavailable(f"topic {record.topic!r} has no partition {record.partition}") from error
    raise Unavailable(
        f"the broker refused a record of {len(record.value)} bytes for {record.topic}/{record.partition}: {reason or error}"
    ) from error
