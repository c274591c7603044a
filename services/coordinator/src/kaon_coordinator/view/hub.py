"""What changes, gathered once for all who watch: hints become ticks, 50 ms after the one before at least; longer when many watch.

Everything here belongs to one event loop.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Awaitable, Callable, Collection, Hashable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from kaon_coordinator.faults import going_on
from kaon_coordinator.view.parts import ViewParts
from kaonapi.run.v1 import history_pb2, run_pb2

# Ticks whose runs are remembered: a minute when something happens all the time.
_TICKS = 1_200
# Steps whose progress is remembered, of all runs together.
_PROGRESS_STEPS = 20_000
# So many watch at the usual pace; with more of them ticks are rarer, up to a bound.
_FEW = 25
_SLOWEST = 5.0


class Watching(Protocol):
    """Somebody who watches."""

    @property
    def run_ids(self) -> Collection[str]:
        """The runs that it watches."""

    def note(self, changed: Collection[str]) -> None:
        """Note that runs have changed."""


class Hub:
    """Hears what changes, and tells it to who watches."""

    def __init__(self, parts: ViewParts) -> None:
        self._parts = parts
        # Cursors of another life of this process mean nothing.
        self.life = uuid.uuid4().hex[:12]
        # Number of the newest tick.
        self.tick = 0
        self._watching: set[Watching] = set()
        # How many watch each run.
        self._watched: Counter[str] = Counter()
        self._changed: set[str] = set()
        self._heard = asyncio.Event()
        self._ticks: deque[tuple[int, frozenset[str]]] = deque(maxlen=_TICKS)
        # By run, then by path; what was told last comes last.
        self._progress: OrderedDict[str, OrderedDict[str, tuple[int, run_pb2.StepView]]]
        self._progress = OrderedDict()
        self._progress_steps = 0
        # What was made for one watcher since the last tick, for the others.
        self._made: dict[Hashable, asyncio.Task[Any]] = {}

    async def run(self) -> None:
        """Listen, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_forever(self._parts.source(self)))
            tasks.create_task(self._poll())
            tasks.create_task(self._beat())

    def happened(self, events: Sequence[history_pb2.HistoryEvent]) -> None:
        """Note durable events; those of runs that are watched are kept for the next look, which need not read them then."""
        of_runs: dict[str, list[history_pb2.HistoryEvent]] = defaultdict(list)
        for event in events:
            of_runs[event.run_id].append(event)
        for run_id in of_runs.keys() & self._watched.keys():
            self._parts.states.hear(run_id, of_runs[run_id])
        self._note(of_runs.keys())

    def changed(self, run_ids: Collection[str]) -> None:
        """Note that runs have new events."""
        for run_id in self._watched.keys() & set(run_ids):
            self._parts.states.doubt(run_id)
        self._note(run_ids)

    def _note(self, run_ids: Collection[str]) -> None:
        if run_ids:
            self._changed.update(run_ids)
            self._heard.set()

    def progress(self, run_id: str, view: run_pb2.StepView) -> None:
        """Note how far a running step has come."""
        steps = self._progress.setdefault(run_id, OrderedDict())
        self._progress.move_to_end(run_id)
        self._progress_steps += view.path not in steps
        steps[view.path] = (self.tick + 1, view)
        steps.move_to_end(view.path)
        while self._progress_steps > _PROGRESS_STEPS:
            self._forget_oldest_progress()
        self._note([run_id])

    def progress_of(self, run_id: str, after_tick: int = -1) -> dict[str, run_pb2.StepView]:
        """By path: how far steps of a run have come, told after a tick."""
        return {
            path: view
            for path, (tick, view) in self._progress.get(run_id, {}).items()
            if tick > after_tick
        }

    def changed_since(self, tick: int) -> frozenset[str] | None:
        """Return runs that have changed after a tick; None when that is not known any more."""
        if tick > self.tick or (
            tick < self.tick and (not self._ticks or self._ticks[0][0] > tick + 1)
        ):
            return None
        return frozenset().union(*(changed for number, changed in self._ticks if number > tick))

    @property
    def watches(self) -> int:
        """How many watch."""
        return len(self._watching)

    @contextmanager
    def watch(self, watching: Watching) -> Iterator[None]:
        """Tells somebody what changes."""
        self._watching.add(watching)
        # Of a run that nobody watched nothing was heard.
        for run_id in set(watching.run_ids) - self._watched.keys():
            self._parts.states.doubt(run_id)
        self._watched.update(watching.run_ids)
        try:
            yield
        finally:
            self._watching.discard(watching)
            self._watched -= Counter(watching.run_ids)

    async def once(self, key: Hashable, make: Callable[[], Awaitable[Any]]) -> Any:
        """Return what `make` gives, made once between two ticks for all who ask with the same key."""
        made = self._made.get(key)
        if made is None:
            made = self._made[key] = asyncio.ensure_future(_made(make))
        # Who leaves does not take it from the others.
        return await asyncio.shield(made)

    def now(self) -> None:
        """Make a tick of what was heard."""
        changed, self._changed = frozenset(self._changed), set()
        self.tick += 1
        self._ticks.append((self.tick, changed))
        self._made.clear()
        for each in list(self._watching):
            each.note(changed)

    def _forget_oldest_progress(self) -> None:
        run_id, steps = next(iter(self._progress.items()))
        steps.popitem(last=False)
        self._progress_steps -= 1
        if not steps:
            del self._progress[run_id]

    async def _beat(self) -> None:
        while True:
            await self._heard.wait()
            self._heard.clear()
            self.now()
            # Each tick costs something for everybody who watches.
            slower = min(max(self.watches / _FEW, 1.0), _SLOWEST)
            await asyncio.sleep(slower * self._parts.interval_seconds)

    async def _poll(self) -> None:
        """Look whether runs that are watched have changed, for hints may be lost, and forget those that nobody looks at."""
        known: dict[str, int] = {}
        states = self._parts.states
        while True:
            await asyncio.sleep(self._parts.poll_seconds)
            wanted = set(self._watched)
            states.sweep(wanted)
            self._parts.spans.sweep(wanted)
            if not wanted:
                known = {}
                continue
            with going_on("runs that are watched were looked up"):
                seqs = await self._parts.threads.read(self._parts.reads.newest_seqs, wanted)
                # What is heard comes after it is written, but not so long after it.
                lacks = {run_id for run_id, seq in known.items() if states.lacks(run_id, seq)}
                grown = {run_id for run_id, seq in seqs.items() if known.get(run_id, seq) != seq}
                self._note(lacks | grown)
                known = seqs


async def _made(make: Callable[[], Awaitable[Any]]) -> Any:
    return await make()


async def _forever(source: Awaitable[None]) -> None:
    await source
