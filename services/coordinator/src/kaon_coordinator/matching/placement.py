"""One round of matching: assigns runners to waiting requests by the rules in docs/scheduling.md."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import islice
from typing import TypeAlias

from kaon_coordinator.matching.amounts import Amount
from kaon_coordinator.matching.fleet import Eligible
from kaon_coordinator.matching.pool_state import PoolState
from kaon_coordinator.matching.reserving import drop_reservations, may_have
from kaon_coordinator.matching.runner_state import RunnerGroup, RunnerState
from kaon_coordinator.matching.tickets import Lane, Place, Ticket
from kaon_coordinator.matching.waiting import Line

# Groups with a free runner that are compared; comparing more would cost more than it gains.
_GROUPS = 3
# Runners with the code bundle and some room that are compared.
_NEAR = 8
# Reserved runners that are compared when a ticket may take one.
_KEPT = 64

# The order of tenants: (level, highest first; share by weight; urgency; tenant).
_Turn: TypeAlias = tuple[int, float, float, str]
# The order of a tenant's lines: (urgency of the first ticket, its order of arrival, line).
_Lines: TypeAlias = list[tuple[float, int, Line]]


@dataclass(kw_only=True)
class Placed:
    """The decisions of a round."""

    # By incarnation, in order of decision.
    releases: dict[str, list[Ticket]] = field(default_factory=lambda: defaultdict(list))
    # Tickets that only the runner that handed them back could take.
    parked: list[Ticket] = field(default_factory=list)


class Round:
    """Places requests until no runner has room.

    Room only shrinks within a round, so a lane that finds none is done.
    """

    def __init__(self, state: PoolState, now: float) -> None:
        self._state = state
        self._waiting = state.waiting
        self._fleet = state.fleet
        self._shares = state.shares
        self._now = now
        self._lines: dict[str, _Lines] = {}
        # Lanes for which no runner has room any more.
        self._full: set[Lane] = set()
        self._placed = Placed()

    def run(self) -> Placed:
        """Place by level, then by share, then by age."""
        drop_reservations(self._state)
        if not self._has_room():
            return self._placed
        turns = [
            self._begin(tenant, lines.values()) for tenant, lines in self._waiting.tenants().items()
        ]
        heapq.heapify(turns)
        while turns and self._has_room():
            tenant = turns[0][3]
            self._try_first(tenant)
            if self._lines[tenant]:
                heapq.heapreplace(turns, self._turn(tenant))
            else:
                heapq.heappop(turns)
        return self._placed

    def _has_room(self) -> bool:
        return self._fleet.with_room > 0 or bool(self._fleet.reserved)

    # --- choice of the request
    # -----------------------------------------------------------------------------------

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
        level = line.priority + int(waited / self._state.settings.ageing)
        return -level, self._shares.rank(tenant), urgency, tenant

    def _try_first(self, tenant: str) -> None:
        """Place the tenant's most urgent ticket, or drop its line from this round when there is no room for it."""
        lines = self._lines[tenant]
        line = lines[0][2]
        ticket = line.head()
        if ticket is not None:
            try:
                self._place(ticket)
            except Exception as error:
                self._state.note_trouble(ticket.step, ticket.partition, error)
        successor = line.head()
        if successor is None or successor is ticket:
            heapq.heappop(lines)
        else:
            heapq.heapreplace(lines, self._entry(line, successor))

    # --- choice of the runner
    # ------------------------------------------------------------------------------------

    def _place(self, ticket: Ticket) -> None:
        lane = ticket.lane
        if not self._shares.allows(ticket.tenant, lane.need):
            return
        runner = None
        if lane not in self._full:
            runner = self._choose(ticket)
        if runner is None and self._fleet.reserved and ticket.place is Place.WAITING:
            runner = self._choose_reserved(ticket)
        if runner is not None:
            self._release(ticket, runner)

    def _release(self, ticket: Ticket, runner: RunnerState) -> None:
        need, now = ticket.lane.need, self._now
        self._waiting.leave(ticket, Place.RELEASED)
        ticket.sent = now
        ticket.load = runner.load if runner.is_free_for(need) else max(runner.load, 1.0)
        if runner.reserved is ticket:
            self._fleet.unreserve(runner)
        runner.take(ticket)
        if runner.remember(ticket.bundle):
            self._fleet.note_bundles(runner)
        self._fleet.settle(runner)
        if runner.group is not None:
            runner.group.note_placed(need, now)
        self._shares.take(ticket.tenant, need)
        self._state.served[ticket.tenant] = now
        self._placed.releases[runner.incarnation].append(ticket)

    def _choose(self, ticket: Ticket) -> RunnerState | None:
        """Return the best runner with room: free before queued, warm before cold, then the least loaded; slow ones last."""
        lane = ticket.lane
        if self._fleet.is_full(lane):
            self._full.add(lane)
            return None
        avoid = ticket.avoid if self._now < ticket.avoid_until else ""
        need, found = lane.need, self._fleet.classes(lane)
        runner = _best_free(found.frugal, need, avoid) or _best_free(found.wasteful, need, avoid)
        if runner is not None:
            return self._nearer(ticket, runner, found, avoid, RunnerState.is_free_for)
        runner = _best_with_room(found.frugal, need, avoid) or _best_with_room(
            found.wasteful, need, avoid
        )
        if runner is not None:
            return self._nearer(ticket, runner, found, avoid, RunnerState.has_room)
        runner = _best_free(found.slow, need, avoid) or _best_with_room(found.slow, need, avoid)
        if runner is not None:
            return runner
        if not avoid:
            self._fleet.note_full(lane)
            self._full.add(lane)
        elif _best_with_room(found.all, need, ""):
            self._waiting.leave(ticket, Place.PARKED)
            self._placed.parked.append(ticket)
        return None

    def _nearer(
        self,
        ticket: Ticket,
        chosen: RunnerState,
        found: Eligible,
        avoid: str,
        fits: Callable[[RunnerState, Amount], bool],
    ) -> RunnerState:
        """Return an equally good runner that is nearer to the code bundle, if one is found soon; else the chosen one."""
        bundle = ticket.bundle
        best = chosen.distance(bundle)
        if not bundle or not best:
            return chosen
        need = ticket.lane.need
        for runner in islice(self._fleet.near(bundle), _NEAR):
            distance = runner.distance(bundle)
            if distance >= best or runner.group not in found.quick or runner.incarnation == avoid:
                continue
            if fits(runner, need):
                best, chosen = distance, runner
                if not best:
                    break
        return chosen

    # --- large requests ------------------------------------------------------------------------------------------

    def _choose_reserved(self, ticket: Ticket) -> RunnerState | None:
        own = self._fleet.reserved.get(ticket)
        if own is not None and own.is_free_for(ticket.lane.need):
            return own
        for group in self._fleet.eligible(ticket.lane):
            for runner in islice(group.reserved, _KEPT):
                if runner.has_slot and may_have(self._state, runner, ticket, self._now):
                    return runner
        return None


def _best_free(groups: Iterable[RunnerGroup], need: Amount, avoid: str) -> RunnerState | None:
    """Return the least loaded runner that could start `need` at once."""
    best = 9.0
    chosen: RunnerState | None = None
    found = 0
    for group in groups:
        runner = group.load_index.first_free(need, avoid)
        if runner is None:
            continue
        load = runner.outstanding[0] / group.capacity[0]
        if load < best:
            best, chosen = load, runner
        found += 1
        if found >= _GROUPS:
            break
    return chosen


def _best_with_room(groups: Iterable[RunnerGroup], need: Amount, avoid: str) -> RunnerState | None:
    """Return a runner at which `need` may wait for other steps to end."""
    for group in groups:
        runner = group.load_index.first_with_room(need, avoid)
        if runner is not None:
            return runner
    return None
