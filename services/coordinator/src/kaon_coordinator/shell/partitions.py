"""The partitions of runs that one process owns, and the event that requests a turn."""

from __future__ import annotations

import asyncio
from collections import Counter

from kaon_coordinator.engine.state.state import RunState
from kaon_coordinator.faults import note_fault
from kaon_coordinator.shell.partition import Partition


class Partitions:
    """The partitions that `Ownership` opens and drops; all others only read them."""

    def __init__(self) -> None:
        # By number.
        self.owned: dict[int, Partition] = {}
        # Set to request a turn before the next tick.
        self.woken = asyncio.Event()
        # Partitions with the epochs that were found to be outdated outside the turns.
        self.refused: set[tuple[int, int]] = set()

    def epochs(self) -> dict[int, int]:
        """Return the partitions, each with the epoch of its ownership."""
        return {number: partition.epoch for number, partition in self.owned.items()}

    def epoch_of(self, number: int) -> int | None:
        """Return the epoch under which this process owns a partition, or None."""
        partition = self.owned.get(number)
        return None if partition is None else partition.epoch

    def open_runs(self) -> list[RunState]:
        """Return the active runs."""
        return [state for partition in self.owned.values() for state in partition.runs.values()]

    def find_run(self, run_id: str) -> RunState | None:
        """Return an active run."""
        return next((p.runs[run_id] for p in self.owned.values() if run_id in p.runs), None)

    def ready_pools(self) -> Counter[str]:
        """Return how many steps of all partitions wait in each pool."""
        return sum(
            (Counter(partition.ready_pools()) for partition in self.owned.values()), Counter()
        )

    def refuse(self, number: int, epoch: int) -> None:
        """Note that another owner has a newer epoch than this one; the next tick drops the partition."""
        self.refused.add((number, epoch))
        self.woken.set()

    def fault(self, number: int, run_id: str, doing: str, error: BaseException) -> None:
        """Record a fault of a run outside the turns; the next turn ends the run."""
        partition = self.owned.get(number)
        if partition is None:
            note_fault(doing, error, run=run_id)
            return
        partition.fault(run_id, doing, error)
        self.woken.set()
