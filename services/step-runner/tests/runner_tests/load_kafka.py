"""Measures a runner over a real Kafka: `python tests/load_kafka.py`. Plays the matcher with kafka-python in this process."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

import harness
import psutil
from kafka_harness import KafkaSystem, RunnerProcess

from kaon_local.kafka import Kafka, KafkaConfig
from kaon_wire.topics import Catalogue


def main() -> None:
    """A chain of 300 steps, then 5,000 steps with 96 outstanding."""
    with tempfile.TemporaryDirectory() as state:
        broker = Kafka(KafkaConfig(state=Path(state) / "kafka", topics=Catalogue().topics()))
        broker.start()
        runner = RunnerProcess(broker.address, Path(state) / "runner", KAON_PREFETCH="8")
        system = KafkaSystem(broker.address)
        try:
            incarnation = system.incarnation(runner)
            chain(system, incarnation)
            for _ in range(3):
                fan_out(
                    system,
                    incarnation,
                    psutil.Process(runner.process.pid),
                    steps=5000,
                    outstanding=96,
                )
        finally:
            runner.end()
            system.close()
            broker.stop()


def chain(system: KafkaSystem, incarnation: str) -> None:
    """Release to result, one step after the other."""
    took = []
    for _ in range(300):
        wanted = harness.python("nothing")
        began = time.perf_counter()
        system.release(incarnation, wanted)
        system.final(wanted.key)
        took.append((time.perf_counter() - began) * 1000)
    took = sorted(took[50:])
    print(
        f"release to result: p50 {statistics.median(took):.1f} ms, p99 {took[int(len(took) * 0.99)]:.1f} ms"
    )


def fan_out(
    system: KafkaSystem, incarnation: str, process: psutil.Process, *, steps: int, outstanding: int
) -> None:
    """Steps a second, and CPU of the runner's own process, while a fixed number is outstanding."""
    requests = [harness.python("nothing") for _ in range(steps)]
    base, sent = len(system.events), 0
    before, began = process.cpu_times(), time.perf_counter()
    while (ended := (len(system.events) - base) // 2) < steps:
        if sent < steps and sent - ended <= outstanding - 16:
            room = outstanding - (sent - ended)
            system.release(incarnation, *requests[sent : sent + room])
            sent += room
        else:
            with system.changed:
                system.changed.wait(0.005)
    took, after = time.perf_counter() - began, process.cpu_times()
    cpu = after.user + after.system - before.user - before.system
    memory = process.memory_info().rss >> 20
    print(
        f"{steps} steps: {steps / took:.0f} steps/s, runner {cpu * 1e6 / steps:.0f} us CPU a step, RSS {memory} MB"
    )


if __name__ == "__main__":
    main()
