"""What the owner of a partition reads, and what it writes under its epoch."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection, Sequence
from typing import Protocol

from kaon_coordinator.store.fencing import Fenced
from kaon_coordinator.store.records import InboxRow, LoadedRun, PartitionBatch
from kaonapi.run.v1 import history_pb2


class PartitionStore(Protocol):
    """What the owner of a partition reads, and what it writes under its epoch."""

    @abstractmethod
    def claim_partition(self, partition: int, owner: str) -> int:
        """Makes the caller the owner and returns its epoch, higher than any before. When this returns, no transaction of an
        earlier owner is under way, and none will ever be committed."""

    @abstractmethod
    def load_runs(self, partition: int) -> list[LoadedRun]:
        """Every run of the partition that has not ended and is not set aside. The cost does not depend on how many have ended."""

    @abstractmethod
    def load_some(self, run_ids: Collection[str]) -> list[LoadedRun]:
        """Those of the runs that are there, ended or not, in no particular order. The cost depends only on how many they are."""

    @abstractmethod
    def unapplied_of(self, partitions: Collection[int], limit: int = 1000) -> list[InboxRow]:
        """Commands of the partitions that no batch has named as applied, oldest first, at most `limit`. Those of runs that are set
        aside wait with them."""

    def unapplied(self, partition: int, limit: int = 1000) -> list[InboxRow]:
        """Commands of one partition, as `unapplied_of` gives them."""
        return self.unapplied_of([partition], limit)

    @abstractmethod
    def commit_all(self, batches: Sequence[PartitionBatch]) -> frozenset[int]:
        """Applies batches of different partitions in one transaction. Each batch begins with its fence, which holds its partition
        until the transaction ends. A batch whose epoch is not its partition's current one is left out, and nothing of it written;
        its partition is in the answer. The others do not suffer from it.

        Raises:
            Conflict: an event with this run and seq is there already; nothing of any batch was written.
        """

    def commit(self, batch: PartitionBatch) -> None:
        """Applies one batch as `commit_all` does.

        Raises:
            Fenced: the epoch is not the partition's current one; nothing was written.
            Conflict: an event with this run and seq is there already; nothing was written.
        """
        if self.commit_all([batch]):
            raise Fenced(batch.partition, batch.epoch)

    @abstractmethod
    def unpublished(self, partition: int, limit: int = 1000) -> list[history_pb2.HistoryEvent]:
        """Events past their runs' published marks, each run's in order of seq, at most `limit`."""
