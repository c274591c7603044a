"""One life of a runner, as its pool's matcher sees it."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import TypeAlias

from kaon_coordinator.matching.amounts import NOTHING, Amount, fits_beside, minus, offered, plus, scaled
from kaon_coordinator.matching.groups import Group
from kaon_coordinator.matching.health import Health
from kaon_coordinator.matching.load_index import Level
from kaon_coordinator.matching.prefetch import Prefetch
from kaon_coordinator.matching.tickets import StepId, Ticket
from kaonapi.runner.v1 import runner_pb2

# So many code bundles are believed to be on its disk.
_CACHED = 4
# Depths differ by at least so much: runners of nearly the same depth are found together.
_DEPTH_STEPS = 4

# An issue of a step: which step, which generation.
Issue: TypeAlias = tuple[StepId, int]


@dataclass(eq=False, slots=True, kw_only=True)
class RunnerState:
    """What a runner said last, and what it was given since."""

    heartbeat: runner_pb2.RunnerHeartbeat
    incarnation: str
    runner_id: str
    heard: float
    capacity: Amount = NOTHING
    labels: dict[str, str] = field(default_factory=dict)
    # Code bundles for which a warm worker waits; and those of the last steps given to it, which it probably has on its disk.
    warm: frozenset[str] = frozenset()
    cached: tuple[str, ...] = ()
    # Released here and not ended.
    tickets: dict[StepId, Ticket] = field(default_factory=dict)
    # What the runner has that this matcher has no ticket for, and what that occupies.
    strangers: dict[Issue, Amount] = field(default_factory=dict)
    foreign: Amount = NOTHING
    # What all that it has occupies, with and without a ticket.
    outstanding: Amount = NOTHING
    # How many times the capacity may be outstanding, and what that is.
    depth: float = 1.0
    limit: Amount = NOTHING
    # What the limit was computed from.
    _limited: tuple[float, Amount] = (0.0, NOTHING)
    prefetch: Prefetch = field(default_factory=Prefetch)
    health: Health = field(default_factory=Health)
    # Kept free for this ticket, since when.
    reserved: Ticket | None = None
    reserved_since: float = 0.0
    # It gets steps as far as it has room: it accepts them, was heard lately and does not rest.
    is_open: bool = False
    # Where it is to be found; written by the fleet alone. The level is None while it has no room or is reserved.
    group: RunnerGroup | None = None
    level: Level | None = None
    # The bundles by which it is found in its group.
    bundles: frozenset[str] = frozenset()
    # Arrival minus sending time of the last heartbeats, in seconds of two clocks: the least of them is the fastest way.
    delays: deque[float] = field(default_factory=lambda: deque(maxlen=32))

    @property
    def accepts(self) -> bool:
        """Whether it takes anything new."""
        return not (self.heartbeat.draining or self.heartbeat.leaving)

    def apply_heartbeat(
        self, heartbeat: runner_pb2.RunnerHeartbeat, now: float, most: float
    ) -> tuple[float, bool]:
        """Takes a newer heartbeat in. Returns when it was sent, on this side's clock, and whether its labels or its capacity are
        new."""
        before, self.heartbeat, self.heard = self.heartbeat, heartbeat, now
        changed = (
            before is heartbeat
            or before.capacity != heartbeat.capacity
            or self.labels != dict(heartbeat.labels)
        )
        if changed:
            self.capacity = offered(heartbeat.capacity)
            self.labels = dict(heartbeat.labels)
        warm = frozenset(heartbeat.warm_bundles)
        if warm != self.warm:
            self.warm = warm
        self.prefetch.report(heartbeat.recent_step_us / 1e6)
        self.set_limit(most)
        delay = now - heartbeat.time_us / 1e6
        self.delays.append(delay)
        return now - (delay - min(self.delays)), changed

    def set_limit(self, most: float) -> None:
        """Computes anew how much may be outstanding: at most so many times the capacity."""
        depth = math.floor(self.prefetch.factor(most) * _DEPTH_STEPS) / _DEPTH_STEPS
        if (depth, self.capacity) != self._limited:
            self._limited = (depth, self.capacity)
            self.depth, self.limit = depth, scaled(self.capacity, depth)

    def take(self, ticket: Ticket) -> None:
        """The ticket is at this runner now."""
        self.tickets[ticket.step] = ticket
        self.outstanding = plus(self.outstanding, ticket.lane.need)
        ticket.incarnation = self.incarnation

    def remember(self, bundle: str) -> bool:
        """A step of this code bundle was given to it; False when that was known."""
        if not bundle or bundle in self.cached:
            return False
        self.cached = (*self.cached, bundle)[-_CACHED:]
        return True

    def distance(self, bundle: str) -> int:
        """How near it is to a code bundle: 0 with a warm worker for it, 1 when it probably has it, else 2."""
        return 0 if bundle in self.warm else 1 if bundle in self.cached else 2

    def drop(self, ticket: Ticket) -> None:
        """The ticket is at this runner no more."""
        del self.tickets[ticket.step]
        self.outstanding = minus(self.outstanding, ticket.lane.need)

    def meet(self, strangers: dict[Issue, Amount]) -> None:
        """These are all that the runner has without a ticket."""
        self.outstanding = minus(self.outstanding, self.foreign)
        self.strangers = strangers
        self.foreign = NOTHING
        for need in strangers.values():
            self.foreign = plus(self.foreign, need)
        self.outstanding = plus(self.outstanding, self.foreign)

    def dismiss(self, issue: Issue) -> bool:
        """This one has a ticket now, or has ended; False when it was not a stranger here."""
        need = self.strangers.pop(issue, None)
        if need is None:
            return False
        self.foreign = minus(self.foreign, need)
        self.outstanding = minus(self.outstanding, need)
        return True

    @property
    def load(self) -> float:
        """Slots asked of it for each slot that it has."""
        return self.outstanding[0] / (self.capacity[0] or 1)

    @property
    def has_slot(self) -> bool:
        """Whether anything at all may be outstanding here too: nothing takes less than a slot."""
        return self.outstanding[0] < self.limit[0]

    def has_room(self, need: Amount) -> bool:
        """Whether `need` may be outstanding here too."""
        return fits_beside(need, self.outstanding, self.limit)

    def is_free_for(self, need: Amount) -> bool:
        """Whether `need` could run here at once."""
        return fits_beside(need, self.outstanding, self.capacity)


RunnerGroup: TypeAlias = Group[RunnerState]
