"""Why a step waits, in words."""

from __future__ import annotations

from kaon_coordinator.matching.amounts import in_words
from kaon_coordinator.matching.state import PoolState
from kaon_coordinator.matching.tickets import Place, StepId, Ticket


def explain(state: PoolState, pool: str, step: StepId, now: float) -> str:
    """One sentence about where a step is, or what it waits for."""
    ticket = state.tickets.get(step)
    if ticket is None:
        return f"The matcher of pool {pool!r} has no request for this step: it is not ready, or it has ended."
    if ticket.place is Place.RELEASED:
        return _released(state, ticket)
    if ticket.place is Place.PARKED:
        return _parked(ticket, now)
    return _waiting(state, pool, ticket)


def _released(state: PoolState, ticket: Ticket) -> str:
    runner = state.fleet.get(ticket.incarnation)
    name = runner.runner_id if runner is not None else f"a runner that is not heard ({ticket.incarnation})"
    if ticket.started:
        return f"It runs at {name}."
    if ticket.withdrawn is not None:
        return f"It was queued at {name}, which was asked to give it back because another runner is free."
    return f"It was released to {name}, which has not said yet that it runs."


def _parked(ticket: Ticket, now: float) -> str:
    if ticket.avoid and ticket.avoid_until > now:
        return f"Its last runner gave it back and no other could take it; it is tried again in {ticket.avoid_until - now:.1f} s."
    return "The matcher is new and first waits for the runners to say what they already have."


def _waiting(state: PoolState, pool: str, ticket: Ticket) -> str:
    lane = ticket.lane
    expressions = state.book.expressions(lane)
    if expressions is None:
        return f"It can never run: {state.book.mistake(lane)}."
    runners = list(state.fleet)
    if not runners:
        return f"No runner of pool {pool!r} is heard."
    for expression in expressions:
        if not any(expression.matches(runner.labels) for runner in runners):
            return f"No runner has {expression.text} ({len(runners)} heard in pool {pool!r})."
    labelled = state.fleet.labelled(lane)
    if not labelled:
        wanted = " and ".join(expression.text for expression in expressions)
        return f"No runner has {wanted} together ({len(runners)} heard in pool {pool!r})."
    eligible = state.fleet.eligible(lane)
    if not eligible:
        offers = "; ".join(sorted({in_words(runner.capacity) for runner in labelled}))
        return f"It needs {in_words(lane.need)}, and no runner with its labels has that much (they have {offers})."
    return _busy(state, ticket)


def _busy(state: PoolState, ticket: Ticket) -> str:
    eligible = state.fleet.eligible(ticket.lane)
    accepting = [runner for runner in eligible if runner.accepts]
    if not accepting:
        return f"All {len(eligible)} runners that could take it are draining."
    before = state.waiting.before(ticket)
    steps = "no step goes" if before == 0 else "1 step goes" if before == 1 else f"{before} steps go"
    busy = "The only runner" if len(accepting) == 1 else f"All {len(accepting)} runners"
    share = state.shares.of(ticket.tenant)
    return (
        f"{busy} that could take it {'is' if len(accepting) == 1 else 'are'} busy; {steps} before it, and its tenant "
        f"{ticket.tenant!r} holds {share:.0%} of the pool."
    )
