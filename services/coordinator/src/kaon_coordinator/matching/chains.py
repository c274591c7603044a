"""Chains: which successors of a step its runner may start by itself, and when a chain must end for somebody else.

A runner that goes on with a successor keeps what the step before it occupied. Where somebody with a better claim
waits for that, by level, share or reservation, the runner must not: so a chain never delays another tenant's step by
more than the step that runs.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from kaon_coordinator.matching.amounts import Amount, fits, fits_beside, minus
from kaon_coordinator.matching.match_effects import EndChain
from kaon_coordinator.matching.pool_state import PoolState
from kaon_coordinator.matching.runner_state import RunnerState
from kaon_coordinator.matching.tickets import Follower, Lane, Lanes, Ticket, expressions
from kaon_wire.errors import InvalidValue
from kaonapi.step.v1 import step_pb2

# Waiting lines that are compared with a chain: the best ones.
_RIVALS = 32
# Seconds after which an order to end a chain is repeated.
_REPEAT = 5.0

# The order of waiting lines: (level, highest first; share by weight). The smallest goes first.
_Rank: TypeAlias = tuple[int, float]


@dataclass(frozen=True, slots=True)
class _Rival:
    """The steps of one tenant, priority and lane that wait."""

    rank: _Rank
    tenant: str
    priority: int
    lane: Lane


class _Rivals:
    """The waiting lines of one review. Those with a better claim are the same for all chains alike, of which there are many.

    Args:
        state: The pool, which nobody changes during the review.
        waiting: The lines, the best claim first.
    """

    def __init__(self, state: PoolState, waiting: Sequence[_Rival]) -> None:
        self.waiting = waiting
        self._state = state
        # By tenant, priority and lane of a chain.
        self._above: dict[tuple[str, int, Lane], tuple[Lane, ...]] = {}

    def lanes_above(self, ticket: Ticket) -> tuple[Lane, ...]:
        """Return the lanes of the lines with a better claim than a chain's."""
        key = (ticket.tenant, ticket.priority, ticket.lane)
        found = self._above.get(key)
        if found is None:
            found = self._above[key] = tuple(dict.fromkeys(self._find(ticket)))
        return found

    def _find(self, ticket: Ticket) -> Iterator[Lane]:
        without = self._state.shares.rank_without(ticket.tenant, ticket.lane.need)
        own = (-ticket.priority, without)
        for rival in self.waiting:
            own_tenant = rival.tenant == ticket.tenant
            if rival.priority > ticket.priority if own_tenant else rival.rank <= own:
                yield rival.lane


def take_offered(request: step_pb2.StepRequest, lanes: Lanes) -> tuple[Follower, ...]:
    """Take the offered successors out of a request."""
    if not request.offered:
        return ()
    followers = tuple(
        Follower(
            path=offered.request.key.path,
            lane=lanes.of(offered.request),
            data=offered.SerializeToString(),
        )
        for offered in request.offered
    )
    request.ClearField("offered")
    return followers


def review_chains(state: PoolState, placed: Iterable[Ticket], now: float) -> None:
    """Allow successors to the steps that a round has placed, and end older chains for whom it left waiting."""
    rivals = _Rivals(state, _rivals(state, now) if len(state.waiting) else [])
    if rivals.waiting:
        for ticket in tuple(state.leading):
            _end_for(state, ticket, rivals, now)
    for ticket in placed:
        runner = state.fleet.get(ticket.incarnation) if ticket.followers else None
        if runner is None:
            continue
        ticket.allowed = _allowed(state, ticket, runner, rivals)
        if ticket.allowed:
            state.leading[ticket] = None


def _end_for(state: PoolState, ticket: Ticket, rivals: _Rivals, now: float) -> None:
    if ticket.chain_ended is not None and now - ticket.chain_ended < _REPEAT:
        return
    runner = state.fleet.get(ticket.incarnation)
    if runner is None or not _is_outranked(state, ticket, runner, rivals):
        return
    ticket.chain_ended = now
    state.effects.append(EndChain(incarnation=ticket.incarnation, key=ticket.key))


def _allowed(
    state: PoolState, ticket: Ticket, runner: RunnerState, rivals: _Rivals
) -> tuple[Follower, ...]:
    if _is_outranked(state, ticket, runner, rivals):
        return ()
    count = 0
    for follower in ticket.followers:
        if not fits(follower.lane.need, ticket.lane.need):
            break
        if not _has_labels(runner, follower.lane, ticket.lane):
            break
        count += 1
    return ticket.followers[:count]


def _has_labels(runner: RunnerState, lane: Lane, known: Lane) -> bool:
    """Tell whether a runner that has the labels of one lane has those of another."""
    if lane.labels == known.labels:
        return True
    try:
        asked = expressions(lane.labels)
    except InvalidValue:
        return False
    return all(expression.matches(runner.labels) for expression in asked)


def _is_outranked(state: PoolState, ticket: Ticket, runner: RunnerState, rivals: _Rivals) -> bool:
    """Tell whether somebody with a better claim waits for what the ticket occupies."""
    if runner.reserved is not None and runner.reserved is not ticket:
        return True
    return any(
        _could_start(state, runner, ticket.lane.need, lane) for lane in rivals.lanes_above(ticket)
    )


def _could_start(state: PoolState, runner: RunnerState, occupied: Amount, lane: Lane) -> bool:
    """Tell whether a step of the lane could start at the runner as soon as what is occupied is free."""
    others = minus(runner.outstanding, occupied)
    if not fits_beside(lane.need, others, runner.capacity):
        return False
    return runner.group is not None and runner.group in state.fleet.eligible(lane)


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
            found.append(_Rival((-level, share), tenant, line.priority, line.lane))
    return heapq.nsmallest(_RIVALS, found, key=lambda rival: rival.rank)
