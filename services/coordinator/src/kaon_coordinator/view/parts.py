"""What the view works with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from kaon_artifacts import ArtifactStore
from kaon_coordinator.store.view_reads import ViewReads
from kaon_coordinator.view.read_threads import Threads
from kaon_coordinator.view.sources import Source
from kaon_coordinator.view.spans import SpanBook
from kaon_coordinator.view.states import States


@dataclass(frozen=True, kw_only=True)
class ViewParts:
    """What the service is made of: a database and somebody who tells what changes in it."""

    reads: ViewReads
    # Where whole logs are.
    artifacts: ArtifactStore
    source: Source
    threads: Threads
    states: States
    spans: SpanBook
    # Microseconds since the epoch.
    now_us: Callable[[], int]
    # Between two responses about a topic at least.
    interval_seconds: float = 0.05
    # How often runs that are watched are looked up whatever the source says, in seconds.
    poll_seconds: float = 1.0
    # How often logs that are followed are looked up, in seconds.
    log_seconds: float = 0.25
    # Between two signs of life, in seconds.
    quiet_seconds: float = 5.0


def view_parts(
    reads: ViewReads,
    artifacts: ArtifactStore,
    source: Source,
    now_us: Callable[[], int],
    threads: Threads | None = None,
) -> ViewParts:
    """Return the parts around a database and a source."""
    return ViewParts(
        reads=reads,
        artifacts=artifacts,
        source=source,
        threads=threads or Threads(),
        states=States(reads),
        spans=SpanBook(reads),
        now_us=now_us,
    )
