"""Applies heartbeats: updates the capacity of the runner and the places of its tickets."""

from __future__ import annotations

from collections.abc import Iterator

from kaon_coordinator.matching.amounts import ONE_SLOT, Amount
from kaon_coordinator.matching.match_effects import Withdraw
from kaon_coordinator.matching.pool_state import PoolState
from kaon_coordinator.matching.runner_state import Issue, RunnerState
from kaon_coordinator.matching.tickets import Place, StepId, Ticket
from kaonapi.runner.v1 import runner_pb2
from kaonapi.step.v1 import step_pb2

# Consecutive heartbeats that must fail to name a release before it counts as lost.
_MISSED = 2


def apply_heartbeat(state: PoolState, heartbeat: runner_pb2.RunnerHeartbeat, now: float) -> None:
    """Apply a heartbeat. Old ones and those of departed runners change nothing."""
    if state.has_departed(heartbeat.incarnation):
        return
    runner = state.fleet.get(heartbeat.incarnation)
    if runner is not None and heartbeat.sequence <= runner.heartbeat.sequence:
        return
    if heartbeat.leaving:
        state.note_departed(heartbeat.incarnation)
        if runner is not None:
            state.remove_runner(runner)
        return
    if runner is None:
        runner = state.fleet.add(heartbeat, now)
    elif _was_silent(state, runner, heartbeat, now):
        state.fleet.slow(runner, now)
    sent = state.fleet.apply_heartbeat(runner, heartbeat, now)
    state.shares.resize(state.fleet.total)
    _adopt_orphans(state, runner)
    named = _place_named(state, runner, sent, now)
    _count_missed(state, runner, named, sent, now)
    state.stirred = True


def _was_silent(
    state: PoolState, runner: RunnerState, heartbeat: runner_pb2.RunnerHeartbeat, now: float
) -> bool:
    """Tell whether the runner was silent for long, by its own clock as well: this side may have been slow to read."""
    most = state.settings.slow_silence
    return now - runner.heard > most and heartbeat.time_us - runner.heartbeat.time_us > most * 1e6


def _adopt_orphans(state: PoolState, runner: RunnerState) -> None:
    for ticket in state.orphans.pop(runner.incarnation, {}).values():
        state.attach(ticket, runner)
        ticket.started = True


def _place_named(state: PoolState, runner: RunnerState, sent: float, now: float) -> set[StepId]:
    named: set[StepId] = set()
    strangers: dict[Issue, Amount] = {}
    tickets, here = state.tickets, runner.tickets
    for key, running in _keys(runner.heartbeat):
        step = (key.run_id, key.path)
        ticket = here.get(step)
        if (
            running
            and ticket is not None
            and ticket.started
            and ticket.generation == key.generation
        ):
            # The common case: nothing new.
            ticket.missed = 0
            named.add(step)
            continue
        ticket = tickets.get(step)
        if ticket is None or ticket.generation != key.generation:
            if not state.is_over(step, key.generation):
                strangers[step, key.generation] = (
                    ticket.lane.need if ticket is not None else ONE_SLOT
                )
        elif _is_here(state, runner, ticket, running=running):
            named.add(step)
            _confirm(state, ticket, running=running, sent=sent)
            if not running and _should_run(state, runner, ticket, sent):
                state.fleet.slow(runner, now)
        else:
            strangers[step, key.generation] = ticket.lane.need
    state.fleet.meet(runner, strangers)
    return named


def _keys(heartbeat: runner_pb2.RunnerHeartbeat) -> Iterator[tuple[step_pb2.StepKey, bool]]:
    for key in heartbeat.running:
        yield key, True
    for key in heartbeat.queued:
        yield key, False


def _is_here(state: PoolState, runner: RunnerState, ticket: Ticket, *, running: bool) -> bool:
    """Tell whether the ticket is at this runner; move it here when it was thought elsewhere and belongs here."""
    if ticket.place is Place.RELEASED and ticket.incarnation == runner.incarnation:
        return True
    if ticket.place is Place.RELEASED:
        if ticket.started or not running:
            return False
        # Released twice, and this one has started.
        state.effects.append(Withdraw(incarnation=ticket.incarnation, key=ticket.key))
    state.detach(ticket)
    state.attach(ticket, runner)
    return True


def _confirm(state: PoolState, ticket: Ticket, *, running: bool, sent: float) -> None:
    ticket.missed = 0
    if ticket.released is None:
        ticket.released = sent
    if running:
        ticket.started = True
        ticket.withdrawn = None
    elif sent >= ticket.released + state.settings.in_flight:
        ticket.queued = True


def _should_run(state: PoolState, runner: RunnerState, ticket: Ticket, sent: float) -> bool:
    """Tell whether the runner had a free slot and everything it needs, and should have started the step long ago."""
    if (
        ticket.load >= 1.0
        or ticket.released is None
        or sent < ticket.released + state.settings.slow_start
    ):
        return False
    return not ticket.bundle or ticket.bundle in runner.warm


def _count_missed(
    state: PoolState, runner: RunnerState, named: set[StepId], sent: float, now: float
) -> None:
    if len(named) == len(runner.tickets):
        return
    for ticket in tuple(runner.tickets.values()):
        if ticket.step in named or ticket.released is None:
            continue
        if sent < ticket.released + state.settings.in_flight:
            continue
        ticket.missed += 1
        if ticket.missed >= _MISSED:
            state.lose(ticket, now)
