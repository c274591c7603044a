"""The transport over Apache Kafka: one consumer with assigned partitions, outside of any group, and one producer.

Both are clients of librdkafka, which does its work on threads of its own, without the interpreter's lock, and
reconnects by itself after a broker's restart. The consumer is used by one thread only.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from typing import Any

import structlog
from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka import Message as Record
from google.protobuf.message import Message

from kaon_runner.transport.base import Deliver, Done, Outgoing, TransportClosed
from kaon_runner.transport.command_gate import OPEN_GATE, CommandGate
from kaon_runner.transport.decoding import Decoder
from kaon_service.kafka_producer import KafkaProducer, connection
from kaon_service.kafka_security import OPEN, KafkaSecurity
from kaon_wire.errors import Unavailable
from kaon_wire.partitioning import partition_of
from kaon_wire.topic_rights import RUNNERS_GROUP
from kaon_wire.topics import RUNNER_HEARTBEATS, STEP_EVENTS, STEP_LOGS, dead_letters

log = structlog.get_logger(__name__)
_POLL_SECONDS = 0.5
_RETRY_SECONDS = 0.1
_POSITION_SECONDS = 20.0
# Records of one delivery.
_TOGETHER = 500
# How long a broker may be away before sent records are reported as not delivered (and resent by the outbox).
_DELIVERY_SECONDS = 600.0
_CONSUMER: dict[str, Any] = {
    "group.id": RUNNERS_GROUP,
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "auto.offset.reset": "latest",
    "allow.auto.create.topics": False,
    "check.crcs": True,
    "max.partition.fetch.bytes": 8 * 1024 * 1024,
}


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
        self._connect_seconds = connect_seconds
        self._bootstrap = bootstrap
        self._connection = connection(bootstrap, security)
        self._decoder = Decoder(pool, self._set_aside, gate)
        self._written = (STEP_EVENTS, STEP_LOGS, RUNNER_HEARTBEATS)
        self._partitions: dict[str, int] = {}
        self._producer: KafkaProducer | None = None
        self._consumer: Any = None
        self._thread: threading.Thread | None = None
        self._closing = threading.Event()

    def start(self, incarnation: str, deliver: Deliver) -> None:
        """Connect; see `Transport`."""
        self._producer = KafkaProducer(self._connection, delivery_seconds=_DELIVERY_SECONDS)
        try:
            self._partitions = self._existing(self._producer)
            self._consumer = self._new_consumer(incarnation)
        except KafkaException as error:
            raise Unavailable(
                f"Kafka at {self._bootstrap} does not answer: {error.args[0]}"
            ) from error
        self._thread = threading.Thread(
            target=self._consume, args=(deliver,), name="kafka-consumer", daemon=True
        )
        self._thread.start()

    def send(self, topic: str, partition: int, message: Outgoing, done: Done) -> None:
        """Send a record; see `Transport`."""
        if self._producer is None or self._closing.is_set():
            done(TransportClosed("the runner's transport is closed"))
        else:
            self._producer.send(topic, partition, message.SerializeToString(), done)

    def partitions(self, topic: str) -> int:
        """Return the number of partitions; see `Transport`."""
        return self._partitions[topic]

    def close(self, timeout: float = 5.0) -> None:
        """Close the connection; see `Transport`."""
        self._closing.set()
        if self._thread is not None:
            self._thread.join(timeout + _POLL_SECONDS)
        if self._producer is not None:
            self._producer.close(timeout)

    def _existing(self, producer: KafkaProducer) -> dict[str, int]:
        found = producer.partitions(self._connect_seconds)
        read = self._decoder.types
        for topic in (*read, *self._written, *map(dead_letters, read)):
            if not found.get(topic):
                raise Unavailable(
                    f"Kafka has no topic {topic}: create the topics of the catalogue before a runner starts"
                )
        return found

    def _new_consumer(self, incarnation: str) -> Consumer:
        consumer = Consumer({**self._connection, **_CONSUMER})
        assigned = []
        for topic in self._decoder.types:
            partition = TopicPartition(topic, partition_of(incarnation, self._partitions[topic]))
            partition.offset = self._end_of(consumer, partition)
            assigned.append(partition)
        consumer.assign(assigned)
        return consumer

    def _end_of(self, consumer: Consumer, partition: TopicPartition) -> int:
        """Return the offset of the next record: whatever is produced from now on is read."""
        deadline = time.monotonic() + _POSITION_SECONDS
        while True:
            try:
                left = max(deadline - time.monotonic(), _RETRY_SECONDS)
                return int(consumer.get_watermark_offsets(partition, left)[1])
            except KafkaException:
                # The partition may have no leader yet, or another one.
                if time.monotonic() > deadline:
                    raise
                self._closing.wait(_RETRY_SECONDS)

    def _consume(self, deliver: Deliver) -> None:
        consumer = self._consumer
        while not self._closing.is_set():
            first = consumer.poll(_POLL_SECONDS)
            if first is None:
                continue
            records = [first, *consumer.consume(_TOGETHER, timeout=0)]
            messages = self._decoded(records)
            if messages and not self._closing.is_set():
                deliver(messages)
        consumer.close()

    def _decoded(self, records: Sequence[Record]) -> list[Message]:
        found = []
        for record in records:
            if (error := record.error()) is not None:
                # The client goes on by itself.
                log.warning("Kafka read failed; retrying", reason=str(error))
                continue
            message = self._decoder.decode(
                record.topic() or "",
                record.partition() or 0,
                record.offset() or 0,
                record.value() or b"",
            )
            if message is not None:
                found.append(message)
        return found

    def _set_aside(
        self, topic: str, partition: int, value: bytes, headers: Mapping[str, bytes]
    ) -> None:
        """Return when the dead letter is acknowledged: before, its record must not be passed over."""
        assert self._producer is not None
        while not self._closing.is_set():
            answer: Future[Exception | None] = Future()
            self._producer.send(topic, partition, value, answer.set_result, headers.items())
            if (error := answer.result()) is None:
                return
            log.warning("dead letter not delivered; retrying", reason=str(error))
            self._closing.wait(_RETRY_SECONDS)
