"""Chains: which successors of a step its runner may start by itself, and when a chain must end for somebody else.

A runner that goes on with a successor keeps what the step before it occupied. Where somebody with a better claim
waits for that, by level, share or reservation, the runner must not: so a chain never delays another tenant's step by
more than the step that runs.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import TypeAlias

from kaon_coordinator.matching.amounts import Amount, fits, fits_beside, minus
from kaon_coordinator.matching.chain_book import ChainKind, kind_of
from kaon_coordinator.matching.match_effects import EndChain, Extend
from kaon_coordinator.matching.pool_state import PoolState
from kaon_coordinator.matching.runner_state import RunnerGroup, RunnerState
from kaon_coordinator.matching.tickets import Lane, Lanes, Place, Ticket, expressions
from kaon_wire.errors import InvalidValue
from kaonapi.step.v1 import step_pb2

# Waiting lines that are compared with a chain: the best ones.
_RIVALS = 32
# Seconds after which an order to end a chain is repeated.
_REPEAT = 5.0

# The order of waiting lines: (level, highest first; share by weight). The smallest goes first.
_Rank: TypeAlias = tuple[int, float]
# What steps of a lane need, and the groups of runners that could take them.
_Asked: TypeAlias = tuple[Amount, frozenset[RunnerGroup]]


@dataclass(frozen=True, slots=True)
class _Rival:
    """The steps of one tenant, priority and lane that wait."""

    rank: _Rank
    tenant: str
    priority: int
    lane: Lane
    # Of the first step in the line.
    urgency: float


class _Rivals:
    """The waiting lines of one review. Those with a better claim are the same for all chains alike, of which there are many.

    Args:
        state: The pool, which nobody changes during the review.
        waiting: The lines, the best claim first.
        requested: Of chains that would go on: when their next steps would be requested. Whatever of the same tenant would then
            stand before them has a better claim, too: else a chain without end would delay it without end.
    """

    def __init__(
        self, state: PoolState, waiting: Sequence[_Rival], requested: float = -inf
    ) -> None:
        self._state = state
        self._waiting = waiting
        self._requested = requested
        self._above: dict[ChainKind, dict[Lane, _Asked]] = {}
        fleet, lanes = state.fleet, [rival.lane for rival in waiting]
        for lane in lanes:
            # A label that nobody asked for before divides the groups.
            fleet.classes(lane)
        self._asked: dict[Lane, _Asked] = {
            lane: (lane.need, fleet.classes(lane).any) for lane in dict.fromkeys(lanes)
        }

    def __bool__(self) -> bool:
        return bool(self._waiting)

    @property
    def lanes(self) -> Container[Lane]:
        """Return the lanes of the lines."""
        return self._asked

    def above(self, kind: ChainKind) -> Mapping[Lane, _Asked]:
        """Return what the lines ask for that have a better claim than such chains."""
        found = self._above.get(kind)
        if found is None:
            found = self._above[kind] = {lane: self._asked[lane] for lane in self._find(kind)}
        return found

    def _find(self, kind: ChainKind) -> Iterator[Lane]:
        tenant, priority, lane = kind
        own = (-priority, self._state.shares.rank_without(tenant, lane.need))
        urgency = self._requested - priority * self._state.settings.ageing
        for rival in self._waiting:
            before = rival.priority > priority or rival.urgency <= urgency
            if before if rival.tenant == tenant else rival.rank <= own:
                yield rival.lane


def follower_lanes(
    asked: step_pb2.StepRequest | step_pb2.StepHeld, lanes: Lanes
) -> tuple[Lane, ...]:
    """Return the lanes of the steps that may follow a step, in order; nothing when they ask for the same as that step."""
    if asked.chain_alike:
        return ()
    carrier = _carrier(isinstance(asked, step_pb2.StepHeld))
    carrier.ParseFromString(asked.chain)
    return tuple(lanes.of(each.request) for each in carrier.successors)


def _carrier(is_held: bool) -> step_pb2.StepRequest | step_pb2.ChainExtension:
    """Return an empty message for the steps that may follow a step."""
    return step_pb2.ChainExtension() if is_held else step_pb2.StepRequest()


def review_chains(state: PoolState, placed: Iterable[Ticket], now: float) -> None:
    """Allow successors to the steps that a round has placed, and end older chains for whom it left waiting."""
    leaders = [ticket for ticket in placed if ticket.followers]
    if not leaders and not state.chains:
        # Nothing to compare with those who wait.
        return
    rivals = _Rivals(state, _rivals(state, now) if len(state.waiting) else [])
    if rivals:
        for ticket in _outranked(state, rivals, now):
            ticket.chain_ended = now
            state.chains.quieten(ticket)
            state.effects.append(EndChain(incarnation=ticket.incarnation, ticket=ticket))
    for ticket in leaders:
        runner = state.fleet.get(ticket.incarnation)
        if runner is None:
            continue
        ticket.allowed = _allowed(ticket, runner, rivals)
        if ticket.allowed:
            state.chains.add(ticket, rivals.above(kind_of(ticket)))


def extend_chains(state: PoolState, now: float) -> None:
    """Let chains go on whose engine offers further steps, by the rules for those that begin, unless their own tenant waits."""
    if not state.extending:
        return
    waiting = _rivals(state, now) if len(state.waiting) else []
    rivals = _Rivals(state, waiting, requested=now)
    for ticket in state.extending:
        runner = state.fleet.get(ticket.incarnation)
        if ticket.place is not Place.RELEASED or ticket.chain_ended is not None:
            continue
        if runner is None or not runner.is_open:
            continue
        ticket.allowed = _allowed(ticket, runner, rivals)
        if ticket.allowed:
            state.effects.append(Extend(incarnation=ticket.incarnation, ticket=ticket))
    state.extending.clear()


def _outranked(state: PoolState, rivals: _Rivals, now: float) -> list[Ticket]:
    """Return the chains that must end, of those whose runners were not told lately."""
    _note_changes(state)
    found = dict.fromkeys(_outranked_again(state, rivals, now))
    for kind, alike in state.chains.kinds():
        alike.keep(rivals.lanes)
        for lane, asked in rivals.above(kind).items():
            tickets = alike.to_compare(lane)
            found.update(dict.fromkeys(_outranked_by(state, kind, tickets, asked)))
    for runner in state.fleet.reserved.values():
        for ticket in runner.tickets.values():
            if runner.reserved is not ticket and ticket.leads:
                found[ticket] = None
    return list(found)


def _outranked_again(state: PoolState, rivals: _Rivals, now: float) -> Iterator[Ticket]:
    """Yield the chains whose runners are to be told again, and count the others of their age as going on."""
    for ticket in state.chains.told(now - _REPEAT):
        runner, above = state.fleet.get(ticket.incarnation), rivals.above(kind_of(ticket))
        if runner is not None and _could_start(runner, ticket.lane.need, above.values()):
            yield ticket
        else:
            state.chains.recall(ticket)


def _outranked_by(
    state: PoolState, kind: ChainKind, tickets: Iterable[Ticket], asked: _Asked
) -> Iterator[Ticket]:
    get, occupied, each = state.fleet.get, kind[2].need, (asked,)
    for ticket in tickets:
        runner = get(ticket.incarnation)
        if runner is not None and _could_start(runner, occupied, each):
            yield ticket


def _note_changes(state: PoolState) -> None:
    """Note what has changed since chains were compared with those who wait."""
    for runner in state.fleet.take_changed():
        state.chains.note_changes(runner.tickets.values())


def _allowed(ticket: Ticket, runner: RunnerState, rivals: _Rivals) -> bytes:
    if runner.reserved is not None and runner.reserved is not ticket:
        return b""
    lane = ticket.lane
    if _could_start(runner, lane.need, rivals.above(kind_of(ticket)).values()):
        return b""
    for count, following in enumerate(ticket.follower_lanes):
        if following is not lane and not (
            fits(following.need, lane.need) and _has_labels(runner, following, lane)
        ):
            return _first(ticket, count)
    return ticket.followers


def _first(ticket: Ticket, count: int) -> bytes:
    """Return the first of the steps that may follow."""
    carrier = _carrier(ticket.request is None)
    carrier.ParseFromString(ticket.followers)
    del carrier.successors[count:]
    return carrier.SerializeToString()


def _has_labels(runner: RunnerState, lane: Lane, known: Lane) -> bool:
    """Tell whether a runner that has the labels of one lane has those of another."""
    if lane.labels == known.labels:
        return True
    try:
        asked = expressions(lane.labels)
    except InvalidValue:
        return False
    return all(expression.matches(runner.labels) for expression in asked)


def _could_start(runner: RunnerState, occupied: Amount, asked: Collection[_Asked]) -> bool:
    """Tell whether somebody with a better claim could start at the runner as soon as what is occupied is free."""
    if not asked or runner.group is None:
        return False
    group = runner.group
    needs = [need for need, groups in asked if group in groups]
    if not needs:
        return False
    others, capacity = minus(runner.outstanding, occupied), runner.capacity
    return any(fits_beside(need, others, capacity) for need in needs)


def _rivals(state: PoolState, now: float) -> list[_Rival]:
    """Return the waiting lines with the best claims, as far as their tenants' quotas leave room."""
    found = []
    for tenant, lines in state.waiting.tenants().items():
        share, served = state.shares.rank(tenant), state.served.get(tenant, 0.0)
        for line in lines.values():
            head = line.head()
            if head is None or not state.shares.allows(tenant, line.lane.need):
                continue
            level = line.priority + int((now - max(head.since, served)) / state.settings.ageing)
            urgency = state.waiting.urgency(head)
            found.append(_Rival((-level, share), tenant, line.priority, line.lane, urgency))
    return heapq.nsmallest(_RIVALS, found, key=lambda rival: rival.rank)
