"""The knowledge of one pool's matcher, and the moves of its tickets."""

from __future__ import annotations

import heapq
import itertools
from collections import OrderedDict, defaultdict
from collections.abc import Iterable

from kaon_coordinator.matching.chain_book import ChainBook
from kaon_coordinator.matching.fleet import Fleet
from kaon_coordinator.matching.match_effects import Effect
from kaon_coordinator.matching.matcher_settings import MatcherSettings
from kaon_coordinator.matching.runner_state import RunnerState
from kaon_coordinator.matching.shares import Shares
from kaon_coordinator.matching.tenants import Tenants
from kaon_coordinator.matching.tickets import Lane, Lanes, Place, StepId, Ticket
from kaon_coordinator.matching.troubles import Trouble
from kaon_coordinator.matching.waiting import WaitingRoom

_REMEMBERED = 50_000
_LANES = 10_000
_WEIGHT = 0.2


class PoolState:
    """The tickets and runners of one pool."""

    def __init__(self, settings: MatcherSettings, tenants: Tenants, pool: str) -> None:
        self.settings = settings
        self.lanes = Lanes()
        self.waiting = WaitingRoom(settings.ageing)
        self.fleet = Fleet(settings)
        self.shares = Shares(tenants, pool)
        # When a tenant that now waits was last served.
        self.served: dict[str, float] = {}
        # Moving average of the durations of a lane's and code bundle's steps, in seconds.
        self._durations: dict[tuple[Lane, str], float] = {}
        self.tickets: dict[StepId, Ticket] = {}
        # Tickets held by runners that have not sent a heartbeat yet.
        self.orphans: dict[str, dict[StepId, Ticket]] = defaultdict(dict)
        self.chains = ChainBook()
        # Of the steps that lead chains, those whose engine offers further steps: until the next tick.
        self.extending: list[Ticket] = []
        self.effects: list[Effect] = []
        # Dropped steps that were not reported yet.
        self.troubles: list[Trouble] = []
        # A change may let a waiting ticket go.
        self.stirred = False
        self._ended: OrderedDict[StepId, int] = OrderedDict()
        self._departed: OrderedDict[str, None] = OrderedDict()
        self._parked: list[tuple[float, int, Ticket]] = []
        self._order = itertools.count(1)

    # --- memory of ended issues
    # ----------------------------------------------------------------------------------

    def note_ended(self, step: StepId, generation: int) -> None:
        """Record that this generation of the step and all before it have ended."""
        ended = self._ended
        known = ended.get(step)
        if known is not None:
            generation = max(generation, known)
            ended.move_to_end(step)
        ended[step] = generation
        if len(ended) > _REMEMBERED:
            ended.popitem(last=False)

    def is_over(self, step: StepId, generation: int) -> bool:
        """Tell whether this generation of the step is known to have ended."""
        return self._ended.get(step, -1) >= generation

    def note_departed(self, incarnation: str) -> None:
        """Record that the runner has left: later records of it are old."""
        self._departed[incarnation] = None
        if len(self._departed) > _REMEMBERED:
            self._departed.popitem(last=False)

    def has_departed(self, incarnation: str) -> bool:
        """Tell whether the runner has left."""
        return incarnation in self._departed

    # --- moves of a ticket ---------------------------------------------------------------------------------------

    def note_trouble(self, step: StepId, partition: int, error: Exception) -> None:
        """Drop a step that raised an unforeseen error, and report it to the owner of its run."""
        run_id, path = step
        self.troubles.append(Trouble(run_id=run_id, path=path, partition=partition, error=error))
        ticket = self.tickets.get(step)
        if ticket is not None:
            self.forget(ticket)

    def next_sequence(self) -> int:
        """Return the next position in the order of arrival."""
        return next(self._order)

    def enqueue(self, ticket: Ticket, *, first: bool = False) -> None:
        """Add the ticket to the waiting room."""
        self.waiting.add(ticket, first=first)
        self.stirred = True

    def note_duration(self, ticket: Ticket, seconds: float) -> None:
        """Record the duration of such a step."""
        key = (ticket.lane, ticket.bundle)
        known = self._durations.get(key, seconds)
        self._durations[key] = known + _WEIGHT * (seconds - known)

    def duration(self, ticket: Ticket) -> float | None:
        """Return the recent duration of such steps, or None when unknown."""
        return self._durations.get((ticket.lane, ticket.bundle))

    def tidy(self) -> None:
        """Forget unused lanes, when there are many, and when idle tenants were served."""
        waiting = self.waiting.tenants()
        self.served = {tenant: time for tenant, time in self.served.items() if tenant in waiting}
        if len(self._durations) > _LANES:
            self._durations.clear()
        if len(self.lanes) > _LANES:
            used = {ticket.lane for ticket in self.tickets.values()}
            self.lanes.keep(used)
            self.fleet.keep(used)

    def park(self, ticket: Ticket, due: float) -> None:
        """Park the ticket until a time."""
        ticket.place = Place.PARKED
        heapq.heappush(self._parked, (due, ticket.sequence, ticket))

    def unpark(self, now: float) -> None:
        """Move the parked tickets whose time has come to the waiting room."""
        while self._parked and self._parked[0][0] <= now:
            _, _, ticket = heapq.heappop(self._parked)
            if ticket.place is Place.PARKED:
                self.enqueue(ticket, first=True)

    def parked(self) -> Iterable[Ticket]:
        """Return the parked tickets."""
        return (ticket for _, _, ticket in self._parked if ticket.place is Place.PARKED)

    def attach(self, ticket: Ticket, runner: RunnerState) -> None:
        """Attach the ticket to the runner that holds it."""
        ticket.place = Place.RELEASED
        ticket.released = None
        ticket.queued = ticket.started = False
        ticket.withdrawn = None
        ticket.missed = 0
        runner.take(ticket)
        self.fleet.settle(runner)
        self.shares.take(ticket.tenant, ticket.lane.need)

    def detach(self, ticket: Ticket) -> None:
        """Take the ticket away from its present place."""
        if ticket.place is Place.WAITING:
            self.waiting.leave(ticket, Place.GONE)
        elif ticket.place is Place.RELEASED:
            self._take_from_runner(ticket)
        ticket.place = Place.GONE
        self.chains.discard(ticket)

    def _take_from_runner(self, ticket: Ticket) -> None:
        runner = self.fleet.get(ticket.incarnation)
        if runner is None or runner.tickets.get(ticket.step) is not ticket:
            orphans = self.orphans[ticket.incarnation]
            orphans.pop(ticket.step, None)
            if not orphans:
                del self.orphans[ticket.incarnation]
            return
        runner.drop(ticket)
        self.fleet.settle(runner)
        self.shares.give_back(ticket.tenant, ticket.lane.need)
        self.stirred = True

    def forget(self, ticket: Ticket) -> None:
        """Forget the ticket: its step needs no runner as far as this matcher knows."""
        self.detach(ticket)
        del self.tickets[ticket.step]

    def lose(self, ticket: Ticket, now: float) -> None:
        """Record that the runner no longer has the ticket although no end was reported."""
        ticket.losses += 1
        runner = self.fleet.get(ticket.incarnation)
        if runner is not None and not ticket.started:
            self.fleet.fault(runner, now)
        # Only the engine knows whether a started step has ended, so only it requests the step again.
        if ticket.started or ticket.request is None or ticket.losses > self.settings.losses:
            self.forget(ticket)
            return
        avoid = ticket.incarnation
        self.detach(ticket)
        self._reset(ticket)
        ticket.avoid, ticket.avoid_until = avoid, now + self.settings.avoid
        self.enqueue(ticket, first=True)

    def remove_runner(self, runner: RunnerState) -> None:
        """Remove a runner: its unstarted steps go elsewhere, the oldest first."""
        for ticket in sorted(runner.tickets.values(), key=lambda ticket: -ticket.sequence):
            if ticket.started or ticket.request is None:
                self.forget(ticket)
            else:
                self.detach(ticket)
                self._reset(ticket)
                self.enqueue(ticket, first=True)
        self.fleet.remove(runner)
        self.shares.resize(self.fleet.total)
        self.stirred = True

    def _reset(self, ticket: Ticket) -> None:
        ticket.incarnation = ""
        ticket.released = ticket.withdrawn = None
        ticket.queued = ticket.started = False
        ticket.missed = 0
