"""From the commit of an event to who watches it over the view service."""

from __future__ import annotations

import itertools
import threading
import time
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeAlias

import grpc

from benchmarks.console.figure import Figure, percentile
from benchmarks.console.place import FOREACH, METADATA, Place
from kaonapi.view.v1 import watch_pb2

# (seq, time in microseconds) of events.
Times: TypeAlias = list[tuple[int, int]]
_MOST_MS = 150.0
# More events than this between two looks are a foreach that begins: it makes two for each cell at once.
_BURST = 1_000


@dataclass(kw_only=True)
class Heard:
    """What one watcher was told: after which event things stood so, and when that came, in microseconds since the epoch."""

    seqs: list[int] = field(default_factory=list)
    times: list[int] = field(default_factory=list)

    def delays_ms(self, times: Sequence[tuple[int, int]]) -> list[float]:
        """Return how long each event took, of (seq, time); those that were told by a first snapshot are left out."""
        found = []
        for seq, time_us in times:
            at = bisect_left(self.seqs, seq)
            if 0 < at < len(self.seqs):
                found.append((self.times[at] - time_us) / 1_000)
        return found


@contextmanager
def watcher(place: Place, *topics: watch_pb2.Topic) -> Iterator[dict[str, Heard]]:
    """Follow topics until the context ends."""
    heard = {topic.key: Heard() for topic in topics}
    call = place.view.Watch(watch_pb2.WatchRequest(topics=topics), metadata=METADATA)

    def listen() -> None:
        try:
            for told in call:
                now = time.time_ns() // 1_000
                seq = told.cells.seq or told.run.run.last_seq or told.events.newest_seq
                if told.key and seq:
                    heard[told.key].seqs.append(seq)
                    heard[told.key].times.append(now)
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.CANCELLED:
                raise

    thread = threading.Thread(target=listen)
    thread.start()
    try:
        yield heard
    finally:
        call.cancel()
        thread.join()


@dataclass(frozen=True, kw_only=True)
class Commits:
    """What is committed of a run while it goes on.

    Attributes:
        times: (seq, microseconds since the epoch) of what was committed last, at each look.
        looking: ends with the run.
    """

    times: Times
    looking: Future[None]

    def until_ended(self) -> None:
        """Return when the run has succeeded.

        Raises:
            RuntimeError: It has ended in another way.
        """
        self.looking.result()


@contextmanager
def commits(place: Place, run_id: str) -> Iterator[Commits]:
    """Note which events of a run are committed, and when, until the run ends."""
    times: Times = []

    def look() -> None:
        for row in place.rows(run_id):
            if row.seq > (times[-1][0] if times else 0):
                times.append((row.seq, time.time_ns() // 1_000))

    with ThreadPoolExecutor(1) as threads:
        yield Commits(times=times, looking=threads.submit(look))


def commit_times(committed: Sequence[tuple[int, int]]) -> tuple[Times, Times]:
    """Return (seq, time in microseconds) of each event but those of the first look: those of bursts, and all others."""
    bursts: Times = []
    others: Times = []
    for (before, _), (last, at) in itertools.pairwise(committed):
        times = bursts if last - before > _BURST else others
        times.extend((seq, at) for seq in range(before + 1, last + 1))
    return bursts, others


def event_times(place: Place, run_id: str) -> list[tuple[int, int]]:
    """Return (seq, time in microseconds) of each event, as the engine has decided it."""
    return [(event.seq, event.time_us) for event in place.client.history(run_id)]


def rate_of(times: Sequence[tuple[int, int]], cells: int) -> float:
    """Return how many cells a second have passed."""
    return cells * 1e6 / (times[-1][1] - times[0][1])


def of_bursts(delays: Sequence[float]) -> str:
    """Describe how long the events took that came all at once."""
    if not delays:
        return "no burst"
    return f"{len(delays)} at once, p95 {percentile(delays, 0.95):.0f}"


def to_watchers(place: Place, cells: int) -> list[Figure]:
    """Follow a run of many quick cells by its graph and by its cells."""
    file = str(place.system.config.state / "watched.items")
    run_id = place.submit("bench-cells", file=file, count=cells, seconds=0.004)
    topics = (
        watch_pb2.Topic(key="run", run=watch_pb2.RunTopic(run_id=run_id)),
        watch_pb2.Topic(key="cells", cells=watch_pb2.CellsTopic(run_id=run_id, block=FOREACH)),
    )
    with commits(place, run_id) as committed:
        place.until_started(run_id)
        with watcher(place, topics[0]) as run, watcher(place, topics[1]) as of_cells:
            committed.until_ended()
            time.sleep(1)
    bursts, times = commit_times(committed.times)
    figures = []
    for name, heard in itertools.chain(run.items(), of_cells.items()):
        delays = heard.delays_ms(times)
        figures.append(
            Figure(
                name=f"commit to watcher of {name}, p95",
                value=percentile(delays, 0.95),
                unit="ms",
                most=_MOST_MS,
                note=f"p50 {percentile(delays, 0.5):.0f}, {rate_of(times, cells):.0f} cells/s, "
                f"{len(heard.seqs)} responses; {of_bursts(heard.delays_ms(bursts))}",
            )
        )
    return figures
