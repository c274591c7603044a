"""A short measurement for every change, at most a minute: `python -m benchmarks.quick`.

It prints the figures, and their ratios to Celery where redis-server is installed. No figure fails it: on a machine that others
use, too, they say little by themselves. A step that is lost or executed twice fails it.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import report
from benchmarks.celery_side import CelerySide
from benchmarks.kaon_side import KaonSide
from benchmarks.measure import Bench, Result
from kaon_local.paths import ROOT

# Seconds after which no further workload begins: the first half of the minute is ours, the start included.
_OURS, _PEERS = 32.0, 48.0
_WORKLOADS: tuple[Callable[[Bench], Result], ...] = (
    lambda bench: bench.chain(repeats=2),
    lambda bench: bench.trigger(repeats=10),
    lambda bench: bench.three(),
    lambda bench: bench.fan_out(500),
)


def main() -> None:
    """Entry point."""
    state = ROOT / ".kaon" / "bench-quick"
    shutil.rmtree(state, ignore_errors=True)
    began = time.monotonic()
    ours = KaonSide(state / "kaon", durability="relaxed", runners=2, slots=4)
    results = _measure(ours, state / "ours", until=began + _OURS)
    if shutil.which("redis-server"):
        results += _measure(
            CelerySide(state / "celery", processes=4), state / "peers", until=began + _PEERS
        )
    else:
        print("no ratios: redis-server is not installed", file=sys.stderr)
    print(report.table(results))
    print(f"{time.monotonic() - began:.0f} s")


def _measure(side: KaonSide | CelerySide, work: Path, *, until: float) -> list[Result]:
    results: list[Result] = []
    work.mkdir(parents=True)
    with side as started:
        bench = Bench(started, work)
        bench.warm(rounds=1)
        for workload in _WORKLOADS:
            if time.monotonic() > until:
                print(f"{started.name}: the time is over", file=sys.stderr)
                break
            results.append({"side": started.name, "round": 0, **workload(bench)})
    return results


if __name__ == "__main__":
    main()
