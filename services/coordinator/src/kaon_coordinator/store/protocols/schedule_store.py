"""Schedules, and what their owners have decided."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Collection
from typing import Protocol

from kaon_coordinator.store.records import RunRecord, ScheduleRecord, ScheduleStep
from kaon_wire.errors import Conflict


class ScheduleStore(Protocol):
    """Schedules, and what their owners have decided."""

    @abstractmethod
    def put_schedule(self, schedule: ScheduleRecord) -> tuple[ScheduleRecord, bool]:
        """Stores a schedule or replaces the one of its name, and returns it as it stands now; True when there was none. Partition,
        revision and time of creation of one that was there stay its own."""

    @abstractmethod
    def get_schedule(self, tenant: str, name: str) -> ScheduleRecord:
        """One schedule.

        Raises:
            NotFound: the tenant has no such schedule.
        """

    @abstractmethod
    def list_schedules(self, tenant: str) -> list[ScheduleRecord]:
        """The tenant's schedules, by name."""

    @abstractmethod
    def delete_schedule(self, tenant: str, name: str) -> None:
        """Deletes a schedule; its runs stay.

        Raises:
            NotFound: the tenant has no such schedule.
        """

    @abstractmethod
    def due_schedules(
        self, partitions: Collection[int], now_us: int, limit: int = 100
    ) -> list[ScheduleRecord]:
        """Schedules of these partitions whose `next_us` has come, in its order."""

    @abstractmethod
    def advance_schedule(
        self, epoch: int, step: ScheduleStep
    ) -> list[tuple[RunRecord, bool] | Conflict] | None:
        """Writes what the owner of the schedule's partition has decided: the runs (answered as `submit_runs` does), the messages,
        and how the schedule stands. None, and nothing is written, when the schedule was changed or deleted since it was read.

        Raises:
            Fenced: the epoch is not the partition's current one; nothing was written.
        """
