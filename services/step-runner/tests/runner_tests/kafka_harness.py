"""A runner as a process of its own over a real Kafka, and the other side of it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness import FINAL
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from kaon_wire.partitioning import partition_of
from kaon_wire.topics import RUNNER_HEARTBEATS, STEP_EVENTS, Catalogue, step_ready
from kaonapi.runner.v1 import runner_pb2
from kaonapi.step.v1 import step_pb2

CODE = Path(__file__).parent / "code"


class RunnerProcess:
    """`python -m kaon_runner`, with what its tests need to know of it."""

    def __init__(self, address: str, work: Path, **env: str) -> None:
        self.runner_id = f"runner-{uuid.uuid4().hex[:8]}"
        self.log = work / f"{self.runner_id}.log"
        work.mkdir(parents=True, exist_ok=True)
        settings = {
            "KAON_KAFKA": address,
            "KAON_RUNNER_ID": self.runner_id,
            "KAON_SLOTS": "2",
            "KAON_WORK": str(work / self.runner_id),
            "KAON_ARTIFACTS": (work / "store").as_uri(),
            "PYTHONPATH": str(CODE),
            **env,
        }
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "kaon_runner"],
                env={**os.environ, **settings},
                stderr=log,
                stdout=log,
            )

    def end(self) -> None:
        """Kills what is left of it."""
        self.process.kill()
        self.process.wait()


class KafkaSystem:
    """Hears what runners say, and releases steps to them.

    Args:
        address: of the broker.
        from_beginning: hears what was said before, too.
    """

    def __init__(self, address: str, *, from_beginning: bool = False) -> None:
        self._producer = KafkaProducer(
            bootstrap_servers=address, acks="all", reconnect_backoff_max_ms=500
        )
        self._consumer = KafkaConsumer(
            bootstrap_servers=address,
            group_id=None,
            auto_offset_reset="latest",
            reconnect_backoff_max_ms=500,
        )
        catalogue = Catalogue()
        self._ready = catalogue.partitions_of(step_ready("default"))
        parts = [
            TopicPartition(t, p)
            for t in (STEP_EVENTS, RUNNER_HEARTBEATS)
            for p in range(catalogue.partitions_of(t))
        ]
        self._consumer.assign(parts)
        (self._consumer.seek_to_beginning if from_beginning else self._consumer.seek_to_end)(*parts)
        for part in parts:
            self._consumer.position(part)
        self.events: list[step_pb2.StepEvent] = []
        self.heartbeats: list[runner_pb2.RunnerHeartbeat] = []
        self.changed = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Lets go."""
        self._closing = True
        self._thread.join()
        self._consumer.close(autocommit=False)
        self._producer.close(timeout=5)

    def incarnation(self, runner: RunnerProcess, seconds: float = 30.0) -> str:
        """The runner's incarnation, as soon as it has said hello."""

        def said() -> str | None:
            beats = [beat for beat in self.heartbeats if beat.runner_id == runner.runner_id]
            return beats[-1].incarnation if beats else None

        return str(self.wait(said, seconds))

    def release(self, incarnation: str, *requests: step_pb2.StepRequest) -> None:
        """Hands steps to a runner, and waits for the broker's acknowledgement."""
        record = step_pb2.StepReleases(
            pool="default", incarnation=incarnation, pool_epoch=1, releases=requests
        )
        partition = partition_of(incarnation, self._ready)
        self._producer.send(
            step_ready("default"), value=record.SerializeToString(), partition=partition
        ).get(30)

    def of(self, key: step_pb2.StepKey) -> list[str]:
        """The kinds of events heard about a lease, in order."""
        return [str(event.WhichOneof("event")) for event in tuple(self.events) if event.key == key]

    def final(self, key: step_pb2.StepKey, seconds: float = 30.0) -> step_pb2.StepEvent:
        """The event that ends a lease."""

        def found() -> step_pb2.StepEvent | None:
            return next(
                (e for e in tuple(self.events) if e.key == key and e.WhichOneof("event") in FINAL),
                None,
            )

        event: step_pb2.StepEvent = self.wait(found, seconds)
        return event

    def wait(self, found: Callable[[], Any], seconds: float = 30.0) -> Any:
        """What `found` returns as soon as it is true."""
        deadline = time.monotonic() + seconds
        with self.changed:
            while not (result := found()):
                left = deadline - time.monotonic()
                assert left > 0, f"not within {seconds} s"
                self.changed.wait(min(left, 0.1))
        return result

    def _read(self) -> None:
        while not self._closing:
            polled = self._consumer.poll(timeout_ms=200)
            if not polled:
                continue
            with self.changed:
                for part, records in polled.items():
                    for record in records:
                        self._take(part.topic, record.value)
                self.changed.notify_all()

    def _take(self, topic: str, value: bytes) -> None:
        if topic == STEP_EVENTS:
            self.events.extend(step_pb2.StepEvents.FromString(value).events)
        else:
            self.heartbeats.append(runner_pb2.RunnerHeartbeat.FromString(value))
