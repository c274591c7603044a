"""Runners that are alike: same labels (as far as anybody asks for them), same capacity, equally quick."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, Protocol, TypeAlias, TypeVar

from kaon_coordinator.matching.amounts import Amount, fits
from kaon_coordinator.matching.load_index import Indexed, LoadIndex
from kaon_coordinator.matching.tickets import Ticket

# The labels that somebody asks for, as sorted pairs; the capacity; whether it is slow.
Signature: TypeAlias = tuple[tuple[tuple[str, str], ...], Amount, bool]


class Alike(Indexed, Protocol):
    """What a group knows of a runner."""

    @property
    def reserved(self) -> Ticket | None:
        """The ticket for which the runner is kept free."""


Runner = TypeVar("Runner", bound=Alike)


class Group(Generic[Runner]):
    """Runners that are alike.

    Args:
        signature: what they have in common.
    """

    def __init__(self, signature: Signature) -> None:
        self.signature = signature
        labels, self.capacity, self.slow = signature
        self.labels = dict(labels)
        self.members: dict[Runner, None] = {}
        self.reserved: dict[Runner, None] = {}
        # Raised when one of them gets room: what found none before may try again.
        self.version = 0
        self.load_index: LoadIndex[Runner] = LoadIndex(self.capacity)
        # When something of this size was last placed here.
        self._placed: dict[Amount, float] = {}

    def join(self, runner: Runner) -> None:
        """The runner is one of these from now on."""
        self.members[runner] = None
        if runner.reserved is not None:
            self.reserved[runner] = None

    def leave(self, runner: Runner) -> None:
        """The runner is none of these any more."""
        del self.members[runner]
        self.reserved.pop(runner, None)

    def wastes(self, need: Amount) -> bool:
        """Whether it has something scarce that the step does not need: GPUs or custom resources."""
        if self.capacity[3] and not need[3]:
            return True
        return bool(self.capacity[4]) and {name for name, _ in self.capacity[4]} > {
            name for name, _ in need[4]
        }

    def free(self, need: Amount) -> Iterator[Runner]:
        """All runners at which a step could run at once, the least loaded first."""
        return self.load_index.free(need)

    def note_placed(self, need: Amount, now: float) -> None:
        """Something of this size was placed here."""
        self._placed[need] = now
        if len(self._placed) > 1000:
            self._placed = {size: time for size, time in self._placed.items() if now - time < 60.0}

    def overtaken(self, need: Amount, since: float) -> bool:
        """Whether something that is smaller in some respect was placed here since then."""
        return any(time > since and not fits(need, size) for size, time in self._placed.items())
