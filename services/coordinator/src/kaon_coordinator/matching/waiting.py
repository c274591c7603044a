"""The waiting room: requests by priority, tenant and lane. Queues hold tickets in the order of arrival; tickets that have left by
another way are dropped when they come up."""

from __future__ import annotations

import bisect
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from typing import TypeAlias

from kaon_coordinator.matching.tickets import Lane, Place, Ticket

Queue: TypeAlias = deque[Ticket]
TenantQueues: TypeAlias = dict[Lane, Queue]


class WaitingRoom:
    """All waiting tickets of a pool."""

    def __init__(self) -> None:
        # Ascending.
        self._priorities: list[int] = []
        self._levels: dict[int, dict[str, TenantQueues]] = {}
        self._count = 0
        self._by_partition: dict[int, int] = defaultdict(int)

    def __len__(self) -> int:
        return self._count

    def add(self, ticket: Ticket, *, first: bool = False) -> None:
        """Lets a ticket wait; `first` puts it before the others of its lane, for one that has waited before."""
        if ticket.priority not in self._levels:
            bisect.insort(self._priorities, ticket.priority)
            self._levels[ticket.priority] = {}
        queue = self._levels[ticket.priority].setdefault(ticket.tenant, {}).setdefault(ticket.lane, deque())
        if first:
            queue.appendleft(ticket)
        else:
            queue.append(ticket)
        ticket.place = Place.WAITING
        self._count += 1
        self._by_partition[ticket.partition] += 1

    def leave(self, ticket: Ticket, place: Place) -> None:
        """The ticket waits no more; it stays in its queue until it comes up."""
        ticket.place = place
        self._count -= 1
        self._by_partition[ticket.partition] -= 1

    def of_partition(self, partition: int) -> int:
        """How many tickets of an engine partition wait."""
        return self._by_partition[partition]

    def levels(self) -> Iterator[dict[str, TenantQueues]]:
        """The tenants' queues of each priority, highest first. Empty levels are forgotten on the way."""
        for priority in reversed(tuple(self._priorities)):
            level = self._levels[priority]
            yield level
            if not level:
                del self._levels[priority]
                self._priorities.remove(priority)

    def before(self, ticket: Ticket) -> int:
        """How many waiting tickets have precedence whatever the shares: higher priorities, and the tenant's own older ones."""
        count = sum(_waiting(queue) for queue in self._queues(above=ticket.priority))
        own = self._levels.get(ticket.priority, {}).get(ticket.tenant, {})
        older = (
            other
            for queue in own.values()
            for other in queue
            if other.place is Place.WAITING and other.sequence < ticket.sequence
        )
        return count + sum(1 for _ in older)

    def _queues(self, *, above: int) -> Iterable[Queue]:
        for priority in self._priorities:
            if priority > above:
                for tenant in self._levels[priority].values():
                    yield from tenant.values()


def head(queue: Queue) -> Ticket | None:
    """The first ticket of a queue that still waits; those before it are dropped."""
    while queue and queue[0].place is not Place.WAITING:
        queue.popleft()
    return queue[0] if queue else None


def _waiting(queue: Queue) -> int:
    return sum(1 for ticket in queue if ticket.place is Place.WAITING)
