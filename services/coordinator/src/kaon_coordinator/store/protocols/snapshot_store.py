"""A run's state after some event. Snapshots follow from the history, and only make looking at the past faster."""

from __future__ import annotations

from abc import abstractmethod
from typing import Protocol

from kaon_coordinator.store.records import Snapshot


class SnapshotStore(Protocol):
    """A run's state after some event. Snapshots follow from the history, and only make looking at the past faster."""

    @abstractmethod
    def read_snapshot(self, run_id: str) -> Snapshot | None:
        """The state of a run as it stands; None when it has changed while it was read.

        Raises:
            NotFound: there is no such run.
        """

    @abstractmethod
    def put_snapshot(self, snapshot: Snapshot) -> None:
        """Keeps the state of a run, unless it is kept already or the run is gone. It goes with its run."""

    @abstractmethod
    def find_snapshot(self, run_id: str, seq: int) -> Snapshot | None:
        """The newest state that was kept after event `seq` or before; None when there is none."""

    @abstractmethod
    def snapshot_seqs(self, run_id: str) -> list[int]:
        """After which events the run's state was kept, in order."""
