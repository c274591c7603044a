"""The transport over Apache Kafka: one consumer with assigned partitions and no group, one idempotent producer.

The consumer lives in one thread of its own, because it is not thread-safe; the producer is. Both reconnect by
themselves after a broker's restart. A producer that failed to deliver is replaced, because an idempotent one
may refuse everything after a gap.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import structlog
from google.protobuf.message import Message
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaError

from kaon_runner.transport.base import Deliver, Done, TransportClosed
from kaon_runner.transport.command_gate import OPEN_GATE, CommandGate
from kaon_runner.transport.decoding import Decoder
from kaon_service.kafka_security import OPEN, KafkaSecurity
from kaon_wire.errors import Unavailable
from kaon_wire.partitioning import partition_of
from kaon_wire.topics import RUNNER_HEARTBEATS, STEP_EVENTS, STEP_LOGS, dead_letters

log = structlog.get_logger(__name__)
_POLL_MS = 500
_RETRY_SECONDS = 0.5
# The client's own default of 30 s would keep a runner disconnected for that long after the broker is back.
_RECONNECT_MS = {"reconnect_backoff_ms": 50, "reconnect_backoff_max_ms": 1000}
_POSITION_MS = 20_000
# How long a broker may be away before sent records are reported as not delivered (and resent by the outbox).
_DELIVERY_MS = 600_000


class KafkaTransport:
    """One runner's connection to Kafka.

    Args:
        bootstrap: "host:port,host:port".
        pool: The pool whose step-ready topic is read.
        connect_seconds: How long `start` tries to reach a broker.
        gate: Drops commands that do not count.
        security: How to connect.
    """

    def __init__(
        self,
        bootstrap: str,
        *,
        pool: str,
        connect_seconds: float = 30.0,
        gate: CommandGate = OPEN_GATE,
        security: KafkaSecurity = OPEN,
    ) -> None:
        self._connect_ms = int(connect_seconds * 1000)
        self._servers = bootstrap.split(",")
        self._security = security
        self._decoder = Decoder(pool, self._set_aside, gate)
        self._written = (STEP_EVENTS, STEP_LOGS, RUNNER_HEARTBEATS)
        self._partitions: dict[str, int] = {}
        self._producer: Any = None
        self._consumer: Any = None
        self._thread: threading.Thread | None = None
        self._closing = threading.Event()
        self._replacing = threading.Lock()
        self._broken = False

    def start(self, incarnation: str, deliver: Deliver) -> None:
        """Connect; see `Transport`."""
        try:
            self._producer = self._new_producer()
            self._consumer = self._new_consumer(incarnation)
        except KafkaError as error:
            raise Unavailable(
                f"Kafka at {','.join(self._servers)} does not answer: {error!r}"
            ) from error
        self._thread = threading.Thread(
            target=self._consume, args=(deliver,), name="kafka-consumer", daemon=True
        )
        self._thread.start()

    def send(self, topic: str, partition: int, message: Message, done: Done) -> None:
        """Send a record; see `Transport`."""
        if self._closing.is_set():
            done(TransportClosed("the runner's transport is closed"))
            return
        if self._broken:
            done(Unavailable("the producer is being replaced"))
            return
        producer = self._producer
        try:
            future = producer.send(topic, value=message.SerializeToString(), partition=partition)
        except Exception as error:
            self._failed(producer, error, done)
            return
        future.add_callback(lambda _: done(None))
        future.add_errback(lambda error: self._failed(producer, error, done))

    def partitions(self, topic: str) -> int:
        """Return the number of partitions; see `Transport`."""
        return self._partitions[topic]

    def close(self, timeout: float = 5.0) -> None:
        """Close the connection; see `Transport`."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join(timeout + _POLL_MS / 1000)
        if self._producer is not None:
            self._producer.close(timeout=timeout)

    def _new_producer(self) -> Any:
        producer = KafkaProducer(
            bootstrap_servers=self._servers,
            acks="all",
            enable_idempotence=True,
            linger_ms=0,
            delivery_timeout_ms=_DELIVERY_MS,
            request_timeout_ms=10_000,
            max_request_size=8 * 1024 * 1024,
            allow_auto_create_topics=False,
            metrics_enabled=False,
            bootstrap_timeout_ms=self._connect_ms,
            **_RECONNECT_MS,
            **self._security.arguments,
        )
        # Sending to a topic without cached metadata would block, so all of it is fetched now.
        for topic in (*self._written, *map(dead_letters, self._decoder.types)):
            self._partitions[topic] = len(_existing(producer.partitions_for(topic), topic))
        return producer

    def _new_consumer(self, incarnation: str) -> Any:
        consumer = KafkaConsumer(
            bootstrap_servers=self._servers,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="latest",
            allow_auto_create_topics=False,
            max_partition_fetch_bytes=8 * 1024 * 1024,
            metrics_enabled=False,
            bootstrap_timeout_ms=self._connect_ms,
            **_RECONNECT_MS,
            **self._security.arguments,
        )
        assigned = []
        for topic in self._decoder.types:
            self._partitions[topic] = len(_existing(consumer.partitions_for_topic(topic), topic))
            assigned.append(
                TopicPartition(topic, partition_of(incarnation, self._partitions[topic]))
            )
        consumer.assign(assigned)
        consumer.seek_to_end(*assigned)
        for partition in assigned:
            if consumer.position(partition, timeout_ms=_POSITION_MS) is None:
                raise Unavailable(
                    f"Kafka does not tell the end of {partition.topic}/{partition.partition}"
                )
        return consumer

    def _consume(self, deliver: Deliver) -> None:
        while not self._closing.is_set():
            try:
                polled = self._consumer.poll(timeout_ms=_POLL_MS)
            except Exception:
                # The client retries retriable errors; no other error may end the thread.
                log.exception("Kafka read failed; retrying")
                self._closing.wait(_RETRY_SECONDS)
                continue
            messages = self._decoded(polled)
            if messages and not self._closing.is_set():
                deliver(messages)
        self._consumer.close(autocommit=False, timeout_ms=1000)

    def _decoded(self, polled: Mapping[Any, list[Any]]) -> list[Message]:
        decoded = (
            self._decoder.decode(record.topic, record.partition, record.offset, record.value or b"")
            for records in polled.values()
            for record in records
        )
        return [message for message in decoded if message is not None]

    def _set_aside(
        self, topic: str, partition: int, value: bytes, headers: Mapping[str, bytes]
    ) -> None:
        """Wait for the acknowledgement: the record must not be passed over before the dead letter is safe."""
        future = self._producer.send(
            topic, value=value, partition=partition, headers=list(headers.items())
        )
        future.get(timeout=_DELIVERY_MS / 1000)

    def _failed(self, producer: Any, error: Exception, done: Done) -> None:
        self._replace_producer(producer, error)
        done(error)

    def _replace_producer(self, failed: Any, reason: Exception) -> None:
        with self._replacing:
            if self._closing.is_set() or self._broken or failed is not self._producer:
                return
            self._broken = True
        log.error("Kafka delivery failed; replacing the producer", reason=repr(reason))
        threading.Thread(target=self._replace, name="kafka-replace", daemon=True).start()

    def _replace(self) -> None:
        old = self._producer
        while not self._closing.is_set():
            try:
                self._producer = self._new_producer()
                break
            except (KafkaError, Unavailable) as error:
                log.warning("new Kafka producer failed; retrying", reason=repr(error))
                self._closing.wait(_RETRY_SECONDS)
        self._broken = False
        old.close(timeout=1.0)


def _existing(partitions: set[int] | None, topic: str) -> set[int]:
    if not partitions:
        raise Unavailable(
            f"Kafka has no topic {topic}: create the topics of the catalogue before a runner starts"
        )
    return partitions
