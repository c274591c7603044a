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
        """Store a schedule or replace the one of its name, and return it with True when it is new.

        An existing schedule keeps its partition, revision and time of creation.
        """

    @abstractmethod
    def get_schedule(self, tenant: str, name: str) -> ScheduleRecord:
        """Return one schedule.

        Raises:
            NotFound: The tenant has no such schedule.
        """

    @abstractmethod
    def list_schedules(
        self, tenant: str, after: str = "", limit: int | None = None
    ) -> list[ScheduleRecord]:
        """Return the tenant's schedules, by name: at most `limit` after one."""

    @abstractmethod
    def delete_schedule(self, tenant: str, name: str) -> None:
        """Delete a schedule; its runs stay.

        Raises:
            NotFound: The tenant has no such schedule.
        """

    @abstractmethod
    def due_schedules(
        self, partitions: Collection[int], now_us: int, limit: int = 100
    ) -> list[ScheduleRecord]:
        """Return the schedules of these partitions whose `next_us` has passed, in its order."""

    @abstractmethod
    def advance_schedule(
        self, epoch: int, step: ScheduleStep
    ) -> list[tuple[RunRecord, bool] | Conflict] | None:
        """Write the decision about a schedule: its runs (answered as `submit_runs` does), messages and state.

        Return None and write nothing when the schedule was changed or deleted since it was read.

        Raises:
            Fenced: The epoch is not the partition's current one; nothing was written.
        """
