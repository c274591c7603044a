"""One round of matching: who of those who wait gets which runner. docs/scheduling.md has the rules."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice
from typing import TypeAlias

from kaon_coordinator.matching.groups import Group
from kaon_coordinator.matching.runners import RunnerState
from kaon_coordinator.matching.state import PoolState
from kaon_coordinator.matching.tickets import Place, Ticket
from kaon_coordinator.matching.waiting import Line

# Of so many groups with a free runner the best is taken; looking at more would not be worth the time.
_GROUPS = 8
# Of so many runners the least loaded is kept free for a large request.
_LOOKED_AT = 64

# The order of tenants: (level, highest first; share by weight; urgency; tenant).
_Turn: TypeAlias = tuple[int, float, float, str]
# The order of a tenant's lines: (urgency of the first, its order of arrival, line).
_Lines: TypeAlias = list[tuple[float, int, Line]]


@dataclass(kw_only=True)
class Placed:
    """What a round decided."""

    # By incarnation, in the order of the decisions.
    releases: dict[str, list[Ticket]] = field(default_factory=lambda: defaultdict(list))
    # Tickets that only the runner that gave them back could take.
    parked: list[Ticket] = field(default_factory=list)


class Round:
    """Places what waits, until no runner has room. Room only shrinks within a round, so who finds none is done."""

    def __init__(self, state: PoolState, now: float) -> None:
        self._state = state
        self._waiting = state.waiting
        self._fleet = state.fleet
        self._shares = state.shares
        self._settings = state.settings
        self._now = now
        self._lines: dict[str, _Lines] = {}
        self._placed = Placed()

    def run(self) -> Placed:
        """Places by level, then by share, then by age."""
        self._drop_reservations()
        if not self._has_room():
            return self._placed
        turns = [self._begin(tenant, lines.values()) for tenant, lines in self._waiting.tenants().items()]
        heapq.heapify(turns)
        while turns and self._has_room():
            tenant = turns[0][3]
            if self._place_one(tenant) and self._lines[tenant]:
                heapq.heapreplace(turns, self._turn(tenant))
            else:
                heapq.heappop(turns)
        return self._placed

    def _has_room(self) -> bool:
        return self._fleet.with_room > 0 or bool(self._fleet.reserved)

    # --- whose turn it is ----------------------------------------------------------------------------------------

    def _begin(self, tenant: str, lines: Iterable[Line]) -> _Turn:
        entries = [self._entry(line, head) for line in lines if (head := line.head()) is not None]
        heapq.heapify(entries)
        self._lines[tenant] = entries
        return self._turn(tenant)

    def _entry(self, line: Line, head: Ticket) -> tuple[float, int, Line]:
        return self._waiting.urgency(head), head.sequence, line

    def _turn(self, tenant: str) -> _Turn:
        urgency, _, line = self._lines[tenant][0]
        waited = self._now - max(line.tickets[0].since, self._state.served.get(tenant, 0.0))
        level = line.priority + int(waited / self._settings.ageing)
        return -level, self._shares.rank(tenant), urgency, tenant

    def _place_one(self, tenant: str) -> bool:
        """Places the most urgent ticket of a tenant for which there is room; False when there is none."""
        lines = self._lines[tenant]
        while lines:
            line = lines[0][2]
            ticket = line.head()
            placed = ticket is not None and self._place(ticket)
            successor = line.head()
            if successor is None or successor is ticket:
                heapq.heappop(lines)
            else:
                heapq.heapreplace(lines, self._entry(line, successor))
            if placed:
                return True
        return False

    # --- which runner it gets ------------------------------------------------------------------------------------

    def _place(self, ticket: Ticket) -> bool:
        if not self._shares.allows(ticket.tenant, ticket.lane.need):
            return False
        runner = None if self._fleet.is_full(ticket.lane) else self._choose(ticket)
        runner = runner or self._choose_reserved(ticket)
        if runner is None:
            if ticket.place is Place.WAITING:
                self._reserve(ticket)
            return False
        self._release(ticket, runner)
        return True

    def _release(self, ticket: Ticket, runner: RunnerState) -> None:
        need, now = ticket.lane.need, self._now
        self._waiting.leave(ticket, Place.RELEASED)
        ticket.sent = now
        ticket.load = runner.load if runner.is_free_for(need) else max(runner.load, 1.0)
        if runner.reserved is ticket:
            self._fleet.unreserve(runner)
        runner.take(ticket)
        runner.remember(ticket.lane.bundle)
        self._fleet.settle(runner)
        if runner.group is not None:
            runner.group.note_placed(need, now)
        self._shares.take(ticket.tenant, need)
        self._state.served[ticket.tenant] = now
        self._placed.releases[runner.incarnation].append(ticket)

    def _choose(self, ticket: Ticket) -> RunnerState | None:
        """The best runner with room: free before queued, warm before cold, then the least loaded; slow ones after all."""
        avoid = ticket.avoid if self._now < ticket.avoid_until else ""
        groups = self._fleet.eligible(ticket.lane)
        split = next((n for n, group in enumerate(groups) if group.slow), len(groups))
        for alike in (groups[:split], groups[split:]):
            runner = _best_free(alike, ticket, avoid) or _best_room(alike, ticket, avoid)
            if runner is not None:
                return runner
        if not avoid:
            self._fleet.note_full(ticket.lane)
        elif _best_room(groups, ticket, ""):
            self._waiting.leave(ticket, Place.PARKED)
            self._placed.parked.append(ticket)
        return None

    # --- large requests ------------------------------------------------------------------------------------------

    def _choose_reserved(self, ticket: Ticket) -> RunnerState | None:
        if not self._fleet.reserved or ticket.place is not Place.WAITING:
            return None
        for group in self._fleet.eligible(ticket.lane):
            for runner in group.reserved:
                if self._may_have(runner, ticket):
                    return runner
        return None

    def _may_have(self, runner: RunnerState, ticket: Ticket) -> bool:
        other = runner.reserved
        if other is None or other is ticket:
            return runner.is_free_for(ticket.lane.need)
        if not runner.has_room(ticket.lane.need):
            return False
        if ticket.priority > other.priority:
            return self._waiting.urgency(ticket) < self._waiting.urgency(other)
        # Whoever holds less still goes first, for a while.
        firm = self._now - runner.reserved_since >= self._settings.reserve_firm
        return not firm and self._shares.rank(ticket.tenant) < self._shares.rank(other.tenant)

    def _reserve(self, ticket: Ticket) -> None:
        """Keeps a runner free for a request that pieces becoming free one by one would never satisfy."""
        fleet, need = self._fleet, ticket.lane.need
        if self._now - ticket.since < self._settings.reserve:
            return
        if len(fleet.reserved) >= max(1, int(len(fleet) * self._settings.reserve_part)):
            return
        groups = fleet.eligible(ticket.lane)
        if not any(group.overtaken(need, ticket.since) for group in groups):
            return
        if any(runner.reserved is ticket for runner in fleet.reserved):
            return
        members = (runner for group in groups for runner in group.members)
        candidates = [
            runner for runner in islice(members, _LOOKED_AT) if runner.is_open and runner.reserved is None
        ]
        if candidates:
            fleet.reserve(min(candidates, key=lambda runner: runner.load), ticket, self._now)

    def _drop_reservations(self) -> None:
        for runner in tuple(self._fleet.reserved):
            ticket = runner.reserved
            if ticket is None or ticket.place is not Place.WAITING or not runner.is_open:
                self._fleet.unreserve(runner)


def _best_free(groups: Iterable[Group], ticket: Ticket, avoid: str) -> RunnerState | None:
    """The best runner at which the ticket could run at once."""
    best: tuple[int, float] | None = None
    chosen: RunnerState | None = None
    found = 0
    for group in groups:
        for runner, distance in group.free(ticket.lane):
            if runner.incarnation == avoid:
                continue
            found += 1
            rank = (distance, runner.load)
            if best is None or rank < best:
                best, chosen = rank, runner
            break
        if found >= _GROUPS:
            break
    return chosen


def _best_room(groups: Iterable[Group], ticket: Ticket, avoid: str) -> RunnerState | None:
    """A runner at which the ticket may wait for others to end."""
    for group in groups:
        for runner in group.room(ticket.lane):
            if runner.incarnation != avoid:
                return runner
    return None
