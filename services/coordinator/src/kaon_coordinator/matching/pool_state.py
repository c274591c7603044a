"""Everything that one pool's matcher knows, and the moves of a ticket from one place to another."""

from __future__ import annotations

import heapq
import itertools
from collections import OrderedDict, defaultdict
from collections.abc import Iterable

from kaon_coordinator.matching.effects import Effect
from kaon_coordinator.matching.fleet import Fleet
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
        # When a tenant that waits last got something.
        self.served: dict[str, float] = {}
        # Moving average of how long the steps of a lane and code bundle took, in seconds.
        self._durations: dict[tuple[Lane, str], float] = {}
        self.tickets: dict[StepId, Ticket] = {}
        # Tickets held by runners that have not been heard yet.
        self.orphans: dict[str, dict[StepId, Ticket]] = defaultdict(dict)
        self.effects: list[Effect] = []
        # Steps that were dropped, until somebody is told.
        self.troubles: list[Trouble] = []
        # Something has changed that may let a waiting ticket go.
        self.stirred = False
        self._ended: OrderedDict[StepId, int] = OrderedDict()
        self._departed: OrderedDict[str, None] = OrderedDict()
        self._parked: list[tuple[float, int, Ticket]] = []
        self._order = itertools.count(1)

    # --- memory of what is over ----------------------------------------------------------------------------------

    def note_ended(self, step: StepId, generation: int) -> None:
        """This generation of the step and all before it are over."""
        ended = self._ended
        known = ended.get(step)
        if known is not None:
            generation = max(generation, known)
            ended.move_to_end(step)
        ended[step] = generation
        if len(ended) > _REMEMBERED:
            ended.popitem(last=False)

    def is_over(self, step: StepId, generation: int) -> bool:
        """Whether this generation of the step is known to be over."""
        return self._ended.get(step, -1) >= generation

    def note_departed(self, incarnation: str) -> None:
        """The runner has said goodbye: what is still heard of it is old."""
        self._departed[incarnation] = None
        if len(self._departed) > _REMEMBERED:
            self._departed.popitem(last=False)

    def has_departed(self, incarnation: str) -> bool:
        """Whether the runner has said goodbye."""
        return incarnation in self._departed

    # --- moves of a ticket ---------------------------------------------------------------------------------------

    def note_trouble(self, step: StepId, partition: int, error: Exception) -> None:
        """Something unforeseen was raised for a step: it is dropped, and whoever has asked for it is told."""
        run_id, path = step
        self.troubles.append(Trouble(run_id=run_id, path=path, partition=partition, error=error))
        ticket = self.tickets.get(step)
        if ticket is not None:
            self.forget(ticket)

    def next_sequence(self) -> int:
        """The place in the order of arrival."""
        return next(self._order)

    def enqueue(self, ticket: Ticket, *, first: bool = False) -> None:
        """Lets the ticket wait for a runner."""
        self.waiting.add(ticket, first=first)
        self.stirred = True

    def note_duration(self, ticket: Ticket, seconds: float) -> None:
        """A step like this one took so long."""
        key = (ticket.lane, ticket.bundle)
        known = self._durations.get(key, seconds)
        self._durations[key] = known + _WEIGHT * (seconds - known)

    def duration(self, ticket: Ticket) -> float | None:
        """How long steps like this one took lately; None when that is not known."""
        return self._durations.get((ticket.lane, ticket.bundle))

    def tidy(self) -> None:
        """Forgets lanes that nobody asks for any more, when they are many, and when idle tenants were served."""
        waiting = self.waiting.tenants()
        self.served = {tenant: time for tenant, time in self.served.items() if tenant in waiting}
        if len(self._durations) > _LANES:
            self._durations.clear()
        if len(self.lanes) > _LANES:
            used = {ticket.lane for ticket in self.tickets.values()}
            self.lanes.keep(used)
            self.fleet.keep(used)

    def park(self, ticket: Ticket, due: float) -> None:
        """Lets the ticket wait for a time."""
        ticket.place = Place.PARKED
        heapq.heappush(self._parked, (due, ticket.sequence, ticket))

    def unpark(self, now: float) -> None:
        """Lets the parked tickets whose time has come wait for a runner."""
        while self._parked and self._parked[0][0] <= now:
            _, _, ticket = heapq.heappop(self._parked)
            if ticket.place is Place.PARKED:
                self.enqueue(ticket, first=True)

    def parked(self) -> Iterable[Ticket]:
        """The tickets that wait for a time."""
        return (ticket for _, _, ticket in self._parked if ticket.place is Place.PARKED)

    def attach(self, ticket: Ticket, runner: RunnerState) -> None:
        """The ticket turns out to be at this runner."""
        ticket.place = Place.RELEASED
        ticket.released = None
        ticket.queued = ticket.started = False
        ticket.withdrawn = None
        ticket.missed = 0
        runner.take(ticket)
        self.fleet.settle(runner)
        self.shares.take(ticket.tenant, ticket.lane.need)

    def detach(self, ticket: Ticket) -> None:
        """Takes the ticket away from wherever it is."""
        if ticket.place is Place.WAITING:
            self.waiting.leave(ticket, Place.GONE)
        elif ticket.place is Place.RELEASED:
            self._take_from_runner(ticket)
        ticket.place = Place.GONE

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
        """Forgets the ticket: its step needs no runner as far as this matcher knows."""
        self.detach(ticket)
        del self.tickets[ticket.step]

    def lose(self, ticket: Ticket, now: float) -> None:
        """The runner does not have the ticket any more and nobody said that it ended."""
        ticket.losses += 1
        runner = self.fleet.get(ticket.incarnation)
        if runner is not None and not ticket.started:
            self.fleet.fault(runner, now)
        # One that had started is the engine's to give out again: only the engine knows whether it has ended.
        if ticket.started or ticket.request is None or ticket.losses > self.settings.losses:
            self.forget(ticket)
            return
        avoid = ticket.incarnation
        self.detach(ticket)
        self._reset(ticket)
        ticket.avoid, ticket.avoid_until = avoid, now + self.settings.avoid
        self.enqueue(ticket, first=True)

    def remove_runner(self, runner: RunnerState) -> None:
        """The runner is gone: what it has not started goes elsewhere, the oldest first."""
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
