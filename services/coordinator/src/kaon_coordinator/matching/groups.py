"""Groups of equal runners: same requested labels, same capacity, equally fast."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, Protocol, TypeAlias, TypeVar

from kaon_coordinator.matching.amounts import Amount, fits
from kaon_coordinator.matching.load_index import Indexed, LoadIndex
from kaon_coordinator.matching.tickets import Ticket

# The requested labels as sorted pairs, the capacity, and whether the runner is slow.
Signature: TypeAlias = tuple[tuple[tuple[str, str], ...], Amount, bool]


class Alike(Indexed, Protocol):
    """What a group reads of a runner."""

    @property
    def reserved(self) -> Ticket | None:
        """Return the ticket of the runner's reservation."""


Runner = TypeVar("Runner", bound=Alike)


class Group(Generic[Runner]):
    """A group of equal runners.

    Args:
        signature: Their common properties.
    """

    def __init__(self, signature: Signature) -> None:
        self.signature = signature
        labels, self.capacity, self.slow = signature
        self.labels = dict(labels)
        self.members: dict[Runner, None] = {}
        self.reserved: dict[Runner, None] = {}
        # Raised when one of them gains room: requests that found none may try again.
        self.version = 0
        self.load_index: LoadIndex[Runner] = LoadIndex(self.capacity)
        # When a step of this size was last placed here.
        self._placed: dict[Amount, float] = {}

    def join(self, runner: Runner) -> None:
        """Add a runner to the group."""
        self.members[runner] = None
        if runner.reserved is not None:
            self.reserved[runner] = None

    def leave(self, runner: Runner) -> None:
        """Remove a runner from the group."""
        del self.members[runner]
        self.reserved.pop(runner, None)

    def wastes(self, need: Amount) -> bool:
        """Tell whether the group has scarce resources (GPUs, custom resources) that the step does not need."""
        if self.capacity[3] and not need[3]:
            return True
        return bool(self.capacity[4]) and {name for name, _ in self.capacity[4]} > {
            name for name, _ in need[4]
        }

    def free(self, need: Amount) -> Iterator[Runner]:
        """Yield all runners that could start the need at once, the least loaded first."""
        return self.load_index.free(need)

    def note_placed(self, need: Amount, now: float) -> None:
        """Record that a step of this size was placed here."""
        self._placed[need] = now
        if len(self._placed) > 1000:
            self._placed = {size: time for size, time in self._placed.items() if now - time < 60.0}

    def overtaken(self, need: Amount, since: float) -> bool:
        """Tell whether a step that is smaller in some resource was placed here since that time."""
        return any(time > since and not fits(need, size) for size, time in self._placed.items())
