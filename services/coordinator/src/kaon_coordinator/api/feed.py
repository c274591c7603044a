"""Live updates of runs within one process. The store is the truth; the feed only makes watching it quick.

Everything here belongs to one event loop.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

from kaonapi.run.v1 import history_pb2, run_pb2

Update: TypeAlias = history_pb2.HistoryEvent | run_pb2.StepView

# Events that wait for a slow subscriber; beyond, it is sent back to the store.
WAITING_EVENTS = 2_000

# What ends the present progress of a step.
_ENDS_PROGRESS = ("step_ended", "step_retry_scheduled", "step_lease_lost")


class Subscription:
    """What has happened to one run and was not taken yet."""

    def __init__(self, progress: Iterable[run_pb2.StepView]) -> None:
        self._events: deque[history_pb2.HistoryEvent] = deque()
        self._progress = {view.path: view for view in progress}
        self._something = asyncio.Event()
        if self._progress:
            self._something.set()

    def add_event(self, event: history_pb2.HistoryEvent) -> None:
        """One more event. A subscriber that is too slow loses the waiting ones, and sees a gap."""
        if len(self._events) >= WAITING_EVENTS:
            self._events.clear()
        self._events.append(event)
        self._something.set()

    def add_progress(self, view: run_pb2.StepView) -> None:
        """A step's newest progress; an older one that still waits is replaced."""
        self._progress[view.path] = view
        self._something.set()

    async def next(self, timeout: float) -> list[Update]:
        """Everything that waits, events first; empty when nothing comes within `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout):
                await self._something.wait()
        except TimeoutError:
            return []
        self._something.clear()
        taken: list[Update] = [*self._events, *self._progress.values()]
        self._events.clear()
        self._progress.clear()
        return taken


class RunFeed:
    """Hands events to the watchers in this process, and remembers how far running steps have come."""

    def __init__(self) -> None:
        self._subscriptions: dict[str, set[Subscription]] = defaultdict(set)
        self._progress: dict[str, dict[str, run_pb2.StepView]] = {}

    def publish(self, events: Iterable[history_pb2.HistoryEvent]) -> None:
        """Tells events that are durable, each run's in order of seq."""
        for event in events:
            self._forget_progress(event)
            for subscription in self._subscriptions.get(event.run_id, ()):
                subscription.add_event(event)

    def publish_progress(self, run_id: str, view: run_pb2.StepView) -> None:
        """Tells how far a step has come."""
        self._progress.setdefault(run_id, {})[view.path] = view
        for subscription in self._subscriptions.get(run_id, ()):
            subscription.add_progress(view)

    def progress(self, run_id: str) -> dict[str, run_pb2.StepView]:
        """By path: how far the running steps of a run have come, as far as this process was told."""
        return dict(self._progress.get(run_id, {}))

    @property
    def watched(self) -> frozenset[str]:
        """The runs that somebody watches."""
        return frozenset(self._subscriptions)

    @contextmanager
    def subscribe(self, run_id: str) -> Iterator[Subscription]:
        """Collects what happens to a run from now on, beginning with the present progress of its steps."""
        subscription = Subscription(self._progress.get(run_id, {}).values())
        self._subscriptions[run_id].add(subscription)
        try:
            yield subscription
        finally:
            self._subscriptions[run_id].discard(subscription)
            if not self._subscriptions[run_id]:
                del self._subscriptions[run_id]

    def _forget_progress(self, event: history_pb2.HistoryEvent) -> None:
        steps = self._progress.get(event.run_id)
        if steps is None:
            return
        kind = event.WhichOneof("event")
        if kind in _ENDS_PROGRESS:
            steps.pop(getattr(event, kind).path, None)
        if kind == "run_ended" or not steps:
            del self._progress[event.run_id]
