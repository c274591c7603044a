"""A run's state after some event. Snapshots follow from the history, and only make looking at the past faster."""

from __future__ import annotations

from abc import abstractmethod
from typing import Protocol

from kaon_coordinator.store.records import Snapshot


class SnapshotStore(Protocol):
    """A run's state after some event. Snapshots follow from the history, and only make looking at the past faster."""

    @abstractmethod
    def read_snapshot(self, run_id: str) -> Snapshot | None:
        """Return the current state of a run, or None when it changed during the read.

        Raises:
            NotFound: The run does not exist.
        """

    @abstractmethod
    def put_snapshot(self, snapshot: Snapshot) -> None:
        """Store a snapshot of a run, unless it exists already or the run is gone.

        It is deleted with its run.
        """

    @abstractmethod
    def find_snapshot(self, run_id: str, seq: int) -> Snapshot | None:
        """Return the newest snapshot after event `seq` or before; None when there is none."""

    @abstractmethod
    def snapshot_seqs(self, run_id: str) -> list[int]:
        """Return the event numbers of the run's snapshots, in order."""
