"""What fifty who watch a run cost its dispatching."""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.console.figure import Figure
from benchmarks.console.latency import event_times
from benchmarks.console.place import FOREACH, METADATA, Place
from benchmarks.usage import cpu
from kaonapi.view.v1 import watch_pb2

_DISPATCH = ("broker", "coordinator", "runner")
_WATCHERS = Path(__file__).with_name("watchers.py")


@contextmanager
def _watched(place: Place, run_id: str, viewers: int) -> Iterator[None]:
    topics = [
        watch_pb2.Topic(key="run", run=watch_pb2.RunTopic(run_id=run_id)),
        watch_pb2.Topic(key="cells", cells=watch_pb2.CellsTopic(run_id=run_id, block=FOREACH)),
    ]
    request = watch_pb2.WatchRequest(topics=topics, together=True).SerializeToString().hex()
    pairs = [f"{key}={value}" for key, value in METADATA]
    command = [sys.executable, str(_WATCHERS), place.view_address, request, str(viewers), *pairs]
    process = subprocess.Popen(command, start_new_session=True) if viewers else None
    try:
        yield
        if process is not None and process.poll() is not None:
            raise RuntimeError("the viewers have ended before the run")
    finally:
        if process is not None:
            process.kill()
            process.wait()


def _run(place: Place, cells: int, viewers: int) -> tuple[float, float, float]:
    """Return cells a second, and microseconds of CPU a cell: of dispatching, and of the view service."""
    file = str(place.system.config.state / "dispatched.items")
    before = cpu(place.parts())
    run_id = place.submit("bench-cells", file=file, count=cells)
    place.until_started(run_id)
    with _watched(place, run_id, viewers):
        place.until_ended(run_id)
    used = cpu(place.parts()).since(before)
    times = event_times(place, run_id)
    seconds = (times[-1][1] - times[0][1]) / 1e6
    return (
        cells / seconds,
        1e6 * sum(used[each] for each in _DISPATCH) / cells,
        1e6 * used["view"] / cells,
    )


def measured(place: Place, cells: int, viewers: int = 50, rounds: int = 3) -> list[Figure]:
    """Run the same with and without them, in turn."""
    alone, watched = [], []
    for _ in range(rounds):
        alone.append(_run(place, cells, 0))
        watched.append(_run(place, cells, viewers))
    rate, cost, _ = (statistics.median(each) for each in zip(*alone, strict=True))
    rate_watched, cost_watched, view = (
        statistics.median(each) for each in zip(*watched, strict=True)
    )
    return [
        Figure(
            name=f"{viewers} viewers: more CPU for a dispatched step",
            value=100 * (cost_watched / cost - 1),
            unit="%",
            most=5,
            note=f"{cost:.0f} -> {cost_watched:.0f} us, view service {view:.0f} us; "
            f"{rate:.0f} -> {rate_watched:.0f} steps/s",
        )
    ]
