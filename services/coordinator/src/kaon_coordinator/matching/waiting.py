"""The waiting room: requests by tenant, priority and lane.

A line holds tickets in order of arrival; tickets that left by another way are dropped when they come up.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping
from typing import TypeAlias

from kaon_coordinator.matching.tickets import Lane, Place, Ticket


class Line:
    """One tenant's tickets of one lane and priority."""

    __slots__ = ("lane", "live", "priority", "tenant", "tickets")

    def __init__(self, tenant: str, priority: int, lane: Lane) -> None:
        self.tenant = tenant
        self.priority = priority
        self.lane = lane
        self.tickets: deque[Ticket] = deque()
        # The number of tickets that wait; the others are to be dropped.
        self.live = 0

    def head(self) -> Ticket | None:
        """Return the first ticket that still waits; drop those before it."""
        tickets = self.tickets
        while tickets and tickets[0].place is not Place.WAITING:
            tickets.popleft()
        return tickets[0] if tickets else None


LineKey: TypeAlias = tuple[int, Lane]
Lines: TypeAlias = dict[LineKey, Line]


class WaitingRoom:
    """All waiting tickets of a pool.

    Args:
        ageing: The seconds of waiting that one level of priority equals.
    """

    def __init__(self, ageing: float) -> None:
        self._ageing = ageing
        self._tenants: dict[str, Lines] = {}
        self._count = 0
        self._by_partition: dict[int, int] = defaultdict(int)

    def __len__(self) -> int:
        return self._count

    def urgency(self, ticket: Ticket) -> float:
        """Return the order within a tenant: the time of arrival, with priority counted as waiting time. The smallest goes first.

        It never changes, and only finitely many later tickets can have a smaller one: no ticket starves.
        """
        return ticket.since - ticket.priority * self._ageing

    def add(self, ticket: Ticket, *, first: bool = False) -> None:
        """Add a ticket; `first` puts it before the others of its line, if it has waited before."""
        line = self._line(ticket)
        if first:
            line.tickets.appendleft(ticket)
        else:
            line.tickets.append(ticket)
        line.live += 1
        ticket.place = Place.WAITING
        self._count += 1
        self._by_partition[ticket.partition] += 1

    def leave(self, ticket: Ticket, place: Place) -> None:
        """Mark a ticket as gone; it stays in its line until it comes up."""
        line = self._line(ticket)
        line.live -= 1
        if not line.live:
            lines = self._tenants[ticket.tenant]
            del lines[ticket.priority, ticket.lane]
            if not lines:
                del self._tenants[ticket.tenant]
        ticket.place = place
        self._count -= 1
        self._by_partition[ticket.partition] -= 1

    def of_partition(self, partition: int) -> int:
        """Return how many tickets of an engine partition wait."""
        return self._by_partition[partition]

    def tenants(self) -> Mapping[str, Lines]:
        """Return the lines of every waiting tenant."""
        return self._tenants

    def lines(self) -> Iterator[Line]:
        """Return all lines."""
        for lines in self._tenants.values():
            yield from lines.values()

    def before(self, ticket: Ticket) -> tuple[int, int]:
        """Return how many waiting tickets go before this one regardless of shares.

        These are the tickets of higher priority, and the more urgent ones of the same tenant.
        """
        higher = sum(line.live for line in self.lines() if line.priority > ticket.priority)
        mine = (self.urgency(ticket), ticket.sequence)
        own = 0
        for line in self._tenants.get(ticket.tenant, {}).values():
            if line.priority <= ticket.priority:
                own += sum(
                    1 for other in _live(line) if (self.urgency(other), other.sequence) < mine
                )
        return higher, own

    def _line(self, ticket: Ticket) -> Line:
        lines = self._tenants.get(ticket.tenant)
        if lines is None:
            lines = self._tenants[ticket.tenant] = {}
        key = (ticket.priority, ticket.lane)
        line = lines.get(key)
        if line is None:
            line = lines[key] = Line(ticket.tenant, ticket.priority, ticket.lane)
        return line


def _live(line: Line) -> Iterable[Ticket]:
    return (ticket for ticket in line.tickets if ticket.place is Place.WAITING)
