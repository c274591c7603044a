"""An idempotent producer whose acknowledgements arrive on a thread of its own.

The client sends again whatever a broker has not acknowledged. After an error that it calls fatal it refuses everything,
so it is replaced by a new one. So is one that gets nothing acknowledged although the broker answers: it waits for a producer
id for good when the connection on which it has asked is given up at that moment.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeAlias

import structlog
from confluent_kafka import KafkaError, KafkaException, Message, Producer

from kaon_service.first_records import FirstRecords, Partition
from kaon_service.kafka_security import KafkaSecurity
from kaon_service.stalls import StallWatch
from kaon_wire.errors import Unavailable

log = structlog.get_logger(__name__)
# Called once, from any thread: with None when the record is acknowledged, with the reason when it was not
# delivered.
Done: TypeAlias = Callable[[Exception | None], None]
# How often the thread looks whether it should end; acknowledgements wake it at once.
_POLL_SECONDS = 0.5
# How long records wait without an acknowledgement before another client is tried.
_STALLED_SECONDS = 30.0
# How long that one waits for an answer.
_ANSWER_SECONDS = 5.0
# Seconds between reminders in the log.
_AGAIN_SECONDS = 60.0
_CONNECTION: dict[str, Any] = {
    # The client's own default of 10 s would keep a service disconnected for that long after the broker is back.
    "reconnect.backoff.ms": 50,
    "reconnect.backoff.max.ms": 1000,
    "socket.nagle.disable": True,
    # Its errors arrive by `error_cb`.
    "log_level": 0,
}
_PRODUCER: dict[str, Any] = {
    "acks": "all",
    "enable.idempotence": True,
    "linger.ms": 0,
    "message.max.bytes": 8 * 1024 * 1024,
}

# What is wrong with one record, and not with its partition.
_OF_A_RECORD = frozenset({KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_RECORD})


class Reminder:
    """Logs errors of a connection, each kind once a minute: the client reports every attempt.

    Args:
        clock: Returns monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # When each kind of error was logged last, by its code.
        self._told: dict[int, float] = {}

    def __call__(self, error: KafkaError) -> None:
        """Take an error."""
        now = self._clock()
        if now - self._told.get(error.code(), -_AGAIN_SECONDS) >= _AGAIN_SECONDS:
            self._told[error.code()] = now
            log.warning("Kafka connection", reason=str(error))


def connection(bootstrap: str, security: KafkaSecurity) -> dict[str, Any]:
    """Return the settings of any client of librdkafka that connects to a broker."""
    return {
        "bootstrap.servers": bootstrap,
        "error_cb": Reminder(),
        **_CONNECTION,
        **security.settings,
    }


@dataclass(frozen=True, kw_only=True)
class _Client:
    """One client of librdkafka, until it fails."""

    producer: Producer
    first: FirstRecords = field(default_factory=FirstRecords)


class KafkaProducer:
    """Sends records and reports what became of each.

    Args:
        connection: How to connect; see `connection`.
        delivery_seconds: How long a broker may be away before sent records are reported as not delivered.
        stalled_seconds: After how long without an acknowledgement the client is replaced, if the broker answers another one.
    """

    def __init__(
        self,
        connection: Mapping[str, Any],
        *,
        delivery_seconds: float,
        stalled_seconds: float = _STALLED_SECONDS,
    ) -> None:
        self._settings = {
            **connection,
            **_PRODUCER,
            "message.timeout.ms": round(1000 * delivery_seconds),
        }
        self._replacing = threading.Lock()
        self._closed = threading.Event()
        self._stalls = StallWatch(stalled_seconds)
        self._acknowledged = 0
        self._client = self._new_client()
        self._thread = threading.Thread(target=self._hear, name="kafka-producer", daemon=True)
        self._thread.start()

    def partitions(self, seconds: float) -> dict[str, int]:
        """Return the number of partitions of each topic that the broker tells of.

        Raises:
            KafkaException: No broker answers within `seconds`.
        """
        found = self._client.producer.list_topics(timeout=seconds).topics
        return {name: len(topic.partitions) for name, topic in found.items()}

    def send(
        self,
        topic: str,
        partition: int,
        value: bytes,
        done: Done,
        headers: Iterable[tuple[str, bytes]] = (),
    ) -> None:
        """Send a record; `done` hears of its acknowledgement, or why there is none."""
        if self._closed.is_set():
            done(Unavailable("the Kafka producer is closed"))
            return
        client = self._client
        give = partial(self._produce, client, (topic, partition), value, tuple(headers), done)
        client.first.send((topic, partition), give, done)

    def close(self, seconds: float) -> None:
        """Wait for acknowledgements for at most `seconds`; whatever has none then is reported as not delivered."""
        producer = self._client.producer
        if producer.flush(seconds):
            producer.purge()
            producer.flush(seconds)
        self._closed.set()
        self._thread.join()

    def _hear(self) -> None:
        while not self._closed.is_set():
            client = self._client
            client.producer.poll(_POLL_SECONDS)
            if self._stalls.stalled(waiting=len(client.producer), acknowledged=self._acknowledged):
                self._try_another(client)

    def _try_another(self, stalled: _Client) -> None:
        other = self._new_client()
        try:
            other.producer.list_topics(timeout=_ANSWER_SECONDS)
        except KafkaException:
            # The broker is away: the client goes on when it is back.
            return
        self._replace(
            stalled, lambda: other, "nothing was acknowledged although the broker answers"
        )

    def _new_client(self) -> _Client:
        return _Client(producer=Producer(self._settings))

    def _produce(
        self,
        client: _Client,
        where: Partition,
        value: bytes,
        headers: tuple[tuple[str, bytes], ...],
        done: Done,
    ) -> None:
        try:
            client.producer.produce(
                where[0],
                value,
                partition=where[1],
                headers=list(headers),
                on_delivery=partial(self._settled, client, where, done),
            )
        except BufferError as error:
            # Too much waits for the broker.
            client.first.failed(where, error, alone=False)
            done(error)
        except KafkaException as error:
            self._failed(client, error.args[0], where, done)

    def _settled(
        self, client: _Client, where: Partition, done: Done, error: KafkaError | None, _: Message
    ) -> None:
        if error is None:
            self._acknowledged += 1
            client.first.acknowledged(where)
            done(None)
        else:
            self._failed(client, error, where, done)

    def _failed(self, client: _Client, error: KafkaError, where: Partition, done: Done) -> None:
        if error.fatal() or error.code() == KafkaError._FATAL:
            self._replace(client, self._new_client, str(error))
        reason = KafkaException(error)
        client.first.failed(where, reason, alone=error.code() in _OF_A_RECORD)
        done(reason)

    def _replace(self, failed: _Client, other: Callable[[], _Client], reason: str) -> None:
        with self._replacing:
            if failed is not self._client or self._closed.is_set():
                return
            log.error("Kafka delivery failed; replacing the producer", reason=reason)
            self._client = other()
        # What still waits in it fails, and is sent again by the new one.
        failed.producer.purge()
        failed.producer.poll(0)
