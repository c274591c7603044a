"""The state of a run that is looked at, folded on as its history grows, and what has changed in it lately."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import takewhile

from kaon_coordinator.engine.state.evolve import evolve
from kaon_coordinator.engine.state.state import RunState
from kaon_coordinator.store.records import RunRecord
from kaon_coordinator.view.folding import Folded, Place, fold_state, folded
from kaon_coordinator.view.heard_events import HeardEvents
from kaonapi.run.v1 import history_pb2

# So many changes are remembered: who has seen an older one gets everything anew.
_CHANGES = 2_000


@dataclass(frozen=True, kw_only=True)
class Changed:
    """What stands otherwise: paths of steps and blocks, keys of cells; and what is gone."""

    # The event up to which this is.
    seq: int
    steps: frozenset[str] = frozenset()
    blocks: frozenset[str] = frozenset()
    dropped: frozenset[str] = frozenset()
    # What of this was counted: the places whose counts stand otherwise, and what is in no foreach cell. None when nobody had asked
    # for counts then.
    places: frozenset[Place] | None = None
    outside: frozenset[str] = frozenset()


class LiveRun:
    """One run. Hold `lock` while you look at it."""

    def __init__(self, state: RunState) -> None:
        self.lock = threading.Lock()
        self.state = state
        self._heard = HeardEvents()
        # The run as it was read, as long as nothing has happened since that was not heard; and how often something had.
        self.record: RunRecord | None = None
        self.doubts = 0
        self._folded: Folded | None = None
        self._changes: deque[Changed] = deque(maxlen=_CHANGES)
        # What has changed after this event is known.
        self._known_since = state.seq
        _forget_touched(state)

    @property
    def size(self) -> int:
        """How many steps, blocks and cells it has, and events that wait."""
        state = self.state
        return len(state.steps) + len(state.blocks) + len(state.scopes) + len(self._heard)

    @property
    def folded(self) -> Folded:
        """Counts of what is in foreach cells."""
        if self._folded is None:
            self._folded = fold_state(self.state)
        return self._folded

    @property
    def heard_seq(self) -> int:
        """Return the newest event up to which it can be folded without reading any. `lock` need not be held."""
        return self._heard.newest(self.state.seq)

    def doubt(self) -> None:
        """Note that something has happened that was not heard. `lock` need not be held."""
        self.doubts += 1
        self.record = None

    def hear(self, events: Iterable[history_pb2.HistoryEvent]) -> None:
        """Keep events, in order of seq, until they are folded. `lock` need not be held."""
        self._heard.add(events)

    def heard(self, most: int) -> list[history_pb2.HistoryEvent]:
        """Take some of the events that follow, as far as they were heard."""
        return self._heard.take(self.state.seq, most)

    def advance(self, events: Iterable[history_pb2.HistoryEvent]) -> None:
        """Folds the next events; those that it knows are left out."""
        state = self.state
        for event in events:
            if event.seq > state.seq:
                evolve(state, event)
        dropped = frozenset(state.transient.dropped)
        steps = frozenset(state.transient.touched_steps) - dropped
        blocks = frozenset(state.transient.touched_blocks) - dropped
        _forget_touched(state)
        places, outside = None, frozenset[str]()
        if self._folded is not None:
            places, outside = self._count(self._folded, steps, blocks, dropped)
        change = Changed(
            seq=state.seq,
            steps=steps,
            blocks=blocks,
            dropped=dropped,
            places=places,
            outside=outside,
        )
        if len(self._changes) == _CHANGES:
            self._known_since = self._changes[0].seq
        self._changes.append(change)

    def since(self, seq: int) -> Changed | None:
        """Return what has changed after an event; None when that is not known any more."""
        if not self._known_since <= seq <= self.state.seq:
            return None
        steps: set[str] = set()
        blocks: set[str] = set()
        dropped: set[str] = set()
        places: set[Place] = set()
        outside: set[str] = set()
        # Who watches asks for the last few of many.
        newest = list(takewhile(lambda change: change.seq > seq, reversed(self._changes)))
        for change in reversed(newest):
            # What was dropped may have come again later, and the other way round.
            dropped |= change.dropped
            dropped -= change.steps
            dropped -= change.blocks
            steps |= change.steps
            blocks |= change.blocks
            if change.dropped:
                steps -= change.dropped
                blocks -= change.dropped
            places |= change.places or set()
            outside |= change.outside
        return Changed(
            seq=self.state.seq,
            steps=frozenset(steps),
            blocks=frozenset(blocks),
            dropped=frozenset(dropped),
            places=None if any(each.places is None for each in newest) else frozenset(places),
            outside=frozenset(outside - dropped),
        )

    def _count(
        self, counts: Folded, steps: Iterable[str], blocks: Iterable[str], dropped: Iterable[str]
    ) -> tuple[frozenset[Place], frozenset[str]]:
        state, places, others = self.state, set[Place | None](), set[str]()
        for key in dropped:
            places.add(counts.drop(key))
        for key in steps:
            place = counts.put(key, state.steps[key])
            places.add(place)
            if place is None:
                others.add(key)
        for key in blocks:
            place = counts.put(key, state.blocks.get(key) or state.scopes[key])
            places.add(place)
            if place is None:
                others.add(key)
        # The bodies of groups and branches in cells are not counted, either.
        outside = frozenset(key for key in others if folded(key) is None)
        return frozenset(place for place in places if place is not None), outside


def _forget_touched(state: RunState) -> None:
    state.transient.touched_steps.clear()
    state.transient.touched_blocks.clear()
    state.transient.dropped.clear()
