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
        """Make the caller the owner and return its epoch, higher than any before.

        When this returns, no transaction of an earlier owner is open, and none will ever be committed.
        """

    @abstractmethod
    def partition_epochs(self, partitions: Collection[int]) -> dict[int, int]:
        """Return the newest epoch of each of the partitions that was ever claimed."""

    @abstractmethod
    def load_runs(self, partition: int) -> list[LoadedRun]:
        """Return every run of the partition that has not ended and is not set aside.

        The cost does not depend on the number of ended runs.
        """

    @abstractmethod
    def load_some(self, run_ids: Collection[str]) -> list[LoadedRun]:
        """Return those of the runs that exist, ended or not, in no particular order.

        The cost depends only on their number.
        """

    @abstractmethod
    def unapplied_of(self, partitions: Collection[int], limit: int = 1000) -> list[InboxRow]:
        """Return at most `limit` commands of the partitions that no batch has named as applied, oldest first.

        Commands of runs that are set aside wait with them.
        """

    def unapplied(self, partition: int, limit: int = 1000) -> list[InboxRow]:
        """Return the commands of one partition, as `unapplied_of` does."""
        return self.unapplied_of([partition], limit)

    @abstractmethod
    def commit_all(self, batches: Sequence[PartitionBatch]) -> frozenset[int]:
        """Apply batches of different partitions in one transaction.

        Each batch begins with its fence, which holds its partition until the transaction ends. A batch with
        an outdated epoch is left out, and nothing of it is written; the answer contains its partition. The
        other batches are not affected.

        Raises:
            Conflict: An event with this run and seq exists already; nothing of any batch was written.
            KeysTaken: The idempotency key of a run that begins belongs to an earlier run; nothing of any batch was written.
        """

    def commit(self, batch: PartitionBatch) -> None:
        """Apply one batch as `commit_all` does.

        Raises:
            Fenced: The epoch is not the partition's current one; nothing was written.
            Conflict: An event with this run and seq exists already; nothing was written.
        """
        if self.commit_all([batch]):
            raise Fenced(batch.partition, batch.epoch)

    @abstractmethod
    def unpublished(self, partition: int, limit: int = 1000) -> list[history_pb2.HistoryEvent]:
        """Return at most `limit` events past their runs' published marks, each run's in order of seq."""
