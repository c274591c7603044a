"""The workloads, the same for both sides."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks import usage
from benchmarks.ledger import Execution, Ledger
from benchmarks.side import Side

Result = dict[str, Any]
_SECONDS = 900
_IDLE_SECONDS = 20.0


class Bench:
    """Measures one side.

    Args:
        side: started.
        work: where ledgers are written.
    """

    def __init__(self, side: Side, work: Path) -> None:
        self._side = side
        self._work = work
        self._number = itertools.count(1)

    def warm(self, rounds: int = 2) -> None:
        """Starts workers and fills caches; nothing is noted."""
        for _ in range(rounds):
            self._run("fan-out", 1, _fan_names(100), count=100)
            self._run("three", 20, ["s1", "s2", "s3"])
        self._run("chain", 1, _names(50))

    def chain(self, repeats: int = 40) -> Result:
        """W1: chains of 50; from the end of one step to the start of the next. Of few hops the p99 is chance."""
        hops: list[float] = []
        for _ in range(repeats):
            _, ledger, _ = self._run("chain", 1, _names(50))
            for found in ledger.runs().values():
                hops += [(b.start - a.end) / 1e6 for a, b in itertools.pairwise(found)]
        return {"workload": "W1 chain of 50", "hop_p50_ms": _median(hops), "hop_p99_ms": _p99(hops)}

    def fan_out(self, count: int) -> Result:
        """W2: split, many, join: from the end of the split to the start of the join."""

        def rate(found: Sequence[Execution]) -> float:
            by_name = {each.step: each for each in found}
            return count / ((by_name["join"].start - by_name["split"].end) / 1e9)

        return self._many(f"W2 fan-out {count}", "fan-out", count, rate)

    def foreach(self, count: int) -> Result:
        """A foreach whose items are in an artifact: rate from the first to the last step."""

        def rate(found: Sequence[Execution]) -> float:
            return len(found) / ((max(each.end for each in found) - found[0].start) / 1e9)

        return self._many(f"foreach {count}", "foreach", count, rate)

    def three(self, runs: int = 100) -> Result:
        """W3: runs of three steps, submitted at once: from the submission to the last end."""
        return self._three(runs, together=False)

    def _three(self, runs: int, *, together: bool) -> Result:
        began, ledger, cpu = self._run("three", runs, _names(3), together=together)
        last = max(each.end for found in ledger.runs().values() for each in found)
        rate = runs / ((last - began) / 1e9)
        name = f"W3 {runs} runs of 3{' together' if together else ''}"
        return {"workload": name, "runs_per_s": rate, **_per_step(cpu, 3 * runs)}

    def three_together(self, runs: int = 100) -> Result:
        """W3 with one call: the same runs, submitted together."""
        return self._three(runs, together=True)

    def trigger(self, repeats: int = 40) -> Result:
        """W4: one step on an idle system: from the call to the start of the step."""
        waits = []
        for _ in range(repeats):
            # Idle means idle: whatever the run before has left to do is done by then.
            time.sleep(0.15)
            began, ledger, _ = self._run("trigger", 1, _names(1))
            waits += [(found[0].start - began) / 1e6 for found in ledger.runs().values()]
        return {
            "workload": "W4 trigger",
            "trigger_p50_ms": _median(waits),
            "trigger_p99_ms": _p99(waits),
        }

    def calls(self, repeats: int = 400) -> Result:
        """Calls that read, one after the other."""
        waits = []
        for number in range(repeats + 20):
            began = time.perf_counter()
            self._side.call()
            if number >= 20:
                waits.append((time.perf_counter() - began) * 1000)
        return {"workload": "calls", "call_p50_ms": _median(waits), "call_p99_ms": _p99(waits)}

    def idle(self) -> Result:
        """Nothing to do: CPU of a core in per cent, and memory."""
        time.sleep(3)
        parts = self._side.parts()
        before, began = usage.cpu(parts), time.monotonic()
        time.sleep(_IDLE_SECONDS)
        used, seconds = usage.cpu(parts).since(before), time.monotonic() - began
        cpu = {f"idle_cpu_percent_{part}": 100 * value / seconds for part, value in used.items()}
        return {"workload": "idle", **cpu, **self._memory()}

    def memory(self) -> Result:
        """Memory after all that was done."""
        return {"workload": "memory", **self._memory()}

    def _memory(self) -> Result:
        return {f"pss_mb_{part}": value for part, value in usage.memory(self._side.parts()).items()}

    def _many(
        self, name: str, shape: str, count: int, rate: Callable[[Sequence[Execution]], float]
    ) -> Result:
        _, ledger, cpu = self._run(shape, 1, _fan_names(count), count=count)
        (found,) = ledger.runs().values()
        return {"workload": name, "steps_per_s": rate(found), **_per_step(cpu, count)}

    def _run(
        self, shape: str, runs: int, steps: Sequence[str], *, count: int = 1, together: bool = False
    ) -> tuple[int, Ledger, dict[str, float]]:
        """Submits, waits, and checks that every step was executed exactly once. Returns when it began, the ledger and the CPU."""
        ledger = Ledger(path=self._work / f"{next(self._number)}.ledger")
        names = [f"r{number}" for number in range(runs)]
        parts = self._side.parts()
        before = usage.cpu(parts)
        began = self._side.submit(shape, ledger.path, names, count, together=together)
        ledger.wait(runs * len(steps), seconds=_SECONDS)
        used = usage.cpu(parts).since(before)
        self._side.settle()
        ledger.check(names, steps)
        return began, ledger, used


def _names(length: int) -> list[str]:
    return [f"s{number}" for number in range(1, length + 1)]


def _fan_names(count: int) -> list[str]:
    return ["split", *(f"work-{number}" for number in range(count)), "join"]


def _per_step(cpu: dict[str, float], steps: int) -> Result:
    return {f"cpu_us_per_step_{part}": 1e6 * seconds / steps for part, seconds in cpu.items()}


def _median(values: Iterable[float]) -> float:
    return statistics.median(values)


def _p99(values: Sequence[float]) -> float:
    return sorted(values)[min(len(values) - 1, int(0.99 * len(values)))]
