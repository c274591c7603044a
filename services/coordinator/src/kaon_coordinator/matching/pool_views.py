"""Converts runners and pools to messages of the API."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from google.protobuf.timestamp_pb2 import Timestamp

from kaon_coordinator.matching.amounts import NOTHING, Amount, largest, message, plus, times
from kaon_coordinator.matching.builds import builds_of
from kaon_coordinator.matching.formatting import timestamp_in
from kaon_coordinator.matching.moment import Moment
from kaon_coordinator.matching.pool_state import PoolState
from kaon_coordinator.matching.runner_state import RunnerState
from kaon_coordinator.matching.waiting import Line
from kaonapi.runner.v1 import runner_pb2


def runner_view(state: PoolState, runner: RunnerState, moment: Moment) -> runner_pb2.Runner:
    """Return one runner as the API shows it, without what only operators of the deployment may know."""
    heartbeat, health = runner.heartbeat, runner.health
    started = sum(1 for ticket in runner.tickets.values() if ticket.started)
    heard = Timestamp()
    heard.FromMicroseconds(heartbeat.time_us)
    view = runner_pb2.Runner(
        runner_id=heartbeat.runner_id,
        incarnation="" if moment.tenant else heartbeat.incarnation,
        pool=heartbeat.pool,
        labels=heartbeat.labels,
        capacity=heartbeat.capacity,
        running=started,
        queued=len(runner.tickets) - started,
        draining=heartbeat.draining,
        version=heartbeat.version,
        last_heartbeat_time=heard,
        condition=_condition(runner, moment.now),
        used=message(runner.outstanding),
        load=runner.load,
        recent_step_us=heartbeat.recent_step_us,
        faults=health.recent(moment.now, state.settings),
        # Nobody knows whose they are.
        warm_bundles=() if moment.tenant else heartbeat.warm_bundles,
        building=builds_of(state, runner, moment),
    )
    if view.condition == runner_pb2.RUNNER_CONDITION_RESTING:
        view.condition_end_time.CopyFrom(
            timestamp_in(moment.now_us, health.rest_until - moment.now)
        )
    elif view.condition == runner_pb2.RUNNER_CONDITION_SLOW:
        view.condition_end_time.CopyFrom(
            timestamp_in(moment.now_us, health.slow_until - moment.now)
        )
    if runner.reserved is not None and moment.shows(runner.reserved.tenant):
        view.reserved_for.CopyFrom(runner.reserved.key)
    return view


def _condition(runner: RunnerState, now: float) -> runner_pb2.RunnerCondition.ValueType:
    if not runner.accepts:
        return runner_pb2.RUNNER_CONDITION_DRAINING
    if now < runner.health.rest_until:
        return runner_pb2.RUNNER_CONDITION_RESTING
    if not runner.is_open:
        return runner_pb2.RUNNER_CONDITION_QUIET
    if now < runner.health.slow_until:
        return runner_pb2.RUNNER_CONDITION_SLOW
    return runner_pb2.RUNNER_CONDITION_OPEN


def pool_view(state: PoolState, pool: str, epoch: int, moment: Moment) -> runner_pb2.Pool:
    """Return the pool with the figures that an autoscaler needs; a tenant's callers see its own demands and share only.

    After a round of matching, none of the waiting steps can be placed.
    """
    used, released = NOTHING, 0
    for runner in state.fleet:
        used = plus(used, runner.outstanding)
        released += len(runner.tickets)
    waiting = {
        tenant: sum(line.live for line in lines.values())
        for tenant, lines in state.waiting.tenants().items()
    }
    tenants = sorted({*waiting, *state.shares.holders()})
    shown = [tenant for tenant in tenants if moment.shows(tenant)]
    return runner_pb2.Pool(
        name=pool,
        epoch=epoch,
        runners=len(state.fleet),
        capacity=message(state.fleet.total),
        used=message(used),
        waiting=len(state.waiting),
        released=released,
        demands=_demands(state, moment),
        tenants=[_tenant(state, tenant, waiting.get(tenant, 0)) for tenant in shown],
        other_tenants=len(tenants) - len(shown),
        building=sum(len(builds_of(state, runner, moment)) for runner in state.fleet),
    )


def _tenant(state: PoolState, tenant: str, waiting: int) -> runner_pb2.TenantShare:
    entitlement = state.shares.entitlement(tenant)
    return runner_pb2.TenantShare(
        tenant=tenant,
        weight=entitlement.weight,
        used=message(state.shares.held(tenant)),
        quota=message(entitlement.quota),
        dominant_share=state.shares.of(tenant),
        waiting=waiting,
    )


def _demands(state: PoolState, moment: Moment) -> list[runner_pb2.Demand]:
    by_labels: dict[tuple[str, ...], list[Line]] = defaultdict(list)
    for line in filter(lambda each: moment.shows(each.tenant), state.waiting.lines()):
        by_labels[line.lane.labels].append(line)
    admitted = _admitted(state)
    return [
        _demand(state, labels, lines, admitted, moment.now)
        for labels, lines in sorted(by_labels.items())
    ]


def _admitted(state: PoolState) -> dict[Line, int]:
    """Return how many steps of each line the tenant's quota would admit, given room."""
    admitted: dict[Line, int] = {}
    for tenant, lines in state.waiting.tenants().items():
        quota = state.shares.entitlement(tenant).quota
        held = state.shares.held(tenant)
        for line in sorted(lines.values(), key=lambda line: -line.priority):
            admitted[line] = (
                line.live if quota == NOTHING else _fitting(line.lane.need, held, quota, line.live)
            )
            held = plus(held, times(line.lane.need, admitted[line]))
    return admitted


def _fitting(need: Amount, held: Amount, quota: Amount, most: int) -> int:
    """Return how many times, up to `most`, `need` fits into the quota beside `held`."""
    custom_held, custom_quota = dict(held[4]), dict(quota[4])
    counts = [
        (limit - has) // part
        for part, has, limit in zip(need[:4], held[:4], quota[:4], strict=True)
        if part and limit
    ]
    counts += [
        (custom_quota[name] - custom_held.get(name, 0)) // part
        for name, part in need[4]
        if name in custom_quota
    ]
    return max(0, min(most, *counts)) if counts else most


def _demand(
    state: PoolState,
    labels: tuple[str, ...],
    lines: Iterable[Line],
    admitted: dict[Line, int],
    now: float,
) -> runner_pb2.Demand:
    together, most, oldest = NOTHING, NOTHING, now
    steps = impossible = over_quota = 0
    for line in lines:
        count = admitted[line]
        over_quota += line.live - count
        if not count:
            continue
        steps += count
        together = plus(together, times(line.lane.need, count))
        most = largest(most, line.lane.need)
        if not state.fleet.eligible(line.lane):
            impossible += count
        head = line.head()
        if head is not None:
            oldest = min(oldest, head.since)
    return runner_pb2.Demand(
        labels=labels,
        steps=steps,
        wanted=message(together),
        largest=message(most),
        oldest_wait_ms=int((now - oldest) * 1000),
        impossible=impossible,
        over_quota=over_quota,
    )
