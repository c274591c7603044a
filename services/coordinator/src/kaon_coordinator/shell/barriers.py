"""Barriers: the precondition for ending overdue leases.

After the deadline the owner sends a record to itself. Once it has read that record, it has also read every
report that runners sent before.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kaon_coordinator.shell.lease_book import LeaseId
from kaon_coordinator.shell.partition import Partition
from kaon_coordinator.transport.base import Send
from kaon_wire import topics
from kaonapi.step.v1 import step_pb2


@dataclass(kw_only=True)
class _Barrier:
    """Overdue leases that wait until all reports from before their deadline have been read."""

    leases: list[LeaseId]
    # Content of the record that the owner sends to itself after the deadline.
    token: str
    # When to send it again, in monotonic seconds.
    resend: float
    passed: bool = False


class Barriers:
    """The barriers of all partitions of one owner, at most one per partition.

    Args:
        resend_seconds: The seconds after which an unread barrier is sent again.
    """

    def __init__(self, resend_seconds: float) -> None:
        self._resend_seconds = resend_seconds
        self._barriers: dict[int, _Barrier] = {}

    def due(self, partitions: Iterable[Partition], now: float) -> list[Send]:
        """Return the records to send now for overdue leases."""
        return [send for partition in partitions if (send := self._due(partition, now)) is not None]

    def _due(self, partition: Partition, now: float) -> Send | None:
        barrier = self._barriers.get(partition.number)
        if barrier is None:
            overdue = partition.watch.leases.overdue(now)
            if not overdue:
                return None
            barrier = _Barrier(leases=overdue, token=uuid.uuid4().hex, resend=now)
            self._barriers[partition.number] = barrier
        if barrier.passed or now < barrier.resend:
            return None
        barrier.resend = now + self._resend_seconds
        record = step_pb2.StepEvents(partition=partition.number, barrier=barrier.token)
        return Send(
            topic=topics.STEP_EVENTS, partition=partition.number, value=record.SerializeToString()
        )

    def hear(self, partition: int, reports: Sequence[step_pb2.StepEvents]) -> bool:
        """Tell whether the partition's barrier has arrived, in these records or earlier."""
        barrier = self._barriers.get(partition)
        if barrier is None:
            return False
        barrier.passed = barrier.passed or any(
            report.barrier == barrier.token for report in reports
        )
        return barrier.passed

    def expired(self, partition: Partition, now: float) -> list[LeaseId]:
        """Return the expired leases: overdue, and not renewed by any report before their barrier.

        Call it after all records of the barrier's batch have been applied.
        """
        barrier = self._barriers.get(partition.number)
        if barrier is None or not barrier.passed:
            return []
        del self._barriers[partition.number]
        return [lease for lease in barrier.leases if partition.watch.leases.is_overdue(lease, now)]

    def drop(self, partition: int) -> None:
        """Forget a partition that another owner has claimed."""
        self._barriers.pop(partition, None)
