"""The partitions of runs that one process owns, and the event that asks for a turn of them."""

from __future__ import annotations

import asyncio

from kaon_coordinator.engine.state.state import RunState
from kaon_coordinator.faults import note_fault
from kaon_coordinator.shell.partition import Partition


class Partitions:
    """Holds what `Ownership` opens and drops; everything else only looks at it."""

    def __init__(self) -> None:
        # By number.
        self.owned: dict[int, Partition] = {}
        # Set by whatever wants a turn before the next tick.
        self.woken = asyncio.Event()
        # Partitions with the epochs under which the store has refused something beside the turns.
        self.refused: set[tuple[int, int]] = set()

    def epochs(self) -> dict[int, int]:
        """The partitions, each with the epoch under which it is owned."""
        return {number: partition.epoch for number, partition in self.owned.items()}

    def epoch_of(self, number: int) -> int | None:
        """The epoch under which this process owns a partition; None when it does not."""
        partition = self.owned.get(number)
        return None if partition is None else partition.epoch

    def open_runs(self) -> list[RunState]:
        """The runs that have not ended."""
        return [state for partition in self.owned.values() for state in partition.runs.values()]

    def find_run(self, run_id: str) -> RunState | None:
        """A run that has not ended."""
        return next((p.runs[run_id] for p in self.owned.values() if run_id in p.runs), None)

    def refuse(self, number: int, epoch: int) -> None:
        """Notes that the store has refused something under this epoch; the next tick drops the partition."""
        self.refused.add((number, epoch))
        self.woken.set()

    def fault(self, number: int, run_id: str, doing: str, error: BaseException) -> None:
        """Notes that something unforeseen was raised for a run beside the turns; the next turn ends the run."""
        partition = self.owned.get(number)
        if partition is None:
            note_fault(doing, error, run=run_id)
            return
        partition.fault(run_id, doing, error)
        self.woken.set()
