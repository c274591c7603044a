"""Live updates of runs within one process.

The store is the truth; the feed only makes watching fast. All of it belongs to one event loop.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol, TypeAlias

from kaon_coordinator.bounded_wait import came
from kaonapi.run.v1 import history_pb2, run_pb2

Update: TypeAlias = history_pb2.HistoryEvent | run_pb2.StepView

# Waiting events of a slow subscriber; beyond this bound it must read from the store again.
WAITING_EVENTS = 2_000

# Events that end the present progress of a step.
_ENDS_PROGRESS = ("step_ended", "step_retry_scheduled", "step_lease_lost")


class Subscription:
    """The updates of one run that a subscriber has not taken yet.

    Args:
        progress: of its steps, until now.
        only_end: nothing but the event that ends the run is of interest.
    """

    def __init__(
        self, progress: Iterable[run_pb2.StepView] = (), *, only_end: bool = False
    ) -> None:
        self._only_end = only_end
        self._events: deque[history_pb2.HistoryEvent] = deque()
        self._progress = {view.path: view for view in progress}
        self._something = asyncio.Event()
        if self._progress:
            self._something.set()

    def add_event(self, event: history_pb2.HistoryEvent) -> None:
        """Add an event. A subscriber that is too slow loses its waiting events and sees a gap."""
        if self._only_end and not event.HasField("run_ended"):
            return
        if len(self._events) >= WAITING_EVENTS:
            self._events.clear()
        self._events.append(event)
        self._something.set()

    def add_progress(self, view: run_pb2.StepView) -> None:
        """Add a step's newest progress, which replaces a waiting older one."""
        if self._only_end:
            return
        self._progress[view.path] = view
        self._something.set()

    async def next(self, timeout: float) -> list[Update]:
        """Return all waiting updates, events first; empty when none comes within `timeout` seconds."""
        if not await came(self._something, timeout):
            return []
        self._something.clear()
        taken: list[Update] = [*self._events, *self._progress.values()]
        self._events.clear()
        self._progress.clear()
        return taken


class Listener(Protocol):
    """Hears of every run."""

    def happened(self, events: Sequence[history_pb2.HistoryEvent]) -> None:
        """Take durable events of runs, each run's in order of seq. Some may have come before, and others may never come."""

    def changed(self, run_ids: Collection[str]) -> None:
        """Note that runs have new events."""

    def progress(self, run_id: str, view: run_pb2.StepView) -> None:
        """Note how far a running step has come."""


class RunFeed:
    """Distributes events to the watchers of this process, and remembers the progress of running steps."""

    def __init__(self) -> None:
        self._subscriptions: dict[str, set[Subscription]] = defaultdict(set)
        self._progress: dict[str, dict[str, run_pb2.StepView]] = {}
        self._listeners: list[Listener] = []
        self._at_end: dict[str, set[asyncio.Event]] = defaultdict(set)
        # Set while any run has a subscription.
        self.someone_watches = asyncio.Event()

    def publish(self, events: Iterable[history_pb2.HistoryEvent]) -> None:
        """Publish durable events, each run's in order of seq."""
        events = list(events)
        for listener in self._listeners:
            listener.happened(events)
        if not (self._progress or self._at_end or self._subscriptions):
            return
        for event in events:
            self._forget_progress(event)
            if event.HasField("run_ended"):
                for waiting in self._at_end.get(event.run_id, ()):
                    waiting.set()
            for subscription in self._subscriptions.get(event.run_id, ()):
                subscription.add_event(event)

    def publish_progress(self, run_id: str, view: run_pb2.StepView) -> None:
        """Publish the progress of a step."""
        self._progress.setdefault(run_id, {})[view.path] = view
        for listener in self._listeners:
            listener.progress(run_id, view)
        for subscription in self._subscriptions.get(run_id, ()):
            subscription.add_progress(view)

    def progress(self, run_id: str) -> dict[str, run_pb2.StepView]:
        """Return the known progress of a run's running steps, by path."""
        return dict(self._progress.get(run_id, {}))

    @property
    def watched(self) -> frozenset[str]:
        """Return the runs that have subscribers."""
        return frozenset(self._subscriptions)

    @contextmanager
    def subscribe(self, run_id: str, *, only_end: bool = False) -> Iterator[Subscription]:
        """Collect the updates of a run from now on, beginning with the present progress of its steps.

        With `only_end` nothing but the event that ends the run is collected.
        """
        progress = () if only_end else self._progress.get(run_id, {}).values()
        subscription = Subscription(progress, only_end=only_end)
        self._subscriptions[run_id].add(subscription)
        self.someone_watches.set()
        try:
            yield subscription
        finally:
            self._subscriptions[run_id].discard(subscription)
            if not self._subscriptions[run_id]:
                del self._subscriptions[run_id]
            if not self._subscriptions:
                self.someone_watches.clear()

    @contextmanager
    def set_at_end(self, run_id: str, event: asyncio.Event) -> Iterator[None]:
        """Set an event of the event loop whenever the run ends, within the context."""
        self._at_end[run_id].add(event)
        try:
            yield
        finally:
            self._at_end[run_id].discard(event)
            if not self._at_end[run_id]:
                del self._at_end[run_id]

    @contextmanager
    def listen(self, listener: Listener) -> Iterator[None]:
        """Tells a listener what happens to any run from now on."""
        self._listeners.append(listener)
        try:
            yield
        finally:
            self._listeners.remove(listener)

    def _forget_progress(self, event: history_pb2.HistoryEvent) -> None:
        steps = self._progress.get(event.run_id)
        if steps is None:
            return
        kind = event.WhichOneof("event")
        if kind in _ENDS_PROGRESS:
            steps.pop(getattr(event, kind).path, None)
        if kind == "run_ended" or not steps:
            del self._progress[event.run_id]
