"""One incarnation of a runner, as known to its pool's matcher."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import TypeAlias

from kaon_coordinator.matching.amounts import (
    NOTHING,
    Amount,
    fits_beside,
    minus,
    offered,
    plus,
    scaled,
)
from kaon_coordinator.matching.groups import Group
from kaon_coordinator.matching.health import Health
from kaon_coordinator.matching.load_index import Level
from kaon_coordinator.matching.prefetch import Prefetch
from kaon_coordinator.matching.tickets import StepId, Ticket
from kaonapi.runner.v1 import runner_pb2

# Number of code bundles that are presumed to be on its disk.
_CACHED = 4
# Smallest difference of prefetch factors: runners of nearly the same factor share a level.
_DEPTH_STEPS = 4

# An issue of a step: the step and its generation.
Issue: TypeAlias = tuple[StepId, int]


@dataclass(eq=False, slots=True, kw_only=True)
class RunnerState:
    """The last report of a runner, and the steps released to it since."""

    heartbeat: runner_pb2.RunnerHeartbeat
    incarnation: str
    runner_id: str
    heard: float
    capacity: Amount = NOTHING
    labels: dict[str, str] = field(default_factory=dict)
    # Code bundles with a warm worker; and those of recent steps, which are probably on its disk.
    warm: frozenset[str] = frozenset()
    cached: tuple[str, ...] = ()
    # Released here and not ended.
    tickets: dict[StepId, Ticket] = field(default_factory=dict)
    # Steps of the runner without a ticket of this matcher, and their amounts.
    strangers: dict[Issue, Amount] = field(default_factory=dict)
    foreign: Amount = NOTHING
    # The amount of all its steps, with and without a ticket.
    outstanding: Amount = NOTHING
    # The limit of outstanding steps, as a multiple of the capacity and as an amount.
    depth: float = 1.0
    limit: Amount = NOTHING
    # The inputs from which the limit was computed.
    _limited: tuple[float, Amount] = (0.0, NOTHING)
    prefetch: Prefetch = field(default_factory=Prefetch)
    health: Health = field(default_factory=Health)
    # The ticket of its reservation, and since when.
    reserved: Ticket | None = None
    reserved_since: float = 0.0
    # It gets steps within its room: it accepts them, was heard recently and does not rest.
    is_open: bool = False
    # Its place in the index; only the fleet writes it. The level is None while it has no room or is reserved.
    group: RunnerGroup | None = None
    level: Level | None = None
    # Its group and outstanding amount at the last review of chains.
    reviewed: tuple[RunnerGroup | None, Amount] | None = None
    # The bundles by which its group indexes it.
    bundles: frozenset[str] = frozenset()
    # Arrival minus sending time of the last heartbeats, in seconds of two clocks: the least one is the
    # fastest delivery.
    delays: deque[float] = field(default_factory=lambda: deque(maxlen=32))

    @property
    def accepts(self) -> bool:
        """Tell whether it accepts new steps."""
        return not (self.heartbeat.draining or self.heartbeat.leaving)

    def apply_heartbeat(
        self, heartbeat: runner_pb2.RunnerHeartbeat, now: float, most: float
    ) -> tuple[float, bool]:
        """Apply a newer heartbeat.

        Returns:
            Its sending time by this side's clock, and whether the labels or the capacity changed.
        """
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
        """Recompute the limit of outstanding steps as a multiple of the capacity."""
        depth = math.floor(self.prefetch.factor(most) * _DEPTH_STEPS) / _DEPTH_STEPS
        if (depth, self.capacity) != self._limited:
            self._limited = (depth, self.capacity)
            self.depth, self.limit = depth, scaled(self.capacity, depth)

    def take(self, ticket: Ticket) -> None:
        """Add a ticket."""
        self.tickets[ticket.step] = ticket
        self.outstanding = plus(self.outstanding, ticket.lane.need)
        ticket.incarnation = self.incarnation

    def remember(self, bundle: str) -> bool:
        """Record that a step of this code bundle was released to it; return False when that was known."""
        if not bundle or bundle in self.cached:
            return False
        self.cached = (*self.cached, bundle)[-_CACHED:]
        return True

    def distance(self, bundle: str) -> int:
        """Return the distance to a code bundle: 0 with a warm worker for it, 1 when it is probably on disk, else 2."""
        return 0 if bundle in self.warm else 1 if bundle in self.cached else 2

    def drop(self, ticket: Ticket) -> None:
        """Remove a ticket."""
        del self.tickets[ticket.step]
        self.outstanding = minus(self.outstanding, ticket.lane.need)

    def meet(self, strangers: dict[Issue, Amount]) -> None:
        """Record all steps of the runner without a ticket."""
        self.outstanding = minus(self.outstanding, self.foreign)
        self.strangers = strangers
        self.foreign = NOTHING
        for need in strangers.values():
            self.foreign = plus(self.foreign, need)
        self.outstanding = plus(self.outstanding, self.foreign)

    def dismiss(self, issue: Issue) -> bool:
        """Forget a step without a ticket that got one or has ended; return False when it was unknown."""
        need = self.strangers.pop(issue, None)
        if need is None:
            return False
        self.foreign = minus(self.foreign, need)
        self.outstanding = minus(self.outstanding, need)
        return True

    @property
    def load(self) -> float:
        """Return the outstanding slots per slot."""
        return self.outstanding[0] / (self.capacity[0] or 1)

    @property
    def has_slot(self) -> bool:
        """Tell whether anything at all may be outstanding in addition: every step takes at least a slot."""
        return self.outstanding[0] < self.limit[0]

    def has_room(self, need: Amount) -> bool:
        """Tell whether `need` may be outstanding in addition."""
        return fits_beside(need, self.outstanding, self.limit)

    def is_free_for(self, need: Amount) -> bool:
        """Tell whether `need` could start at once."""
        return fits_beside(need, self.outstanding, self.capacity)


RunnerGroup: TypeAlias = Group[RunnerState]
