"""Reservations: runners kept free for large requests, which small gaps would never satisfy."""

from __future__ import annotations

from itertools import islice

from kaon_coordinator.matching.pool_state import PoolState
from kaon_coordinator.matching.runner_state import RunnerState
from kaon_coordinator.matching.tickets import Place, Ticket

# Candidates among which the least loaded runner is reserved.
_LOOKED_AT = 64


def keep_free(state: PoolState, now: float) -> None:
    """Reserve runners for requests that have waited long while smaller ones were placed, the most urgent first."""
    fleet, settings = state.fleet, state.settings
    most = max(1, int(len(fleet) * settings.reserve_part))
    if len(fleet.reserved) >= most:
        return
    for ticket in sorted(_overtaken(state, now), key=state.waiting.urgency):
        runner = _least_loaded(state, ticket)
        if runner is not None:
            fleet.reserve(runner, ticket, now)
        if len(fleet.reserved) >= most:
            return


def drop_reservations(state: PoolState) -> None:
    """End reservations whose request no longer waits or whose runner takes nothing."""
    for ticket, runner in tuple(state.fleet.reserved.items()):
        if ticket.place is not Place.WAITING or not runner.is_open:
            state.fleet.unreserve(runner)


def may_have(state: PoolState, runner: RunnerState, ticket: Ticket, now: float) -> bool:
    """Tell whether the ticket may go to a runner that is reserved for another one.

    It may when it is more urgent by priority, and, for a while, when its tenant holds a smaller share.
    """
    other = runner.reserved
    if other is None or other is ticket or not runner.has_room(ticket.lane.need):
        return False
    if ticket.priority > other.priority:
        return state.waiting.urgency(ticket) < state.waiting.urgency(other)
    firm = now - runner.reserved_since >= state.settings.reserve_firm
    return not firm and state.shares.rank(ticket.tenant) < state.shares.rank(other.tenant)


def _overtaken(state: PoolState, now: float) -> list[Ticket]:
    """Return the first ticket of each line that has waited long while smaller ones were placed on its runners."""
    since = now - state.settings.reserve
    heads = [head for line in state.waiting.lines() if (head := line.head()) is not None]
    return [
        ticket
        for ticket in heads
        if ticket.since <= since
        and ticket not in state.fleet.reserved
        and any(
            group.overtaken(ticket.lane.need, ticket.since)
            for group in state.fleet.eligible(ticket.lane)
        )
        and state.shares.allows(ticket.tenant, ticket.lane.need)
    ]


def _least_loaded(state: PoolState, ticket: Ticket) -> RunnerState | None:
    members = (runner for group in state.fleet.eligible(ticket.lane) for runner in group.members)
    candidates = [
        runner
        for runner in islice(members, _LOOKED_AT)
        if runner.is_open and runner.reserved is None
    ]
    return min(candidates, key=lambda runner: runner.load, default=None)
