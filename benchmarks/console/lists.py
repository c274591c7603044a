"""A million runs: how long a page of their list takes."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from benchmarks.console.figure import Figure
from benchmarks.list_runs import cases, fill
from kaon_coordinator.store.view_reads import open_view_reads

_MOST_MS = 300.0
_COUNTED = "counted"


def measured(runs: int) -> list[Figure]:
    """Measure each order and filter, and tell the slowest list: the second of two tries."""
    with tempfile.TemporaryDirectory() as directory:
        url = f"sqlite:///{Path(directory)}/kaon.db"
        fill(url, runs)
        reads = open_view_reads(url)
        took: dict[str, tuple[float, float]] = {}
        for name, call in cases(reads, runs):
            for _ in range(2):
                began, cpu = time.perf_counter(), time.thread_time()
                call()
                took[name] = (time.perf_counter() - began, time.thread_time() - cpu)
        reads.close()
    listed = {
        name: times for name, times in took.items() if not name.startswith((_COUNTED, "all in"))
    }
    slowest = max(listed, key=lambda name: listed[name])
    wall, cpu = took[slowest]
    return [
        Figure(
            name=f"{runs} runs, the slowest page of a list",
            value=1_000 * wall,
            unit="ms",
            most=_MOST_MS,
            note=f"{slowest}; CPU {1_000 * cpu:.0f}; newest first {1_000 * took['newest'][0]:.1f}",
        )
    ]
