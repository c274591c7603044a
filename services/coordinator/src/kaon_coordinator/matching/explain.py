"""Explains why a step waits at its pool's matcher, as text and as data."""

from __future__ import annotations

from collections.abc import Sequence

from kaon_coordinator.matching.amounts import NOTHING, in_words, largest, message
from kaon_coordinator.matching.builds import build_for
from kaon_coordinator.matching.formatting import about, timestamp_in
from kaon_coordinator.matching.moment import Moment
from kaon_coordinator.matching.pool_state import PoolState
from kaon_coordinator.matching.runner_state import RunnerState
from kaon_coordinator.matching.tickets import Lane, Place, StepId, Ticket, expressions
from kaon_wire.errors import InvalidValue
from kaon_wire.texts import counted
from kaonapi.runner.v1 import runner_pb2 as r


def explain(state: PoolState, pool: str, step: StepId, moment: Moment) -> list[r.WaitReason]:
    """Return where a step is, or at least one reason why it waits, the binding reason first."""
    ticket = state.tickets.get(step)
    if ticket is None:
        text = f"The matcher of pool {pool!r} has no request for this step: it is not ready, or it has ended."
        reasons = [r.WaitReason(cause=r.WAIT_CAUSE_NO_REQUEST, text=text)]
    elif ticket.place is Place.RELEASED:
        reasons = [_released(state, ticket, moment)]
    elif ticket.place is Place.PARKED:
        reasons = [_parked(state, ticket, moment)]
    else:
        reasons = _waiting(state, pool, ticket, moment)
    for reason in reasons:
        reason.path = step[1]
    return reasons


def _released(state: PoolState, ticket: Ticket, moment: Moment) -> r.WaitReason:
    runner = state.fleet.get(ticket.incarnation)
    which = "" if moment.tenant else f" ({ticket.incarnation})"
    name = runner.runner_id if runner is not None else f"a runner without heartbeats{which}"
    cause = r.WAIT_CAUSE_AT_RUNNER
    build = build_for(runner, ticket) if runner is not None else None
    if build is not None:
        cause = r.WAIT_CAUSE_ENVIRONMENT
        text = f"Its environment, of {build.requirements_file}, is being built at {name}; it starts when that is there."
    elif ticket.started:
        cause, text = r.WAIT_CAUSE_RUNNING, f"It runs at {name}."
    elif ticket.withdrawn is not None:
        text = f"It was queued at {name}, which was asked to hand it back because another runner is free."
    elif ticket.queued and runner is not None:
        steps = counted(len(runner.tickets), "step")
        text = (
            f"It is queued at {name}, which has {steps} for {counted(runner.capacity[0], 'slot')}."
        )
    else:
        text = f"It was released to {name}, which has not reported its start yet."
    return r.WaitReason(
        cause=cause, text=text, runner_id=runner.runner_id if runner is not None else ""
    )


def _parked(state: PoolState, ticket: Ticket, moment: Moment) -> r.WaitReason:
    left = ticket.avoid_until - moment.now
    if not ticket.avoid or left <= 0:
        text = "The matcher is new and first waits for the heartbeats of the runners."
        return r.WaitReason(cause=r.WAIT_CAUSE_NEW_MATCHER, text=text)
    runner = state.fleet.get(ticket.avoid)
    return r.WaitReason(
        cause=r.WAIT_CAUSE_HANDED_BACK,
        text=f"Its last runner handed it back and no other can take it; it is tried again in {left:.1f} s.",
        runner_id=runner.runner_id if runner is not None else "",
        due_time=timestamp_in(moment.now_us, left),
    )


def _waiting(state: PoolState, pool: str, ticket: Ticket, moment: Moment) -> list[r.WaitReason]:
    impossible = _impossible(state, pool, ticket.lane)
    if impossible is not None:
        return [impossible]
    runners = [runner for group in state.fleet.eligible(ticket.lane) for runner in group.members]
    reasons = [_over_quota(state, pool, ticket), *_runners(state, ticket, runners, moment)]
    found = [reason for reason in reasons if reason is not None]
    behind = _behind(state, ticket)
    if (
        behind.higher_ahead
        or behind.same_ahead
        or any(reason.cause != r.WAIT_CAUSE_CLOSED for reason in found)
    ):
        return [*found, behind]
    return found or [
        r.WaitReason(
            cause=r.WAIT_CAUSE_SOON, text="A runner has room for it: it is released within moments."
        )
    ]


def _impossible(state: PoolState, pool: str, lane: Lane) -> r.WaitReason | None:
    """Return why no known runner could take the step even when idle, or None when one could."""
    heard = len(state.fleet)
    try:
        asked = expressions(lane.labels)
    except InvalidValue as error:
        return r.WaitReason(
            cause=r.WAIT_CAUSE_BAD_LABEL,
            text=f"No runner can ever take it: {error}.",
            labels=lane.labels,
        )
    if not heard:
        return r.WaitReason(
            cause=r.WAIT_CAUSE_NO_RUNNER, text=f"No runner of pool {pool!r} sends heartbeats."
        )
    labelled = state.fleet.labelled(lane)
    if not labelled:
        runners = list(state.fleet)
        alone = [e.text for e in asked if not any(e.matches(runner.labels) for runner in runners)]
        missing = alone or [e.text for e in asked]
        together = "" if alone else " together"
        text = f"No runner has {(' or ' if alone else ' and ').join(missing)}{together} ({heard} in pool {pool!r})."
        return r.WaitReason(cause=r.WAIT_CAUSE_NO_LABEL, text=text, labels=missing, runners=heard)
    if state.fleet.eligible(lane):
        return None
    most = NOTHING
    for group in labelled:
        most = largest(most, group.capacity)
    offers = "; ".join(sorted({in_words(group.capacity) for group in labelled}))
    return r.WaitReason(
        cause=r.WAIT_CAUSE_TOO_LARGE,
        text=f"It needs {in_words(lane.need)}, and no runner with its labels has that much (they have {offers}).",
        wanted=message(lane.need),
        limit=message(most),
        runners=heard,
    )


def _over_quota(state: PoolState, pool: str, ticket: Ticket) -> r.WaitReason | None:
    need, tenant = ticket.lane.need, ticket.tenant
    if state.shares.allows(tenant, need):
        return None
    quota, held = state.shares.entitlement(tenant).quota, state.shares.held(tenant)
    return r.WaitReason(
        cause=r.WAIT_CAUSE_OVER_QUOTA,
        text=f"Its tenant {tenant!r} has {in_words(held)} of its quota of {in_words(quota)} in pool {pool!r}, "
        f"and it needs {in_words(need)}.",
        tenant=tenant,
        wanted=message(need),
        used=message(held),
        limit=message(quota),
        dominant_share=state.shares.of(tenant),
    )


def _runners(
    state: PoolState, ticket: Ticket, runners: Sequence[RunnerState], moment: Moment
) -> list[r.WaitReason]:
    """Return the reasons why the eligible runners cannot take the step now."""
    need, total = ticket.lane.need, len(runners)
    resting = [runner for runner in runners if runner.health.rest_until > moment.now]
    closed = [runner for runner in runners if not runner.is_open and runner not in resting]
    able = [runner for runner in runners if runner.is_open]
    kept = [
        runner for runner in able if runner.reserved not in {None, ticket} and runner.has_room(need)
    ]
    busy = [runner for runner in able if not runner.has_room(need)]
    counts = r.WaitReason(
        runners=len(state.fleet),
        eligible=total,
        busy=len(busy),
        closed=len(closed),
        resting=len(resting),
        reserved=len(kept),
    )
    reasons = []
    if busy:
        reasons.append(_busy(state, ticket, busy, total, moment.now))
    if kept:
        reasons.append(_reserved(kept, moment))
    if resting or closed:
        reasons.append(_closed(resting, closed, total, moment))
    if any(runner.has_room(need) and runner not in kept for runner in able):
        return []
    for reason in reasons:
        reason.MergeFrom(counts)
    return reasons


def _reserved(kept: Sequence[RunnerState], moment: Moment) -> r.WaitReason:
    owners = [runner.reserved for runner in kept if runner.reserved is not None]
    paths = sorted({ticket.step[1] for ticket in owners if moment.shows(ticket.tenant)})
    hidden = len({ticket.step for ticket in owners if not moment.shows(ticket.tenant)})
    told = [*paths[:3], *([f"{counted(hidden, 'step')} of other tenants"] * bool(hidden))]
    text = (
        f"{counted(len(kept), 'runner is', 'runners are')} kept free for {', '.join(told)}, which needs more at "
        "once and has waited longer."
    )
    return r.WaitReason(cause=r.WAIT_CAUSE_RESERVED, text=text, others=paths)


def _busy(
    state: PoolState, ticket: Ticket, busy: Sequence[RunnerState], total: int, now: float
) -> r.WaitReason:
    labels = " and ".join(ticket.lane.labels)
    those = f"with {labels}" if labels else "that could take it"
    alone = len(busy) == total == 1
    text = (
        f"The only runner {those} is busy"
        if alone
        else f"{len(busy)} of {total} runners {those} are busy"
    )
    next_free = _next_free(state, busy, now)
    reason = r.WaitReason(cause=r.WAIT_CAUSE_BUSY)
    if next_free is not None:
        reason.next_free_ms = int(next_free * 1000)
        text += f"; the next has room in about {about(next_free)}"
    reason.text = text + "."
    return reason


def _next_free(state: PoolState, runners: Sequence[RunnerState], now: float) -> float | None:
    """Estimate when the next of their steps ends, from the recent durations of similar steps; None when unknown."""
    left = [
        expected - (now - ticket.sent)
        for runner in runners
        for ticket in runner.tickets.values()
        if ticket.sent and (expected := _expected(state, runner, ticket)) is not None
    ]
    coming = [seconds for seconds in left if seconds >= 0]
    return min(coming) if coming else None


def _expected(state: PoolState, runner: RunnerState, ticket: Ticket) -> float | None:
    known = state.duration(ticket)
    return known if known is not None else runner.heartbeat.recent_step_us / 1e6 or None


def _closed(
    resting: Sequence[RunnerState], closed: Sequence[RunnerState], total: int, moment: Moment
) -> r.WaitReason:
    reason = r.WaitReason(cause=r.WAIT_CAUSE_CLOSED)
    parts = []
    if resting:
        ends = min(runner.health.rest_until for runner in resting) - moment.now
        reason.due_time.CopyFrom(timestamp_in(moment.now_us, ends))
        parts.append(
            f"{counted(len(resting), 'rests', 'rest')} for {about(ends)} after losing steps repeatedly"
        )
    draining = sum(1 for runner in closed if not runner.accepts)
    if draining:
        parts.append(f"{counted(draining, 'is', 'are')} draining")
    if len(closed) > draining:
        quiet = len(closed) - draining
        parts.append(f"{counted(quiet, 'has', 'have')} sent no heartbeat recently")
    reason.text = f"Of {counted(total, 'runner')} that could take it {', '.join(parts)}."
    return reason


def _behind(state: PoolState, ticket: Ticket) -> r.WaitReason:
    higher, own = state.waiting.before(ticket)
    count = higher + own
    steps = counted(count, "step is", "steps are") if count else "No step is"
    text = f"{steps} ahead of it"
    if count:
        text += f" ({higher} of higher priority, {own} of its own tenant that came earlier)"
    share = state.shares.of(ticket.tenant)
    text += f"; its tenant {ticket.tenant!r} holds {share:.0%} of the pool"
    text += ", and tenants that hold less go first." if share else "."
    return r.WaitReason(
        cause=r.WAIT_CAUSE_BEHIND,
        text=text,
        higher_ahead=higher,
        same_ahead=own,
        tenant=ticket.tenant,
        dominant_share=share,
    )
