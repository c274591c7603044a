"""What processes use: CPU time and memory, by part of the system."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import psutil

# Names parts and gives the ids of their first processes.
Parts = Callable[[], Mapping[str, Sequence[int]]]


@dataclass(frozen=True, kw_only=True)
class Usage:
    """By part: seconds of CPU since the processes began."""

    cpu: Mapping[str, float]

    def since(self, before: Usage) -> dict[str, float]:
        """Seconds of CPU between the two."""
        return {part: used - before.cpu.get(part, 0.0) for part, used in self.cpu.items()}


def cpu(parts: Mapping[str, Sequence[int]]) -> Usage:
    """What the parts, with all processes that they have started, have used until now."""
    return Usage(cpu={part: sum(map(_seconds, _family(pids))) for part, pids in parts.items()})


def memory(parts: Mapping[str, Sequence[int]]) -> dict[str, float]:
    """Megabytes by part; what processes share is counted once (PSS)."""
    return {part: sum(map(_pss, _family(pids))) / 1e6 for part, pids in parts.items()}


def _family(pids: Sequence[int]) -> Iterator[psutil.Process]:
    for pid in pids:
        try:
            first = psutil.Process(pid)
            yield first
            yield from first.children(recursive=True)
        except psutil.NoSuchProcess:
            continue


def _seconds(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    # Children that have ended and were waited for count with their parents.
    return float(times.user + times.system + times.children_user + times.children_system)


def _pss(process: psutil.Process) -> float:
    try:
        return float(process.memory_full_info().pss)
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return 0.0
