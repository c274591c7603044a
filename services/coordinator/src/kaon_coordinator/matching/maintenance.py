"""Periodic maintenance of a pool: drops silent runners, and withdraws steps that wait at one runner while another is free."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from kaon_coordinator.matching.amounts import NOTHING, Amount, fits_beside, plus
from kaon_coordinator.matching.match_effects import Withdraw
from kaon_coordinator.matching.pool_state import PoolState
from kaon_coordinator.matching.runner_state import RunnerState
from kaon_coordinator.matching.tickets import Lane, Ticket

# Seconds after which an unanswered withdrawal is repeated.
_REPEAT = 5.0
# Maximum number of releases withdrawn in one pass.
_AT_ONCE = 200
# A runner that is silent for so many seconds while its next incarnation is heard is dropped at once.
_REPLACED = 3.0


def review_runners(state: PoolState, now: float) -> None:
    """Drop runners that were silent for the lease time or have a newer incarnation; exclude quiet ones."""
    fleet = state.fleet
    silent = [runner for runner in fleet if now - runner.heard > _REPLACED]
    if silent:
        latest: dict[str, float] = {}
        for runner in fleet:
            latest[runner.runner_id] = max(runner.heard, latest.get(runner.runner_id, 0.0))
        for runner in silent:
            replaced = latest[runner.runner_id] > runner.heard + _REPLACED
            if now - runner.heard > state.settings.lease or replaced:
                state.remove_runner(runner)
            else:
                fleet.review(runner, now)
    for runner in tuple(fleet.unwell):
        fleet.review(runner, now)


def withdraw_queued(state: PoolState, now: float) -> None:
    """Withdraw queued releases that another runner could start at once."""
    if not state.fleet.with_room:
        return
    planned: dict[str, Amount] = {}
    hopeless: set[Lane] = set()
    for source, ticket in itertools.islice(_queued(state, now), _AT_ONCE):
        if ticket.lane in hopeless:
            continue
        runner = _free_runner(state, source, ticket, planned)
        if runner is None:
            hopeless.add(ticket.lane)
            continue
        planned[runner.incarnation] = plus(
            planned.get(runner.incarnation, NOTHING), ticket.lane.need
        )
        ticket.withdrawn = now
        state.effects.append(Withdraw(incarnation=source.incarnation, key=ticket.key))


def _free_runner(
    state: PoolState, source: RunnerState, ticket: Ticket, planned: dict[str, Amount]
) -> RunnerState | None:
    """Return a runner that could start the ticket at once, beside those planned for it already."""
    need = ticket.lane.need
    for group in state.fleet.eligible(ticket.lane):
        for runner in group.free(need):
            added = planned.get(runner.incarnation, NOTHING)
            if runner is not source and fits_beside(
                need, plus(runner.outstanding, added), runner.capacity
            ):
                return runner
    return None


def _queued(state: PoolState, now: float) -> Iterator[tuple[RunnerState, Ticket]]:
    for runner in tuple(state.fleet.crowded):
        for ticket in tuple(runner.tickets.values()):
            if not ticket.queued or ticket.started or ticket.released is None:
                continue
            patient = now - ticket.released < state.settings.withdraw
            asked = ticket.withdrawn is not None and now - ticket.withdrawn < _REPEAT
            if not patient and not asked:
                yield runner, ticket
