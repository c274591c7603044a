"""Runners that are alike: same labels (as far as anybody asks for them), same capacity, equally quick."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

from kaon_coordinator.matching.amounts import Amount, fits
from kaon_coordinator.matching.runners import RunnerState
from kaon_coordinator.matching.shelves import Shelf
from kaon_coordinator.matching.tickets import Lane

# The labels that somebody asks for, as sorted pairs; the capacity; whether it is slow.
Signature: TypeAlias = tuple[tuple[tuple[str, str], ...], Amount, bool]


class Group:
    """Runners that are alike.

    Args:
        signature: what they have in common.
    """

    def __init__(self, signature: Signature) -> None:
        self.signature = signature
        labels, self.capacity, self.slow = signature
        self.labels = dict(labels)
        self.members: dict[RunnerState, None] = {}
        self.reserved: dict[RunnerState, None] = {}
        # Raised when one of them gets room: what found none before may try again.
        self.version = 0
        self._shelf = Shelf(self.capacity)
        # By code bundle: those with a warm worker, and those that were given steps of it lately.
        self._warm: dict[str, Shelf] = {}
        self._cached: dict[str, Shelf] = {}
        # When something of this size was last placed here.
        self._placed: dict[Amount, float] = {}

    def shelves(self, runner: RunnerState) -> tuple[Shelf, ...]:
        """The shelves on which a runner belongs."""
        shelves = [self._shelf]
        shelves += [self._warm.setdefault(bundle, Shelf(self.capacity)) for bundle in runner.warm]
        cached = (bundle for bundle in runner.cached if bundle not in runner.warm)
        shelves += [self._cached.setdefault(bundle, Shelf(self.capacity)) for bundle in cached]
        return tuple(shelves)

    def free(self, lane: Lane) -> Iterator[tuple[RunnerState, int]]:
        """Runners at which the lane's steps could run at once: 0 for those with a warm worker, 1 for those that probably have
        the code bundle, 2 for the others; in this order, and the least loaded first."""
        for distance, shelf in enumerate(
            (self._warm.get(lane.bundle), self._cached.get(lane.bundle), self._shelf)
        ):
            if shelf:
                for runner in shelf.free(lane.need):
                    yield runner, distance

    def room(self, lane: Lane) -> Iterator[RunnerState]:
        """Runners at which the lane's steps may be outstanding too, in the same order."""
        for shelf in (self._warm.get(lane.bundle), self._cached.get(lane.bundle), self._shelf):
            if shelf:
                yield from shelf.room(lane.need)

    def note_placed(self, need: Amount, now: float) -> None:
        """Something of this size was placed here."""
        self._placed[need] = now
        if len(self._placed) > 1000:
            self._placed = {size: time for size, time in self._placed.items() if now - time < 60.0}

    def overtaken(self, need: Amount, since: float) -> bool:
        """Whether something that is smaller in some respect was placed here since then."""
        return any(time > since and not fits(need, size) for size, time in self._placed.items())
