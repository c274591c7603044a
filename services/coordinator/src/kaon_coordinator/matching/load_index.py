"""The load index: runners with room, ordered by load, so that finding the best one needs no scan."""

from __future__ import annotations

import bisect
from collections.abc import Iterator
from typing import Generic, Protocol, TypeAlias, TypeVar

from kaon_coordinator.matching.amounts import Amount, fits_beside, scaled

# The outstanding amount and the limit as a multiple of the capacity: equal runners at one level are
# interchangeable.
Level: TypeAlias = tuple[Amount, float]


class Indexed(Protocol):
    """What the index reads of a runner."""

    @property
    def incarnation(self) -> str:
        """Return the incarnation of the runner."""


Runner = TypeVar("Runner", bound=Indexed)


class LoadIndex(Generic[Runner]):
    """Open runners of the same capacity, by level: the least loaded first.

    Args:
        capacity: The capacity of each runner.
    """

    __slots__ = ("_capacity", "_limits", "_order", "_runners")

    def __init__(self, capacity: Amount) -> None:
        self._capacity = capacity
        self._runners: dict[Level, dict[Runner, None]] = {}
        # Ascending: by slots first.
        self._order: list[Level] = []
        self._limits: dict[float, Amount] = {}

    def __bool__(self) -> bool:
        return bool(self._order)

    def add(self, runner: Runner, level: Level) -> None:
        """Add a runner at its level."""
        runners = self._runners.get(level)
        if runners is None:
            runners = self._runners[level] = {}
            bisect.insort(self._order, level)
        runners[runner] = None

    def remove(self, runner: Runner, level: Level) -> None:
        """Remove a runner from its level."""
        runners = self._runners[level]
        del runners[runner]
        if not runners:
            del self._runners[level]
            del self._order[bisect.bisect_left(self._order, level)]

    def free(self, need: Amount) -> Iterator[Runner]:
        """Yield the runners that could start `need` at once, the least loaded first."""
        capacity = self._capacity
        most = capacity[0] - need[0]
        for level in self._order:
            if level[0][0] > most:
                return
            if fits_beside(need, level[0], capacity):
                yield from self._runners[level]

    def first_free(self, need: Amount, avoid: str) -> Runner | None:
        """Return the first runner of `free` that is not the incarnation `avoid`."""
        capacity = self._capacity
        most = capacity[0] - need[0]
        for level in self._order:
            if level[0][0] > most:
                return None
            if fits_beside(need, level[0], capacity):
                for runner in self._runners[level]:
                    if runner.incarnation != avoid:
                        return runner
        return None

    def first_with_room(self, need: Amount, avoid: str) -> Runner | None:
        """Return the least loaded runner that may have `need` outstanding too and is not the incarnation `avoid`."""
        for level in self._order:
            if fits_beside(need, level[0], self._limit(level[1])):
                for runner in self._runners[level]:
                    if runner.incarnation != avoid:
                        return runner
        return None

    def _limit(self, factor: float) -> Amount:
        limit = self._limits.get(factor)
        if limit is None:
            limit = self._limits[factor] = scaled(self._capacity, factor)
        return limit
