"""The matchers of the pools that this process owns, and the sends that follow from them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from kaon_coordinator.faults import going_on
from kaon_coordinator.matching.match_effects import (
    AskRunners,
    Effect,
    EndChain,
    Extend,
    OpenPool,
    Release,
    ReportPool,
    Withdraw,
)
from kaon_coordinator.matching.matcher import PoolMatcher
from kaon_coordinator.matching.moment import Moment
from kaon_coordinator.matching.tenants import NO_LIMITS, Tenants
from kaon_coordinator.shell.inbound.sorting import Inbound
from kaon_coordinator.shell.lease_proofs import NO_PROOFS, LeaseProofs
from kaon_coordinator.shell.outbox import Outbox
from kaon_wire import topics
from kaon_wire.partitioning import partition_of
from kaonapi.run.v1 import command_pb2
from kaonapi.runner.v1 import runner_pb2
from kaonapi.step.v1 import step_pb2

# Tells whether a heartbeat counts, of the record and what it says.
Admits = Callable[[bytes, runner_pb2.RunnerHeartbeat], bool]
# Sends a message to the owner of an engine partition: directly within this process.
TellEngine = Callable[[int, command_pb2.Wakeup, Outbox], None]


class Pools:
    """The matchers of one process.

    Args:
        catalogue: The deployment's topics.
        clock: Returns monotonic seconds.
        now_us: Returns microseconds since the epoch.
        tenants: The entitlements of tenants.
        proofs: Makes the lease tokens of releases.
        faulted: Called with the partition and run of a request that a matcher cannot take, the activity, and the exception.
        ready: Returns how many steps of this process's runs wait in each pool.
        admits: Tells whether a heartbeat counts.
        tell_engine: Sends a matcher's question or report to the owner of an engine partition.
    """

    def __init__(
        self,
        *,
        catalogue: topics.Catalogue,
        clock: Callable[[], float],
        now_us: Callable[[], int],
        tell_engine: TellEngine,
        faulted: Callable[[int, str, str, BaseException], None],
        ready: Callable[[], Mapping[str, int]] = dict,
        tenants: Tenants = NO_LIMITS,
        proofs: LeaseProofs = NO_PROOFS,
        admits: Admits = lambda value, heartbeat: True,
    ) -> None:
        self._admits = admits
        self._ready = ready
        self._catalogue = catalogue
        self._clock = clock
        self._now_us = now_us
        self._tenants = tenants
        self._proofs = proofs
        self._tell_engine = tell_engine
        self._faulted = faulted
        self._matchers: dict[str, PoolMatcher] = {}

    def open(self, pool: str, epoch: int, outbox: Outbox) -> None:
        """Take a pool over: ask engines for READY steps, and runners for their steps."""
        matcher = PoolMatcher(
            pool=pool,
            epoch=epoch,
            run_partitions=self._catalogue.run_partitions,
            now=self._clock(),
            tenants=self._tenants,
        )
        self._matchers[pool] = matcher
        for effect in matcher.open():
            self._let_out(matcher, effect, outbox)

    def close(self, partitions: frozenset[int]) -> None:
        """Give up the pools of these partitions; their next owner asks for everything again."""
        for pool in list(self._matchers):
            if partition_of(pool, self._catalogue.pool_partitions) in partitions:
                del self._matchers[pool]

    def requests(self, record: step_pb2.StepRequests) -> bool:
        """Deliver a record to its pool's matcher; return False when that is in another process."""
        matcher = self._matchers.get(record.pool)
        if matcher is None:
            return False
        matcher.requests(record, self._clock())
        self._tell_troubles(matcher)
        return True

    def _tell_troubles(self, matcher: PoolMatcher) -> None:
        for trouble in matcher.take_troubles():
            self._faulted(
                trouble.partition,
                trouble.run_id,
                f"{trouble.path} was matched in pool {matcher.pool}",
                trouble.error,
            )

    def hear(self, inbound: Inbound) -> None:
        """Take in the records that arrived for the matchers."""
        now = self._clock()
        for record in inbound.requests:
            self.requests(record)
        for value, heartbeat in inbound.heartbeats:
            matcher = self._matchers.get(heartbeat.pool)
            if matcher is not None and self._admits(value, heartbeat):
                with going_on(
                    "a heartbeat was heard", pool=matcher.pool, runner=heartbeat.incarnation
                ):
                    matcher.heartbeat(heartbeat, now)

    def deafen(self) -> None:
        """Note that no messages could be received until now."""
        for matcher in self._matchers.values():
            matcher.deafen(self._clock())

    def advance(self, outbox: Outbox) -> None:
        """Run every matcher."""
        for matcher in self._matchers.values():
            with going_on("a pool was matched", pool=matcher.pool):
                for effect in matcher.tick(self._clock()):
                    self._let_out(matcher, effect, outbox)
            self._tell_troubles(matcher)

    def owned(self) -> list[str]:
        """Return the pools whose matchers are in this process."""
        return sorted(self._matchers)

    def unknown(self) -> Mapping[str, int]:
        """Return the pools that the deployment does not have and in which steps of this process's runs wait, with their number."""
        return {
            pool: count
            for pool, count in self._ready().items()
            if pool not in self._catalogue.pools
        }

    def runners(self, pool: str, tenant: str = "") -> list[runner_pb2.Runner]:
        """Return the runners of a pool, or of all pools when it is empty, as far as their matchers are in this process.

        Args:
            pool: The name of the pool.
            tenant: The answer names nothing of other tenants; empty: it names everything.
        """
        moment = self._moment(tenant)
        asked = [self._matchers[name] for name in self.owned() if pool in {"", name}]
        return [runner for matcher in asked for runner in matcher.runners(moment)]

    def view(self, pool: str, tenant: str = "") -> runner_pb2.Pool | None:
        """Return the capacity and the shortage of a pool, or None when its matcher is in another process; see `runners`."""
        matcher = self._matchers.get(pool)
        return matcher.view(self._moment(tenant)) if matcher is not None else None

    def explain(
        self, pool: str, run_id: str, path: str, tenant: str = ""
    ) -> list[runner_pb2.WaitReason] | None:
        """Return why a READY step waits, or None when the pool's matcher is in another process; see `runners`."""
        matcher = self._matchers.get(pool)
        return matcher.explain(run_id, path, self._moment(tenant)) if matcher is not None else None

    def _moment(self, tenant: str) -> Moment:
        return Moment(now=self._clock(), now_us=self._now_us(), tenant=tenant)

    def _let_out(self, matcher: PoolMatcher, effect: Effect, outbox: Outbox) -> None:
        match effect:
            case Release(incarnation=incarnation):
                requests = self._proofs.released(effect)
                outbox.releases(matcher.pool, matcher.epoch, {incarnation: requests})
            case Extend(incarnation=incarnation):
                extension = self._proofs.extended(effect)
                outbox.extension(matcher.pool, matcher.epoch, incarnation, extension)
            case Withdraw(incarnation=incarnation, key=key):
                withdraw = runner_pb2.WithdrawStep(key=key, pool_epoch=matcher.epoch)
                outbox.command(incarnation, [runner_pb2.RunnerCommand(withdraw=withdraw)])
            case EndChain(incarnation=incarnation, key=key):
                ending = runner_pb2.EndSuccession(key=key, pool_epoch=matcher.epoch)
                outbox.command(incarnation, [runner_pb2.RunnerCommand(end_succession=ending)])
            case AskRunners(pool_epoch=epoch):
                report = runner_pb2.ReportRunner(pool_epoch=epoch)
                outbox.command_all(matcher.pool, [runner_pb2.RunnerCommand(report=report)])
            case OpenPool(message=opened):
                for partition in range(self._catalogue.run_partitions):
                    self._tell_engine(partition, command_pb2.Wakeup(pool_opened=opened), outbox)
            case ReportPool(message=report_):
                self._tell_engine(
                    report_.partition, command_pb2.Wakeup(pool_report=report_), outbox
                )
