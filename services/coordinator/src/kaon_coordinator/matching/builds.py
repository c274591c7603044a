"""Environments that runners build, as far as a caller may know of them."""

from __future__ import annotations

from kaon_coordinator.matching.moment import Moment
from kaon_coordinator.matching.pool_state import PoolState
from kaon_coordinator.matching.runner_state import RunnerState
from kaon_coordinator.matching.tickets import Ticket, step_id
from kaonapi.runner.v1 import runner_pb2


def builds_of(
    state: PoolState, runner: RunnerState, moment: Moment
) -> list[runner_pb2.EnvironmentBuild]:
    """Return the environments that a runner builds for steps of the caller's tenant, the oldest first."""
    return [
        build
        for build in runner.heartbeat.building
        if (ticket := _ticket(state, runner, build)) is not None and moment.shows(ticket.tenant)
    ]


def build_for(runner: RunnerState, ticket: Ticket) -> runner_pb2.EnvironmentBuild | None:
    """Return the environment that the runner of a step builds for it, or None."""
    named = (build for build in runner.heartbeat.building if _is_for(build, ticket))
    return next(named, None)


def _ticket(
    state: PoolState, runner: RunnerState, build: runner_pb2.EnvironmentBuild
) -> Ticket | None:
    ticket = state.tickets.get(step_id(build.key))
    is_own = ticket is not None and ticket.incarnation == runner.incarnation
    return ticket if ticket is not None and is_own and _is_for(build, ticket) else None


def _is_for(build: runner_pb2.EnvironmentBuild, ticket: Ticket) -> bool:
    return step_id(build.key) == ticket.step and build.key.generation == ticket.generation
