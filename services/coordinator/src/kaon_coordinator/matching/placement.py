"""One round of matching: who of those who wait gets which runner."""

from __future__ import annotations

import heapq
from collections import defaultdict
from dataclasses import dataclass, field

from kaon_coordinator.matching.fleet import Fleet
from kaon_coordinator.matching.runners import RunnerState
from kaon_coordinator.matching.settings import MatcherSettings
from kaon_coordinator.matching.shares import Shares
from kaon_coordinator.matching.tickets import Lane, Place, Ticket
from kaon_coordinator.matching.waiting import TenantQueues, WaitingRoom, head


@dataclass(kw_only=True)
class Placed:
    """What a round decided."""

    # By incarnation, in the order of the decisions.
    releases: dict[str, list[Ticket]] = field(default_factory=lambda: defaultdict(list))
    # Tickets that only the runner that gave them back could take.
    parked: list[Ticket] = field(default_factory=list)


class Round:
    """Places what waits, until no runner has room. Room only shrinks within a round, so a lane without room stays without."""

    def __init__(
        self, waiting: WaitingRoom, fleet: Fleet, shares: Shares, settings: MatcherSettings, now: float
    ) -> None:
        self._waiting = waiting
        self._fleet = fleet
        self._shares = shares
        self._settings = settings
        self._now = now
        self._runners: dict[Lane, list[tuple[int, float, int, RunnerState]]] = {}
        self._full: set[Lane] = set()
        self._placed = Placed()

    def run(self) -> Placed:
        """Places by priority, then by dominant share, then by age."""
        for level in self._waiting.levels():
            self._place_level(level)
        return self._placed

    def _place_level(self, level: dict[str, TenantQueues]) -> None:
        tenants = [
            (self._shares.of(tenant), self._oldest(queues), tenant) for tenant, queues in level.items()
        ]
        heapq.heapify(tenants)
        turns: dict[str, list[tuple[int, Lane]]] = {}
        while tenants:
            _, _, tenant = heapq.heappop(tenants)
            if tenant not in turns:
                turns[tenant] = self._lanes_by_age(level[tenant])
            if self._place_one(level[tenant], turns[tenant]):
                oldest = turns[tenant][0][0] if turns[tenant] else 0
                heapq.heappush(tenants, (self._shares.of(tenant), oldest, tenant))
            elif not level[tenant]:
                del level[tenant]

    def _place_one(self, queues: TenantQueues, lanes: list[tuple[int, Lane]]) -> bool:
        """Places the oldest ticket of a tenant for which there is room; False when there is none."""
        while lanes:
            _, lane = lanes[0]
            ticket = head(queues[lane])
            if ticket is None:
                del queues[lane]
                heapq.heappop(lanes)
                continue
            if self._place(ticket):
                successor = head(queues[lane])
                if successor is None:
                    del queues[lane]
                    heapq.heappop(lanes)
                else:
                    heapq.heapreplace(lanes, (successor.sequence, lane))
                return True
            if ticket.place is Place.WAITING:
                heapq.heappop(lanes)
        return False

    def _place(self, ticket: Ticket) -> bool:
        if ticket.lane in self._full and ticket.avoid_until <= self._now:
            self._reserve(ticket)
            return False
        runner = self._choose(ticket)
        if runner is None:
            self._reserve(ticket)
            return False
        self._waiting.leave(ticket, Place.RELEASED)
        ticket.sent = self._now
        ticket.load = runner.load
        runner.take(ticket)
        if runner.reserved is ticket:
            runner.reserved = None
        self._shares.take(ticket.tenant, ticket.lane.need)
        self._placed.releases[runner.incarnation].append(ticket)
        return True

    def _choose(self, ticket: Ticket) -> RunnerState | None:
        """The best runner with room: free before queued, warm before cold, then the least loaded."""
        lane = ticket.lane
        if lane not in self._runners:
            self._runners[lane] = self._candidates(lane)
        heap = self._runners[lane]
        passed: list[tuple[int, float, int, RunnerState]] = []
        chosen: RunnerState | None = None
        while heap and chosen is None:
            rank, load, order, runner = heap[0]
            if not runner.has_room(lane.need):
                heapq.heappop(heap)
            elif (rank, load) != (fresh := (self._rank(runner, lane), runner.load)):
                heapq.heapreplace(heap, (*fresh, order, runner))
            elif not self._may_have(runner, ticket):
                passed.append(heapq.heappop(heap))
            else:
                chosen = runner
        for entry in passed:
            heapq.heappush(heap, entry)
        if not heap:
            self._full.add(lane)
        if chosen is None and any(runner.incarnation == ticket.avoid for *_, runner in passed):
            self._waiting.leave(ticket, Place.PARKED)
            self._placed.parked.append(ticket)
        return chosen

    def _candidates(self, lane: Lane) -> list[tuple[int, float, int, RunnerState]]:
        heap = [
            (self._rank(runner, lane), runner.load, order, runner)
            for order, runner in enumerate(self._fleet.eligible(lane))
            if runner.has_room(lane.need) and self._is_open(runner)
        ]
        heapq.heapify(heap)
        return heap

    def _is_open(self, runner: RunnerState) -> bool:
        return runner.accepts and self._now - runner.heard <= self._settings.quiet

    def _rank(self, runner: RunnerState, lane: Lane) -> int:
        cold = bool(lane.bundle) and lane.bundle not in runner.warm
        return (0 if runner.is_free_for(lane.need) else 2) + cold

    def _may_have(self, runner: RunnerState, ticket: Ticket) -> bool:
        if ticket.avoid == runner.incarnation and self._now < ticket.avoid_until:
            return False
        other = runner.reserved
        if _is_unreserved(runner, ticket) or other is None or other is ticket:
            return True
        # Whoever holds less still goes first; taking pieces raises its share, so the reservation's turn comes.
        return self._shares.of(ticket.tenant) < self._shares.of(other.tenant)

    def _reserve(self, ticket: Ticket) -> None:
        """Keeps a runner free for a request that pieces becoming free one by one would never satisfy."""
        if ticket.place is not Place.WAITING or self._now - ticket.since < self._settings.reserve:
            return
        runners = [runner for runner in self._fleet.eligible(ticket.lane) if self._is_open(runner)]
        if any(runner.reserved is ticket for runner in runners):
            return
        unreserved = [runner for runner in runners if _is_unreserved(runner, ticket)]
        if unreserved:
            min(unreserved, key=lambda runner: runner.load).reserved = ticket

    def _lanes_by_age(self, queues: TenantQueues) -> list[tuple[int, Lane]]:
        lanes: list[tuple[int, Lane]] = []
        for lane in tuple(queues):
            first = head(queues[lane])
            if first is None:
                del queues[lane]
            else:
                lanes.append((first.sequence, lane))
        heapq.heapify(lanes)
        return lanes

    def _oldest(self, queues: TenantQueues) -> int:
        return min((first.sequence for queue in queues.values() if (first := head(queue))), default=0)


def _is_unreserved(runner: RunnerState, ticket: Ticket) -> bool:
    other = runner.reserved
    return other is None or other.place is not Place.WAITING or other.priority < ticket.priority
