"""Index of a partition's waiting and held steps by pool, which avoids a search through every step."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.engine.state.state import RunState, StepState
from kaon_coordinator.shell import requests


class StepIndex:
    """Paths by pool and run, updated with the changes of each turn."""

    def __init__(self) -> None:
        self._ready: dict[str, dict[str, set[str]]] = defaultdict(dict)
        self._held: dict[str, dict[str, set[str]]] = defaultdict(dict)

    def note(self, state: RunState, paths: Iterable[str]) -> None:
        """Update the index for the run's steps at these paths."""
        for path in paths:
            step = state.steps[path]
            pool = requests.pool_of(step)
            _put(self._ready[pool], state.run_id, path, here=step.status == t.READY)
            _put(self._held[pool], state.run_id, path, here=step.status in t.HELD)

    def forget(self, run_id: str) -> None:
        """Remove a run that has ended."""
        for places in (*self._ready.values(), *self._held.values()):
            places.pop(run_id, None)

    def count_ready(self, pool: str, runs: dict[str, RunState]) -> int:
        """Return the number of steps that wait for a runner of the pool."""
        return sum(
            len(paths) for run_id, paths in self._ready[pool].items() if not runs[run_id].halted
        )

    def ready_pools(self, runs: dict[str, RunState]) -> dict[str, int]:
        """Return how many steps wait in each pool in which any does."""
        counts = {pool: self.count_ready(pool, runs) for pool in list(self._ready)}
        return {pool: count for pool, count in counts.items() if count}

    def ready(self, pool: str, runs: dict[str, RunState]) -> Iterator[tuple[RunState, StepState]]:
        """Return the steps that wait for a runner of the pool, in order of creation, oldest run first."""
        return (found for found in _steps(self._ready[pool], runs) if not found[0].halted)

    def held(self, pool: str, runs: dict[str, RunState]) -> Iterator[tuple[RunState, StepState]]:
        """Return the steps that runners of the pool hold."""
        return _steps(self._held[pool], runs)


def _put(places: dict[str, set[str]], run_id: str, path: str, *, here: bool) -> None:
    if here:
        places.setdefault(run_id, set()).add(path)
    elif run_id in places:
        places[run_id].discard(path)
        if not places[run_id]:
            del places[run_id]


def _steps(
    places: dict[str, set[str]], runs: dict[str, RunState]
) -> Iterator[tuple[RunState, StepState]]:
    # Run ids ascend with time.
    for run_id in sorted(places):
        state = runs[run_id]
        # A reset drops steps without an event of their own.
        places[run_id] &= state.steps.keys()
        for step in sorted(
            (state.steps[path] for path in places[run_id]), key=lambda step: step.position
        ):
            yield state, step
