"""What every transport guarantees, tried on the in-memory broker and on a real Kafka."""

from __future__ import annotations

import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from google.protobuf.message import Message
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from kaon_runner.transport.base import Transport
from kaon_runner.transport.kafka import KafkaTransport
from kaon_runner.transport.memory import MemoryTransport
from kaon_wire.errors import Unavailable
from kaon_wire.memory import MemoryBroker
from kaon_wire.partitioning import partition_of
from kaon_wire.topics import RUNNER_COMMANDS, STEP_EVENTS, Catalogue, dead_letters, step_ready
from kaonapi.runner.v1 import runner_pb2
from kaonapi.step.v1 import step_pb2

READY = step_ready("default")


@dataclass(kw_only=True)
class Backend:
    """One kind of queue: how to make a transport on it, and how the other side writes and reads."""

    transport: Callable[[], Transport]
    produce: Callable[[str, int, bytes], None]
    # Everything in a partition from the beginning: (value, headers).
    read: Callable[[str, int], list[tuple[bytes, dict[str, bytes]]]]


@dataclass
class Inbox:
    """Collects what is delivered."""

    messages: list[Message] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def deliver(self, messages: Sequence[Message]) -> None:
        with self.changed:
            self.messages.extend(messages)
            self.changed.notify_all()

    def wait(self, count: int, seconds: float = 15.0) -> list[Message]:
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.messages) >= count, seconds), (
                self.messages
            )
            return list(self.messages)


def memory_backend() -> Backend:
    broker = MemoryBroker(Catalogue().topics())

    def read(topic: str, partition: int) -> list[tuple[bytes, dict[str, bytes]]]:
        reader = broker.reader(lambda: None)
        reader.assign(topic, partition, 0)
        return [(record.value, dict(record.headers)) for record in reader.poll()]

    return Backend(
        transport=lambda: MemoryTransport(broker, pool="default"),
        produce=lambda topic, partition, value: broker.produce(topic, partition, value) and None,
        read=read,
    )


def kafka_backend(address: str, producer: Any) -> Backend:
    def read(topic: str, partition: int) -> list[tuple[bytes, dict[str, bytes]]]:
        consumer = KafkaConsumer(bootstrap_servers=address, group_id=None, consumer_timeout_ms=2000)
        where = TopicPartition(topic, partition)
        consumer.assign([where])
        consumer.seek_to_beginning(where)
        found = [(record.value, dict(record.headers)) for record in consumer]
        consumer.close()
        return found

    return Backend(
        transport=lambda: KafkaTransport(address, pool="default"),
        produce=lambda topic, partition, value: (
            producer.send(topic, value=value, partition=partition).get(10) and None
        ),
        read=read,
    )


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.real)])
def backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    if request.param == "memory":
        yield memory_backend()
        return
    address = request.getfixturevalue("kafka").address
    producer = KafkaProducer(bootstrap_servers=address, acks="all")
    yield kafka_backend(address, producer)
    producer.close()


@pytest.fixture
def incarnation() -> str:
    return f"runner-{uuid.uuid4().hex}"


@pytest.fixture
def transport(backend: Backend) -> Iterator[Transport]:
    transport = backend.transport()
    yield transport
    transport.close()


def place(topic: str, incarnation: str) -> int:
    return partition_of(incarnation, Catalogue().partitions_of(topic))


def release(incarnation: str, path: str) -> step_pb2.StepReleases:
    request = step_pb2.StepRequest(
        key=step_pb2.StepKey(run_id="r", path=path, attempt=1, generation=1)
    )
    return step_pb2.StepReleases(pool="default", incarnation=incarnation, releases=[request])


def send_release(backend: Backend, incarnation: str, path: str) -> None:
    backend.produce(
        READY, place(READY, incarnation), release(incarnation, path).SerializeToString()
    )


def test_a_record_produced_after_start_is_delivered_in_order(
    backend: Backend, transport: Transport, incarnation: str
) -> None:
    inbox = Inbox()
    transport.start(incarnation, inbox.deliver)
    for number in range(20):
        send_release(backend, incarnation, f"step-{number}")
    paths = [message.releases[0].key.path for message in inbox.wait(20)]  # type: ignore[attr-defined]
    assert paths == [f"step-{number}" for number in range(20)]


def test_a_record_produced_before_start_is_not_delivered(
    backend: Backend, transport: Transport, incarnation: str
) -> None:
    send_release(backend, incarnation, "old")
    inbox = Inbox()
    transport.start(incarnation, inbox.deliver)
    send_release(backend, incarnation, "new")
    assert [m.releases[0].key.path for m in inbox.wait(1)] == ["new"]  # type: ignore[attr-defined]


def test_commands_are_delivered_too(
    backend: Backend, transport: Transport, incarnation: str
) -> None:
    inbox = Inbox()
    transport.start(incarnation, inbox.deliver)
    drain = runner_pb2.RunnerCommand(drain=runner_pb2.DrainRunner(grace_ms=5))
    record = runner_pb2.RunnerCommands(incarnation=incarnation, commands=[drain])
    backend.produce(
        RUNNER_COMMANDS, place(RUNNER_COMMANDS, incarnation), record.SerializeToString()
    )
    assert inbox.wait(1) == [record]


def test_an_undecodable_record_is_set_aside_with_its_reason_and_the_next_one_is_delivered(
    backend: Backend, transport: Transport, incarnation: str
) -> None:
    inbox = Inbox()
    transport.start(incarnation, inbox.deliver)
    rubbish = b"\xff\xff" + incarnation.encode()
    backend.produce(READY, place(READY, incarnation), rubbish)
    send_release(backend, incarnation, "good")
    assert [m.releases[0].key.path for m in inbox.wait(1)] == ["good"]  # type: ignore[attr-defined]
    letters = dict(backend.read(dead_letters(READY), 0))
    assert b"StepReleases" in letters[rubbish]["reason"]
    assert letters[rubbish]["source"].startswith(READY.encode())


def test_what_is_sent_arrives_and_is_acknowledged(
    backend: Backend, transport: Transport, incarnation: str
) -> None:
    transport.start(incarnation, Inbox().deliver)
    told: list[Exception | None] = []
    acknowledged = threading.Event()

    def done(error: Exception | None) -> None:
        told.append(error)
        acknowledged.set()

    record = step_pb2.StepEvents(runner_id="a", incarnation=incarnation, partition=3)
    transport.send(STEP_EVENTS, 3, record, done)
    assert acknowledged.wait(15)
    assert told == [None]
    assert record.SerializeToString() in [value for value, _ in backend.read(STEP_EVENTS, 3)]


def test_sending_after_close_is_told_as_a_failure(backend: Backend, incarnation: str) -> None:
    transport = backend.transport()
    transport.start(incarnation, Inbox().deliver)
    transport.close()
    told: list[Exception | None] = []
    transport.send(STEP_EVENTS, 0, step_pb2.StepEvents(), told.append)
    assert isinstance(told[0], Unavailable)


def test_nothing_is_delivered_after_close(backend: Backend, incarnation: str) -> None:
    transport = backend.transport()
    inbox = Inbox()
    transport.start(incarnation, inbox.deliver)
    transport.close()
    send_release(backend, incarnation, "late")
    assert inbox.messages == []


def test_the_number_of_partitions_is_the_catalogues(transport: Transport, incarnation: str) -> None:
    transport.start(incarnation, Inbox().deliver)
    assert transport.partitions(STEP_EVENTS) == Catalogue().partitions_of(STEP_EVENTS)


def test_a_runner_that_finds_no_broker_says_where_it_looked() -> None:
    # In a process of its own: the client leaves sockets behind when it finds no broker.
    code = (
        "from kaon_runner.transport.kafka import KafkaTransport\n"
        "KafkaTransport('127.0.0.1:1', pool='default', connect_seconds=0.5).start('nobody', print)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert "Unavailable: Kafka at 127.0.0.1:1 does not answer" in done.stderr
