"""The deadlines of leases, in monotonic seconds that callers pass in.

Only an owner that could receive messages expires a lease. After the deadline it sends a record to itself and
waits until it has read it, and with it every report that runners sent before. No lease ends within one lease
time of an assignment or a reconnection. So an unreachable broker or a late owner costs no step.
"""

from __future__ import annotations

import heapq
from typing import NamedTuple

from kaon_coordinator.engine.issue import StepIssue

LEASE_SECONDS = 10.0


class LeaseId(NamedTuple):
    """One issue of one step of one run."""

    run_id: str
    issue: StepIssue


class LeaseBook:
    """The leases of one partition.

    Args:
        seconds: The duration of a lease without a renewal.
    """

    def __init__(self, *, seconds: float = LEASE_SECONDS) -> None:
        self._seconds = seconds
        self._deadlines: dict[LeaseId, float] = {}
        # A heap of (deadline, run, issue) that may lag behind the deadlines: entries are put right when they surface.
        self._heap: list[tuple[float, str, StepIssue]] = []
        self._not_before = 0.0

    def __len__(self) -> int:
        return len(self._deadlines)

    def hold(self, lease: LeaseId, now: float) -> None:
        """Record a new holder or its renewal."""
        deadline = now + self._seconds
        known = lease in self._deadlines
        self._deadlines[lease] = deadline
        if not known:
            heapq.heappush(self._heap, (deadline, lease.run_id, lease.issue))

    def renew(self, lease: LeaseId, now: float) -> bool:
        """Prolong a held lease; return False when it is not held."""
        if lease not in self._deadlines:
            return False
        self._deadlines[lease] = now + self._seconds
        return True

    def end(self, lease: LeaseId) -> None:
        """Remove a lease: no renewal is expected any longer."""
        self._deadlines.pop(lease, None)

    def deafen(self, now: float) -> None:
        """Note that the owner could not receive messages until now: nothing expires within one lease from here."""
        self._not_before = now + self._seconds

    def is_overdue(self, lease: LeaseId, now: float) -> bool:
        """Tell whether the lease is held and its deadline has passed."""
        deadline = self._deadlines.get(lease)
        return deadline is not None and deadline <= now and now >= self._not_before

    def overdue(self, now: float) -> list[LeaseId]:
        """Return the leases whose deadline has passed; they stay in the book until they are ended."""
        if now < self._not_before:
            return []
        found: list[LeaseId] = []
        while self._heap and self._heap[0][0] <= now:
            _, run_id, issue = heapq.heappop(self._heap)
            lease = LeaseId(run_id=run_id, issue=issue)
            deadline = self._deadlines.get(lease)
            if deadline is None:
                continue
            if deadline <= now:
                found.append(lease)
                deadline = now
            heapq.heappush(self._heap, (max(deadline, now + 0.001), run_id, issue))
        return found
