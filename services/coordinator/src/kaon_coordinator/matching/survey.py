"""What a matcher looks at from time to time: silent runners, and steps that are queued at one runner while another is free."""

from __future__ import annotations

from collections.abc import Iterator

from kaon_coordinator.matching.amounts import NOTHING, Amount, fits_beside, plus
from kaon_coordinator.matching.effects import Withdraw
from kaon_coordinator.matching.runners import RunnerState
from kaon_coordinator.matching.state import PoolState
from kaon_coordinator.matching.tickets import Ticket

# A withdrawal that nothing came of is repeated after so many seconds.
_REPEAT = 5.0
# A runner that is silent for so many seconds while its next life is heard is dropped at once.
_REPLACED = 3.0


def drop_silent(state: PoolState, now: float) -> None:
    """Drops the runners that have not been heard for the lease time, or whose next life is heard."""
    latest: dict[str, float] = {}
    for runner in state.fleet:
        latest[runner.runner_id] = max(runner.heard, latest.get(runner.runner_id, 0.0))
    for runner in state.fleet:
        silence = now - runner.heard
        replaced = silence > _REPLACED and latest[runner.runner_id] > runner.heard + _REPLACED
        if silence > state.settings.lease or replaced:
            state.remove_runner(runner)


def withdraw_queued(state: PoolState, now: float) -> None:
    """Asks for releases back that are queued while another runner could start them at once."""
    free = [runner for runner in state.fleet if _is_free(runner, now, state.settings.quiet)]
    if not free:
        return
    planned: dict[str, Amount] = {}
    for source, ticket in _queued(state, now):
        for runner in free:
            added = planned.get(runner.incarnation, NOTHING)
            if runner is source or not _could_start(state, runner, ticket, added):
                continue
            planned[runner.incarnation] = plus(added, ticket.lane.need)
            ticket.withdrawn = now
            state.effects.append(Withdraw(incarnation=source.incarnation, key=ticket.key))
            break


def _is_free(runner: RunnerState, now: float, quiet: float) -> bool:
    return runner.accepts and runner.load < 1.0 and now - runner.heard <= quiet


def _could_start(state: PoolState, runner: RunnerState, ticket: Ticket, planned: Amount) -> bool:
    need = ticket.lane.need
    if not fits_beside(need, plus(runner.outstanding, planned), runner.capacity):
        return False
    return runner in state.fleet.eligible(ticket.lane)


def _queued(state: PoolState, now: float) -> Iterator[tuple[RunnerState, Ticket]]:
    for runner in state.fleet:
        if runner.load <= 1.0:
            continue
        for ticket in tuple(runner.tickets.values()):
            if not ticket.queued or ticket.started or ticket.released is None:
                continue
            patient = now - ticket.released < state.settings.withdraw
            asked = ticket.withdrawn is not None and now - ticket.withdrawn < _REPEAT
            if not patient and not asked:
                yield runner, ticket
