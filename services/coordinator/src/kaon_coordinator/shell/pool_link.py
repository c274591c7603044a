"""The link between the owners of runs and the matchers of pools, which may live in one process or in two.

The same messages go both ways: directly to a matcher or an owner in this process, over the topics to one in another process.
"""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from kaon_coordinator.shell.inbound.records import Inbound
from kaon_coordinator.shell.outbox import Outbox
from kaon_coordinator.shell.partitions import Partitions
from kaon_coordinator.shell.pools import Pools
from kaon_coordinator.shell.shell_settings import Clocks, ShellSettings
from kaon_coordinator.store.thread import StoreThread
from kaon_wire.partitioning import partition_of
from kaonapi.run.v1 import command_pb2
from kaonapi.step.v1 import step_pb2

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class PoolOwner:
    """A coordinator, as the row of a pool that it owns names it."""

    name: str
    # host:port of its API; empty when it has told none.
    address: str

    @classmethod
    def parse(cls, text: str) -> PoolOwner:
        """From `written`."""
        name, _, address = text.partition("@")
        return cls(name=name, address=address)

    @property
    def written(self) -> str:
        """As it stands in the row."""
        return f"{self.name}@{self.address}" if self.address else self.name


class PoolLink:
    """Tells matchers what is READY or over, and answers what they ask.

    Args:
        settings: names and bounds.
        clocks: time.
        store: says who owns a pool.
        partitions: what this process owns.
    """

    def __init__(
        self, *, settings: ShellSettings, clocks: Clocks, store: StoreThread, partitions: Partitions
    ) -> None:
        self._catalogue = settings.catalogue
        self._store = store
        self._partitions = partitions
        self.owner = PoolOwner(name=settings.owner, address="")
        # The matchers that live in this process.
        self.pools = Pools(
            catalogue=settings.catalogue,
            clock=clocks.monotonic,
            now_us=clocks.now_us,
            tell_engine=self._tell_engine,
            tenants=settings.tenants,
            faulted=partitions.fault,
        )

    async def open(self, partitions: frozenset[int], outbox: Outbox) -> None:
        """Takes over the pools of these partitions: claims them, and asks engines and runners what there is."""
        for pool in self._catalogue.pools:
            if partition_of(pool, self._catalogue.pool_partitions) not in partitions:
                continue
            epoch = await self._store.run(self._store.store.claim_pool, pool, self.owner.written)
            self.pools.open(pool, epoch, outbox)
            log.info("pool owned", pool=pool, epoch=epoch)
        self.pools.advance(outbox)

    def tell(self, record: step_pb2.StepRequests, outbox: Outbox) -> None:
        """Tells the matcher of a pool what one partition wants of it."""
        if not self.pools.requests(record):
            outbox.step_requests(record)

    def answer(self, inbound: Inbound, outbox: Outbox) -> None:
        """Answers what the matchers of other processes ask and report."""
        for number, opened in inbound.pools_opened:
            self._answer_opened(number, opened, outbox)
        for report in inbound.pool_reports:
            self._compare(report, outbox)

    def match(self, inbound: Inbound, outbox: Outbox) -> None:
        """Lets the matchers of this process hear what arrived for them, and match."""
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
        """Tells a new matcher everything of a partition."""
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
        """Requests again what a matcher does not know. What it knows already it ignores."""
        partition = self._partitions.owned.get(report.partition)
        if partition is None:
            return
        ready, _ = partition.answer_pool(report.pool) if partition.misses(report) else ([], [])
        if ready:
            log.info("requests sent again", pool=report.pool, partition=partition.number, steps=len(ready))
            record = step_pb2.StepRequests(
                pool=report.pool, partition=partition.number, epoch=partition.epoch, requests=ready
            )
            self.tell(record, outbox)
