"""The matchers of the pools that this process owns, and the sends that follow from them."""

from __future__ import annotations

from collections.abc import Callable

from kaon_coordinator.faults import going_on
from kaon_coordinator.matching.effects import AskRunners, Effect, OpenPool, Release, ReportPool, Withdraw
from kaon_coordinator.matching.explain import Moment
from kaon_coordinator.matching.matcher import PoolMatcher
from kaon_coordinator.matching.tenants import NO_LIMITS, Tenants
from kaon_coordinator.shell.inbound.records import Inbound
from kaon_coordinator.shell.outbox import EVERY_RUNNER, Outbox
from kaon_wire import topics
from kaon_wire.partitioning import partition_of
from kaonapi.run.v1 import command_pb2
from kaonapi.runner.v1 import runner_pb2
from kaonapi.step.v1 import step_pb2

# Tells the owner of an engine partition something: directly when that is this process.
TellEngine = Callable[[int, command_pb2.Wakeup, Outbox], None]


class Pools:
    """The matchers of one process.

    Args:
        catalogue: the deployment's topics.
        clock: monotonic seconds.
        now_us: microseconds since the epoch.
        tenants: what tenants are entitled to.
        faulted: is told the partition and the run of a request that a matcher cannot take, what was going on, and what was raised.
        tell_engine: how the owners of engine partitions are told what a matcher asks or reports.
    """

    def __init__(
        self,
        *,
        catalogue: topics.Catalogue,
        clock: Callable[[], float],
        now_us: Callable[[], int],
        tell_engine: TellEngine,
        faulted: Callable[[int, str, str, BaseException], None],
        tenants: Tenants = NO_LIMITS,
    ) -> None:
        self._catalogue = catalogue
        self._clock = clock
        self._now_us = now_us
        self._tenants = tenants
        self._tell_engine = tell_engine
        self._faulted = faulted
        self._matchers: dict[str, PoolMatcher] = {}

    def open(self, pool: str, epoch: int, outbox: Outbox) -> None:
        """Takes a pool over: engines are asked what is READY, runners what they have."""
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
        """Gives up the pools of these partitions; their next owner is told everything anew."""
        for pool in list(self._matchers):
            if partition_of(pool, self._catalogue.pool_partitions) in partitions:
                del self._matchers[pool]

    def requests(self, record: step_pb2.StepRequests) -> bool:
        """Hands a record to its pool's matcher; False when that lives in another process."""
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
        """Takes in what arrived for the matchers."""
        now = self._clock()
        for record in inbound.requests:
            self.requests(record)
        for heartbeat in inbound.heartbeats:
            matcher = self._matchers.get(heartbeat.pool)
            if matcher is not None:
                with going_on("a heartbeat was heard", pool=matcher.pool, runner=heartbeat.incarnation):
                    matcher.heartbeat(heartbeat, now)

    def deafen(self) -> None:
        """Nothing could be heard until now."""
        for matcher in self._matchers.values():
            matcher.deafen(self._clock())

    def advance(self, outbox: Outbox) -> None:
        """Lets every matcher match."""
        for matcher in self._matchers.values():
            with going_on("a pool was matched", pool=matcher.pool):
                for effect in matcher.tick(self._clock()):
                    self._let_out(matcher, effect, outbox)
            self._tell_troubles(matcher)

    def owned(self) -> list[str]:
        """The pools whose matchers live in this process."""
        return sorted(self._matchers)

    def runners(self, pool: str) -> list[runner_pb2.Runner]:
        """The runners of a pool, or of all pools when it is empty, as far as their matchers live in this process."""
        moment = self._moment()
        asked = [self._matchers[name] for name in self.owned() if pool in {"", name}]
        return [runner for matcher in asked for runner in matcher.runners(moment)]

    def view(self, pool: str) -> runner_pb2.Pool | None:
        """What a pool has and what it lacks; None when its matcher lives in another process."""
        matcher = self._matchers.get(pool)
        return matcher.view(self._moment()) if matcher is not None else None

    def explain(self, pool: str, run_id: str, path: str) -> list[runner_pb2.WaitReason] | None:
        """Why a READY step waits; None when the pool's matcher lives in another process."""
        matcher = self._matchers.get(pool)
        return matcher.explain(run_id, path, self._moment()) if matcher is not None else None

    def _moment(self) -> Moment:
        return Moment(now=self._clock(), now_us=self._now_us())

    def _let_out(self, matcher: PoolMatcher, effect: Effect, outbox: Outbox) -> None:
        match effect:
            case Release(incarnation=incarnation, requests=requests):
                outbox.releases(matcher.pool, matcher.epoch, {incarnation: requests})
            case Withdraw(incarnation=incarnation, key=key):
                withdraw = runner_pb2.WithdrawStep(key=key, pool_epoch=matcher.epoch)
                outbox.command(incarnation, [runner_pb2.RunnerCommand(withdraw=withdraw)])
            case AskRunners(pool_epoch=epoch):
                report = runner_pb2.ReportRunner(pool_epoch=epoch)
                outbox.command(EVERY_RUNNER, [runner_pb2.RunnerCommand(report=report)])
            case OpenPool(message=opened):
                for partition in range(self._catalogue.run_partitions):
                    self._tell_engine(partition, command_pb2.Wakeup(pool_opened=opened), outbox)
            case ReportPool(message=report_):
                self._tell_engine(report_.partition, command_pb2.Wakeup(pool_report=report_), outbox)
