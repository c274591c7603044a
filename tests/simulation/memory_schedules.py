"""Schedules in memory."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from kaon_coordinator.store.base import ScheduleRecord, ScheduleStep
from kaon_wire.errors import NotFound
from kaonapi.schedule.v1 import schedule_pb2


class MemorySchedules:
    """By tenant and name."""

    def serialized(self) -> list[bytes]:
        """Every schedule as bytes."""
        return [record.definition.SerializeToString() for record in self._kept.values()]

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], ScheduleRecord] = {}

    def put(self, schedule: ScheduleRecord) -> tuple[ScheduleRecord, bool]:
        """Stores or replaces."""
        key = (schedule.tenant, schedule.name)
        old = self._kept.get(key)
        if old is None:
            new = replace(schedule, revision=1)
        else:
            new = replace(
                schedule,
                partition=old.partition,
                revision=old.revision + 1,
                create_us=old.create_us,
            )
        self._kept[key] = _own(new)
        return _own(new), old is None

    def get(self, tenant: str, name: str) -> ScheduleRecord:
        """One."""
        if (tenant, name) not in self._kept:
            raise NotFound(f"there is no schedule {name!r}")
        return _own(self._kept[tenant, name])

    def of_tenant(self, tenant: str) -> list[ScheduleRecord]:
        """By name."""
        return [_own(record) for (of, _), record in sorted(self._kept.items()) if of == tenant]

    def remove(self, tenant: str, name: str) -> None:
        """Deletes one."""
        if self._kept.pop((tenant, name), None) is None:
            raise NotFound(f"there is no schedule {name!r}")

    def due(self, partitions: Collection[int], now_us: int, limit: int) -> list[ScheduleRecord]:
        """Those whose time has come."""
        found = [
            record
            for record in self._kept.values()
            if record.partition in partitions and record.next_us <= now_us
        ]
        found.sort(key=lambda record: (record.next_us, record.tenant, record.name))
        return [_own(record) for record in found[:limit]]

    def advance(self, step: ScheduleStep) -> bool:
        """Writes how one stands; False when somebody has changed it."""
        read = step.schedule
        now = self._kept.get((read.tenant, read.name))
        if now is None or (now.revision, now.create_us) != (read.revision, read.create_us):
            return False
        self._kept[read.tenant, read.name] = replace(
            now, next_us=step.next_us, state=step.state, revision=now.revision + 1
        )
        return True


def _own(record: ScheduleRecord) -> ScheduleRecord:
    definition = schedule_pb2.Schedule()
    definition.CopyFrom(record.definition)
    return replace(record, definition=definition)
