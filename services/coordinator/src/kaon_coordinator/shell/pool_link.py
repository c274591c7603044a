"""The link between the owners of runs and the matchers of pools, in one process or in two.

The same messages go both ways: directly within this process, over the topics to another one.
"""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from kaon_coordinator.shell.heartbeat_gate import HeartbeatGate
from kaon_coordinator.shell.inbound.sorting import Inbound
from kaon_coordinator.shell.outbox import Outbox
from kaon_coordinator.shell.partitions import Partitions
from kaon_coordinator.shell.pools import Pools
from kaon_coordinator.shell.shell_settings import Clocks, Counters, ShellSettings
from kaon_coordinator.store.protocols.pool_store import PoolStore
from kaon_coordinator.store.store_calls import StoreCalls
from kaon_wire.partitioning import partition_of
from kaonapi.run.v1 import command_pb2
from kaonapi.step.v1 import step_pb2

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class PoolOwner:
    """The coordinator that owns a pool, as the pool's row names it."""

    name: str
    # host:port of its API; empty when unknown.
    address: str

    @classmethod
    def parse(cls, text: str) -> PoolOwner:
        """Parse the text that `written` returned."""
        name, _, address = text.partition("@")
        return cls(name=name, address=address)

    @property
    def written(self) -> str:
        """Return the text for the row."""
        return f"{self.name}@{self.address}" if self.address else self.name


class PoolLink:
    """Tells matchers about READY and ended steps, and answers their questions.

    Args:
        settings: Names and bounds.
        clocks: The sources of time.
        store: The store of pool owners.
        partitions: The partitions of this process.
        counters: What is counted since the start.
    """

    def __init__(
        self,
        *,
        settings: ShellSettings,
        clocks: Clocks,
        store: StoreCalls[PoolStore],
        partitions: Partitions,
        counters: Counters,
    ) -> None:
        self._catalogue = settings.catalogue
        self._store = store
        self._partitions = partitions
        self.owner = PoolOwner(name=settings.owner, address="")
        # The matchers of this process.
        self.pools = Pools(
            catalogue=settings.catalogue,
            clock=clocks.monotonic,
            now_us=clocks.now_us,
            ready=partitions.ready_pools,
            tell_engine=self._tell_engine,
            tenants=settings.tenants,
            proofs=settings.proofs,
            admits=HeartbeatGate(settings.heartbeats, counters).admits,
            faulted=partitions.fault,
        )

    async def open(self, partitions: frozenset[int], outbox: Outbox) -> None:
        """Take over the pools of these partitions: claim them, and ask engines and runners for their steps."""
        for pool in self._catalogue.pools:
            if partition_of(pool, self._catalogue.pool_partitions) not in partitions:
                continue
            epoch = await self._store.run(self._store.store.claim_pool, pool, self.owner.written)
            self.pools.open(pool, epoch, outbox)
            log.info("pool owned", pool=pool, epoch=epoch)
        self.pools.advance(outbox)

    def tell(self, record: step_pb2.StepRequests, outbox: Outbox) -> None:
        """Send requests and ends of one partition to the matcher of a pool."""
        if not self.pools.requests(record):
            outbox.step_requests(record)

    def answer(self, inbound: Inbound, outbox: Outbox) -> None:
        """Answer the questions and reports of matchers in other processes."""
        for number, opened in inbound.pools_opened:
            self._answer_opened(number, opened, outbox)
        for report in inbound.pool_reports:
            self._compare(report, outbox)

    def match(self, inbound: Inbound, outbox: Outbox) -> None:
        """Deliver arrived messages to the matchers of this process, and match."""
        self.pools.hear(inbound)
        self.pools.advance(outbox)

    def _tell_engine(self, number: int, wakeup: command_pb2.Wakeup, outbox: Outbox) -> None:
        if number not in self._partitions.owned:
            outbox.wakeup(number, wakeup)
        elif wakeup.HasField("pool_opened"):
            self._answer_opened(number, wakeup.pool_opened, outbox)
        elif wakeup.HasField("pool_report"):
            self._compare(wakeup.pool_report, outbox)

    def _answer_opened(self, number: int, opened: command_pb2.PoolOpened, outbox: Outbox) -> None:
        """Send a new matcher everything of a partition."""
        partition = self._partitions.owned.get(number)
        if partition is None:
            return
        ready, held = partition.answer_pool(opened.pool)
        record = step_pb2.StepRequests(
            pool=opened.pool,
            partition=number,
            epoch=partition.epoch,
            requests=ready,
            held=held,
            answers_pool_epoch=opened.pool_epoch,
        )
        self.tell(record, outbox)

    def _compare(self, report: command_pb2.PoolReport, outbox: Outbox) -> None:
        """Request again the steps that a matcher does not know. It ignores those that it knows."""
        partition = self._partitions.owned.get(report.partition)
        if partition is None:
            return
        ready, _ = partition.answer_pool(report.pool) if partition.misses(report) else ([], [])
        if ready:
            log.info(
                "requests sent again",
                pool=report.pool,
                partition=partition.number,
                steps=len(ready),
            )
            record = step_pb2.StepRequests(
                pool=report.pool, partition=partition.number, epoch=partition.epoch, requests=ready
            )
            self.tell(record, outbox)
