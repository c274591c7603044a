"""What cannot be avoided: the pieces of a step's way, each measured alone on this machine.

python -m benchmarks.floor
"""

from __future__ import annotations

import asyncio
import os
import socket
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from kaon_local.kafka import Kafka, KafkaConfig
from kaon_wire.topics import STEP_EVENTS, Catalogue
from kaonapi.step.v1 import step_pb2

_TIMES = 300


def main() -> None:
    """Entry point."""
    with tempfile.TemporaryDirectory() as directory:
        state = Path(directory)
        with _broker(state) as address:
            trip, awaited = asyncio.run(_through_kafka(address))
        for name, value in {
            "a record through Kafka, send to receipt": trip,
            "a record acknowledged by Kafka (acks=all)": awaited,
            "a SQLite transaction of 8 rows, synchronous": _commit(state / "full.db", "FULL"),
            "a SQLite transaction of 8 rows, relaxed": _commit(state / "normal.db", "NORMAL"),
            "a call on another thread and back (asyncio)": asyncio.run(_on_thread()),
            "a packet to a child process and back": _child(),
            "decoding a record of 2 events": _decode(),
            "encoding a record of 2 events": _encode(),
        }.items():
            print(f"{name:<46} {value:8.1f} us")


def _median(work: Callable[[], None]) -> float:
    times = []
    for _ in range(_TIMES):
        began = time.perf_counter()
        work()
        times.append(1e6 * (time.perf_counter() - began))
    return statistics.median(times)


@contextmanager
def _broker(state: Path) -> Iterator[str]:
    kafka = Kafka(KafkaConfig(state=state / "kafka", topics=Catalogue().topics()))
    kafka.start()
    try:
        yield kafka.address
    finally:
        kafka.stop()


async def _through_kafka(address: str) -> tuple[float, float]:
    producer = AIOKafkaProducer(bootstrap_servers=address, acks="all", enable_idempotence=True)
    consumer = AIOKafkaConsumer(bootstrap_servers=address)
    await producer.start()
    await consumer.start()
    consumer.assign([TopicPartition(STEP_EVENTS, 0)])
    await consumer.seek_to_end()
    value, trips, awaited = _record().SerializeToString(), [], []
    for _ in range(_TIMES):
        began = time.perf_counter()
        sent = await producer.send(STEP_EVENTS, value, partition=0)
        await consumer.getone()
        trips.append(1e6 * (time.perf_counter() - began))
        await sent
        began = time.perf_counter()
        await producer.send_and_wait(STEP_EVENTS, value, partition=0)
        awaited.append(1e6 * (time.perf_counter() - began))
        await consumer.getone()
    await consumer.stop()
    await producer.stop()
    return statistics.median(trips), statistics.median(awaited)


def _commit(path: Path, synchronous: str) -> float:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute(f"PRAGMA synchronous={synchronous}")
    connection.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, data BLOB)")
    rows = [(b"x" * 200,)] * 8

    def work() -> None:
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany("INSERT INTO t (data) VALUES (?)", rows)
        connection.execute("COMMIT")

    try:
        return _median(work)
    finally:
        connection.close()


async def _on_thread() -> float:
    loop, times = asyncio.get_running_loop(), []
    for _ in range(_TIMES):
        began = time.perf_counter()
        await loop.run_in_executor(None, int)
        times.append(1e6 * (time.perf_counter() - began))
    return statistics.median(times)


def _child() -> float:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pid = os.fork()
    if pid == 0:
        ours.close()
        while data := theirs.recv(4096):
            theirs.send(data)
        os._exit(0)
    theirs.close()

    def work() -> None:
        ours.send(b"x" * 1000)
        ours.recv(4096)

    try:
        return _median(work)
    finally:
        ours.close()
        os.waitpid(pid, 0)


def _record() -> step_pb2.StepEvents:
    key = step_pb2.StepKey(
        run_id="01hf7yat00bane61jqnkq4r7f8", path="loop[12]/work", attempt=1, generation=1
    )
    record = step_pb2.StepEvents(
        runner_id="runner-1", incarnation="runner-1-0123456789abcdef", partition=3
    )
    record.events.add(key=key, time_us=1, started=step_pb2.StepStarted())
    record.events.add(
        key=key, time_us=2, succeeded=step_pb2.StepSucceeded(outputs_json={"out": "1"})
    )
    return record


def _decode() -> float:
    data = _record().SerializeToString()

    def work() -> None:
        step_pb2.StepEvents.FromString(data)

    return _median(work)


def _encode() -> float:
    record = _record()

    def work() -> None:
        record.SerializeToString()

    return _median(work)


if __name__ == "__main__":
    main()
