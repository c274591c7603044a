"""What a record costs a coordinator until its handler has it, by thread, where others may read the same records beside it.

python -m benchmarks.reading [CHECKOUT ...]

Each checkout's consumer is a process of its own in a group of its own: whatever slows one slows all, so that their figures
compare even on a busy machine. Without one, it is this checkout's alone.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import uvloop
from confluent_kafka import Producer

from kaon_coordinator.transport.base import Incoming
from kaon_coordinator.transport.faust import FaustSettings, FaustTransport
from kaon_local.kafka import Kafka, KafkaConfig
from kaon_local.paths import ROOT
from kaon_wire.topics import STEP_EVENTS, Catalogue

_CATALOGUE = Catalogue(run_partitions=2, pool_partitions=2, runner_partitions=2)
_BYTES = 1500
# Name, bursts, records of a burst, bursts a second.
_WAYS = (("one by one", 3000, 1, 280), ("in twos", 1500, 2, 280), ("in twenties", 300, 20, 50))


def main() -> None:
    """Entry point."""
    if sys.argv[1:2] == ["--read"]:
        uvloop.run(_read(*sys.argv[2:]))
        return
    with tempfile.TemporaryDirectory() as directory:
        kafka = Kafka(KafkaConfig(state=Path(directory), topics=_CATALOGUE.topics()))
        kafka.start()
        try:
            _compare(kafka.address, sys.argv[1:] or [str(ROOT)])
        finally:
            kafka.stop()


def _compare(address: str, checkouts: Sequence[str]) -> None:
    producer = Producer({"bootstrap.servers": address, "linger.ms": 0})
    readers = [_reader(address, checkout, number) for number, checkout in enumerate(checkouts)]
    total = 1
    _send(producer, 1, 1, 1)
    for reader in readers:
        _told(reader, total)
    for name, bursts, size, rate in _WAYS:
        total += bursts * size
        _send(producer, bursts, size, rate)
        for checkout, reader in zip(checkouts, readers, strict=True):
            told = _told(reader, total)
            used = {thread: us / bursts / size for thread, us in sorted(told["used"].items())}
            parts = ", ".join(f"{thread} {us:.1f}" for thread, us in used.items() if us >= 0.5)
            print(
                f"{name:<12} {checkout}: {sum(used.values()):.1f} us a record ({parts}), "
                f"{bursts * size / told['batches']:.1f} records a batch"
            )
    for reader in readers:
        reader.kill()
        reader.wait()


def _reader(address: str, checkout: str, number: int) -> subprocess.Popen[str]:
    python = f"{checkout}/.venv/bin/python"
    arguments = [python, __file__, "--read", address, f"reading-{number}"]
    pipe = subprocess.PIPE
    return subprocess.Popen(
        arguments, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True
    )


def _told(reader: subprocess.Popen[str], total: int) -> dict[str, Any]:
    """Return what a reader has used since the last time, as soon as it has handled so many records."""
    assert reader.stdin is not None
    assert reader.stdout is not None
    reader.stdin.write(f"{total}\n")
    reader.stdin.flush()
    # Its log comes out there, too.
    line = next(line for line in reader.stdout if line.startswith("{"))
    told: dict[str, Any] = json.loads(line)
    return told


def _send(producer: Producer, bursts: int, size: int, rate: int) -> None:
    began = time.monotonic()
    for burst in range(bursts):
        for number in range(size):
            producer.produce(STEP_EVENTS, bytes(_BYTES), partition=(burst + number) % 2)
        producer.poll(0)
        time.sleep(max(0.0, began + (burst + 1) / rate - time.monotonic()))
    producer.flush()


class _Counting:
    """A handler that does nothing with its records."""

    def __init__(self) -> None:
        self.records = self.batches = 0
        self.changed = asyncio.Event()

    async def on_assigned(self, topic: str, partitions: Iterable[int]) -> None:
        pass

    async def on_revoked(self, topic: str, partitions: Iterable[int]) -> None:
        pass

    async def on_batch(self, records: Sequence[Incoming]) -> None:
        self.records += len(records)
        self.batches += 1
        self.changed.set()

    async def until(self, records: int) -> None:
        while self.records < records:
            self.changed.clear()
            await self.changed.wait()


async def _read(address: str, group: str) -> None:
    """Read; for each total on the standard input tell what was used until so many records were handled."""
    handler, settings = _Counting(), FaustSettings(group=group)
    await FaustTransport(address, catalogue=_CATALOGUE, settings=settings).start(handler)
    before, batches = _used(), 0
    while line := await asyncio.to_thread(sys.stdin.readline):
        await handler.until(int(line))
        now = _used()
        print(
            json.dumps({"used": now - before, "batches": handler.batches - batches}),
            flush=True,
        )
        before, batches = now, handler.batches


def _used() -> Counter[str]:
    """Return the microseconds of CPU that each thread has used; threads of libraries by the library's name."""
    names = {str(each.native_id): each.name.partition("-1")[0] for each in threading.enumerate()}
    used: Counter[str] = Counter()
    for task in Path("/proc/self/task").iterdir():
        own = task.joinpath("comm").read_text().strip().partition(":")[0]
        name = "loop" if task.name == str(os.getpid()) else names.get(task.name, own)
        used[name] += int(task.joinpath("schedstat").read_text().split()[0]) // 1000
    return used


if __name__ == "__main__":
    main()
