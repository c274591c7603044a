"""Measures what a no-op Python step costs, over memory: `python tests/load.py [STEPS] [OUTSTANDING]`."""

from __future__ import annotations

import os
import resource
import sys
import tempfile
import time
from pathlib import Path

import harness


def main() -> None:
    """Releases steps so that a fixed number is outstanding, as a matcher does."""
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else 5000
    outstanding = int(sys.argv[2]) if len(sys.argv) > 2 else 96
    os.environ["PYTHONPATH"] = str(harness.CODE)
    with (
        tempfile.TemporaryDirectory() as work,
        harness.MemorySystem(Path(work), slots=4, prefetch=4) as system,
    ):
        for _ in range(3):
            measure(system, steps, outstanding)


def measure(system: harness.MemorySystem, steps: int, outstanding: int) -> None:
    requests = [harness.python("nothing") for _ in range(steps)]
    before, began = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    base, sent = len(system.events), 0
    while (ended := (len(system.events) - base) // 2) < steps:
        if sent < steps and sent - ended <= outstanding - 16:
            room = outstanding - (sent - ended)
            system.release(*requests[sent : sent + room])
            sent += room
        else:
            time.sleep(0.0005)
    took, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert {event.WhichOneof("event") for event in system.events[base:]} == {"started", "succeeded"}
    per_step = cpu * 1e6 / steps
    print(
        f"{steps} steps: {steps / took:.0f} steps/s, {per_step:.0f} us CPU a step (this harness included)"
    )


if __name__ == "__main__":
    main()
