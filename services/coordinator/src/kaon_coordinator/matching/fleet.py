"""The runners of a pool, and which of them may take what."""

from __future__ import annotations

from collections.abc import Iterator

from kaon_coordinator.matching.amounts import NOTHING, fits, plus
from kaon_coordinator.matching.runners import RunnerState
from kaon_coordinator.matching.tickets import Lane, LaneBook
from kaonapi.runner.v1 import runner_pb2


class Fleet:
    """Runners that have been heard lately, by incarnation."""

    def __init__(self, book: LaneBook) -> None:
        self._book = book
        self._runners: dict[str, RunnerState] = {}
        self._eligible: dict[Lane, list[RunnerState]] = {}

    def __len__(self) -> int:
        return len(self._runners)

    def __iter__(self) -> Iterator[RunnerState]:
        return iter(tuple(self._runners.values()))

    def get(self, incarnation: str) -> RunnerState | None:
        """The runner; None when it is not heard."""
        return self._runners.get(incarnation)

    def add(self, heartbeat: runner_pb2.RunnerHeartbeat, now: float) -> RunnerState:
        """A runner that was not known."""
        runner = self._runners[heartbeat.incarnation] = RunnerState(heartbeat=heartbeat, heard=now)
        return runner

    def remove(self, runner: RunnerState) -> None:
        """The runner is gone."""
        del self._runners[runner.incarnation]
        self.changed()

    def changed(self) -> None:
        """What runners offer has changed."""
        self._eligible.clear()

    def total(self) -> tuple[int, int, int, int]:
        """What all runners have together."""
        total = NOTHING
        for runner in self._runners.values():
            total = plus(total, runner.capacity)
        return total

    def eligible(self, lane: Lane) -> list[RunnerState]:
        """The runners that have the labels and the size for a lane, busy or not."""
        found = self._eligible.get(lane)
        if found is None:
            found = self._eligible[lane] = [
                runner for runner in self.labelled(lane) if fits(lane.need, runner.capacity)
            ]
        return found

    def labelled(self, lane: Lane) -> list[RunnerState]:
        """The runners that have the labels for a lane, whatever their size."""
        expressions = self._book.expressions(lane)
        if expressions is None:
            return []
        return [
            runner
            for runner in self._runners.values()
            if all(expression.matches(runner.labels) for expression in expressions)
        ]
