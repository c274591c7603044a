"""Ownership of partitions: opened under a new epoch, lost to another owner, claimed back after a late claim."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

import structlog

from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.shell.dispatch import Dispatch
from kaon_coordinator.shell.inbound.inbox import Inbox
from kaon_coordinator.shell.lease_book import LeaseBook
from kaon_coordinator.shell.outbox import Outbox
from kaon_coordinator.shell.partition import Partition, Stored
from kaon_coordinator.shell.partitions import Partitions
from kaon_coordinator.shell.shell_settings import Clocks, Counters, ShellSettings
from kaon_coordinator.shell.workflow_cache import Workflows
from kaon_coordinator.store.base import Fenced, LoadedRun, PartitionBatch, encode_event
from kaon_coordinator.store.protocols.aside_store import AsideStore
from kaon_coordinator.store.protocols.partition_store import PartitionStore
from kaon_coordinator.store.store_calls import StoreCalls
from kaon_coordinator.transport.base import Transport
from kaon_wire.errors import Unavailable

log = structlog.get_logger(__name__)


class OwnershipStore(PartitionStore, AsideStore, Protocol):
    """What the ownership of partitions needs of the store."""


class Book(Protocol):
    """A component that keeps data by partition."""

    def drop(self, partition: int, /) -> None:
        """Forget a partition that another owner has claimed."""


@dataclass(frozen=True, kw_only=True)
class OwnershipParts:
    """The dependencies of opening and dropping partitions."""

    settings: ShellSettings
    clocks: Clocks
    counters: Counters
    store: StoreCalls[OwnershipStore]
    transport: Transport
    partitions: Partitions
    workflows: Workflows
    inbox: Inbox
    dispatch: Dispatch
    # The components that forget a lost partition, in this order.
    books: Sequence[Book]


class Ownership:
    """Opens, loses and claims back the partitions of one process."""

    def __init__(self, parts: OwnershipParts) -> None:
        self._parts = parts
        self._store = parts.store
        self._partitions = parts.partitions
        # Partitions of this member that a former owner claimed late, with the time to claim them back, in
        # monotonic seconds.
        self._claimed_away: dict[int, float] = {}

    async def open(self, number: int, outbox: Outbox) -> bool:
        """Take a partition over: raise its epoch and derive pending work from the rows; return False when it is lost at once."""
        self._claimed_away.pop(number, None)
        settings = self._parts.settings
        epoch = await self._store.run(self._store.store.claim_partition, number, settings.owner)
        leases = LeaseBook(seconds=settings.lease_seconds)
        partition = Partition(number=number, epoch=epoch, leases=leases, proofs=settings.proofs)
        aside = await self._store.read(self._store.store.list_set_aside, 0)
        partition.aside |= {
            each.name for each in aside if each.kind == "run" and each.partition == number
        }
        loaded = await self._store.run(self._store.store.load_runs, number)
        try:
            await self._publish_rest(partition)
        except Fenced:
            self.lose(number)
            return False
        self._partitions.owned[number] = partition
        self._parts.inbox.wake(number)
        await self._adopt(partition, loaded, outbox)
        log.info("partition owned", partition=number, epoch=epoch, runs=len(loaded))
        return True

    async def _publish_rest(self, partition: Partition) -> None:
        """Publish history that earlier owners have not, in parts: a mark must never pass unpublished events."""
        store = self._store.store
        while events := await self._store.run(store.unpublished, partition.number):
            outbox = self._parts.settings.outbox()
            outbox.history(partition.number, (encode_event(event).data for event in events))
            await self._parts.transport.send(outbox.take())
            marks = {event.run_id: event.seq for event in events}
            batch = PartitionBatch(
                partition=partition.number, epoch=partition.epoch, published=marks
            )
            await self._store.run(store.commit, batch)

    async def take_back(self, filled: Collection[int], outbox: Outbox) -> None:
        """Take runs over again that were set aside, at a person's request."""
        asked = [number for number in filled if self._partitions.owned[number].aside]
        if not asked:
            return
        kept = await self._store.read(self._store.store.list_set_aside, 0)
        still = {each.name for each in kept if each.kind == "run"}
        for number in asked:
            partition = self._partitions.owned[number]
            back = partition.aside - still
            if not back:
                continue
            partition.aside -= back
            self._parts.inbox.forget(back)
            log.info("runs taken back from set aside", partition=number, runs=sorted(back))
            loaded = await self._store.read(self._store.store.load_some, back)
            running = [run for run in loaded if run.row.status not in t.TERMINAL]
            await self._adopt(partition, running, outbox)

    async def _adopt(
        self, partition: Partition, loaded: Sequence[LoadedRun], outbox: Outbox
    ) -> None:
        stored = []
        for run in loaded:
            try:
                stored.append(Stored(run=run, workflow=await self._parts.workflows.of(run)))
            except Unavailable:
                raise
            except Exception as error:
                partition.fault(run.run_id, "its workflow was read", error)
        effects = partition.adopt(stored, self._parts.clocks.monotonic())
        self._parts.dispatch.dispatch(partition, effects, outbox)

    def lose(self, number: int) -> None:
        """Drop a partition that another owner has claimed.

        Either this member's assignment is over, and it will be told soon. Or a former owner has made a late
        claim and will give the partition up; then no other member would ever take it, so this one claims it
        back.
        """
        self._parts.counters.fenced += 1
        log.warning("partition lost to a newer owner", partition=number)
        self._drop(number)
        self._claimed_away[number] = (
            self._parts.clocks.monotonic() + self._parts.settings.lease_seconds
        )

    async def look_for_claims(self) -> None:
        """Note the partitions that another owner has claimed: one that has nothing to write would never notice.

        A member that is late may claim a partition, begin a run of it, and give it up again.
        """
        held = self._partitions.epochs()
        newest = await self._store.read(self._store.store.partition_epochs, tuple(held))
        for number, epoch in held.items():
            if newest.get(number, epoch) > epoch:
                self._partitions.refuse(number, epoch)

    def lose_refused(self) -> None:
        """Lose the partitions that another owner has claimed, as was noticed outside the turns."""
        refused = self._partitions.refused
        for number, epoch in sorted(refused):
            if self._partitions.epoch_of(number) == epoch:
                self.lose(number)
        refused.clear()

    def due_back(self, now: float) -> list[int]:
        """Return the partitions that are due to be claimed back."""
        return [number for number, due in self._claimed_away.items() if due <= now]

    def give_up(self, number: int) -> None:
        """Give up a partition that another member is assigned; its next owner derives the pending work."""
        self._claimed_away.pop(number, None)
        self._drop(number)

    def _drop(self, number: int) -> None:
        self._partitions.owned.pop(number, None)
        for book in self._parts.books:
            book.drop(number)

    async def write_marks(self) -> None:
        """Record how far histories have been published, so that the next owner has little to repeat."""
        batches = [
            PartitionBatch(
                partition=partition.number,
                epoch=partition.epoch,
                published=partition.take_published(),
            )
            for partition in self._partitions.owned.values()
            if partition.published
        ]
        if batches:
            for number in await self._store.run(self._store.store.commit_all, batches):
                self.lose(number)
