"""The updates of datasets."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Protocol

from kaon_coordinator.store.records import DatasetRecord, DatasetUpdate, KeptUpdate


class DatasetStore(Protocol):
    """The updates of datasets: commits add those of steps, each with the event of the step's success.

    Updates of one partition become visible in the order of their ids, whoever commits at the same time.
    """

    @abstractmethod
    def record_dataset_update(
        self, partition: int, update: DatasetUpdate
    ) -> tuple[KeptUpdate, bool]:
        """Store what somebody told, under a partition, and return it with True.

        With the key of an earlier one, return that and False.
        """

    @abstractmethod
    def dataset_updates_since(
        self, tenant: str, dataset: str, since_us: int, positions: Mapping[int, int], limit: int
    ) -> list[KeptUpdate]:
        """Return at most `limit` updates of a dataset from a time on, in the order of their ids.

        Args:
            tenant: Whose it is.
            dataset: Its name.
            since_us: Earlier ones do not count.
            positions: By partition: the id of the last update that is known already.
            limit: The most that are returned.
        """

    @abstractmethod
    def list_datasets(self, tenant: str, after: str, limit: int) -> list[DatasetRecord]:
        """Return at most `limit` datasets of a tenant after one, by name."""

    @abstractmethod
    def find_dataset(self, tenant: str, name: str) -> DatasetRecord | None:
        """Return one dataset; None when no update of it is kept."""

    @abstractmethod
    def dataset_producers(self, tenant: str, name: str, limit: int) -> Sequence[KeptUpdate]:
        """Return the newest update of each step that has updated a dataset, the newest first."""

    @abstractmethod
    def list_dataset_updates(
        self, tenant: str, name: str, part: str | None, before_id: int, limit: int
    ) -> list[KeptUpdate]:
        """Return at most `limit` updates of a dataset, or of one part of it, before one, the newest first."""

    @abstractmethod
    def remove_dataset_updates(self, before_us: int, limit: int) -> list[str]:
        """Delete at most `limit` updates from before a time, and return their datasets."""

    @abstractmethod
    def trim_dataset_updates(self, most: int, limit: int) -> list[str]:
        """Delete at most `limit` of the oldest updates of a tenant that has more than `most`; return their datasets."""
