"""The shell of one coordinator: owns partitions and pools, and turns records into decisions, transactions and sends.

It composes the parts of the shell and routes deliveries of the transport to them. A record is acknowledged
only when `on_batch` has returned: after the transaction, and after the broker has acknowledged every
resulting send.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import structlog

from kaon_coordinator.engine.decision import Context, MeteredEvaluate
from kaon_coordinator.engine.state.state import RunState
from kaon_coordinator.faults import going_on
from kaon_coordinator.shell.artifact_io import ArtifactIO
from kaon_coordinator.shell.barriers import Barriers
from kaon_coordinator.shell.dispatch import Dispatch
from kaon_coordinator.shell.ending import EndingParts, Endings
from kaon_coordinator.shell.history_publisher import HistoryPublisher
from kaon_coordinator.shell.inbound.inbox import Inbox
from kaon_coordinator.shell.inbound.newcomers import Begun
from kaon_coordinator.shell.inbound.sorting import sort_records
from kaon_coordinator.shell.ownership import Ownership, OwnershipParts
from kaon_coordinator.shell.partitions import Partitions
from kaon_coordinator.shell.pool_link import PoolLink, PoolOwner
from kaon_coordinator.shell.progress_publisher import ProgressPublisher
from kaon_coordinator.shell.queries import Outside, Queries
from kaon_coordinator.shell.shell_settings import Clocks, Counters, ShellSettings
from kaon_coordinator.shell.turn_lock import TurnLock
from kaon_coordinator.shell.turn_loop import LoopParts, Sinks, TurnLoop
from kaon_coordinator.shell.workflow_cache import Workflows
from kaon_coordinator.store.base import NewRun, RunRecord, Store
from kaon_coordinator.store.patient_calls import PatientCalls
from kaon_coordinator.store.store_calls import StoreCalls
from kaon_coordinator.transport.base import Incoming, Send, Transport
from kaon_service.errors import DatabaseFull
from kaon_wire import topics
from kaonapi.run.v1 import command_pb2

log = structlog.get_logger(__name__)


class Coordinator:
    """Handles deliveries of the transport, the passing of time, and wake-ups.

    Args:
        settings: Names and bounds.
        store: The SQL store.
        transport: The connection to other processes.
        meter: Evaluates expressions and counts their cost per turn.
        sinks: Further receivers: the API's live feed, and the log archive.
        clocks: The sources of time.
        artifact_io: Reads and writes artifacts for the engine; without it, steps that need them fail with an explanation.
    """

    def __init__(
        self,
        *,
        settings: ShellSettings,
        store: StoreCalls[Store],
        transport: Transport,
        meter: Callable[[], MeteredEvaluate],
        sinks: Sinks,
        clocks: Clocks | None = None,
        artifact_io: ArtifactIO | None = None,
    ) -> None:
        clocks = clocks or Clocks()
        self._settings = settings
        self._transport = transport
        self._sinks = sinks
        self._lock = TurnLock()
        self._partitions = partitions = Partitions()
        self.counters = Counters()
        self._calls = calls = PatientCalls(store, self._no_space)
        workflows = Workflows(calls)
        self._inbox = inbox = Inbox(calls, partitions, workflows, patience=settings.begin_seconds)
        self._link = link = PoolLink(
            settings=settings,
            clocks=clocks,
            store=calls,
            partitions=partitions,
            counters=self.counters,
        )
        outside = Outside(
            store=calls,
            artifact_io=artifact_io,
            limits=settings.limits,
            now_us=clocks.now_us,
            new_run_id=settings.new_run_id,
            may_call=settings.may_call,
            epoch_of=partitions.epoch_of,
            fenced=partitions.refuse,
            faulted=partitions.fault,
            wake=partitions.woken.set,
        )
        queries = Queries(outside)
        dispatch = Dispatch(
            settings=settings, partitions=partitions, inbox=inbox, queries=queries, link=link
        )
        barriers = Barriers(settings.lease_seconds)
        history_publisher = HistoryPublisher(settings.catalogue, transport)
        self._progress = progress_publisher = ProgressPublisher(settings.catalogue, transport)
        self._ownership = Ownership(
            OwnershipParts(
                settings=settings,
                clocks=clocks,
                counters=self.counters,
                store=calls,
                transport=transport,
                partitions=partitions,
                workflows=workflows,
                inbox=inbox,
                dispatch=dispatch,
                books=(barriers, history_publisher, queries, inbox),
            )
        )
        context = _contexts(settings, clocks, meter)
        endings = Endings(
            EndingParts(
                store=calls,
                workflow=workflows.of,
                context=context,
                partitions=settings.catalogue.run_partitions,
            )
        )
        self._loop = TurnLoop(
            LoopParts(
                settings=settings,
                clocks=clocks,
                counters=self.counters,
                store=calls,
                transport=transport,
                context=context,
                partitions=partitions,
                ownership=self._ownership,
                inbox=inbox,
                barriers=barriers,
                queries=queries,
                endings=endings,
                dispatch=dispatch,
                link=link,
                history_publisher=history_publisher,
                progress_publisher=progress_publisher,
                sinks=sinks,
                lock=self._lock,
            )
        )
        self.pools = link.pools

    def told_at(self, address: str) -> None:
        """Record the address at which other coordinators reach this process; call it before it owns anything."""
        self._link.owner = PoolOwner(name=self._settings.owner, address=address)

    def hurry(self) -> None:
        """Wait no longer for space on the disk: the process is about to stop."""
        self._calls.hurry()

    async def run(self) -> None:
        """Handle timers and wake-ups until cancelled. An error ends the method, and with it the process."""
        await self._loop.run()

    def wake(self, partition: int, submitted: RunRecord | None = None) -> bool:
        """Wake the inbox of a partition; return False when another process owns the partition.

        Args:
            partition: The partition of the inbox.
            submitted: The run that was just stored, when its submission is the reason.
        """
        return self._inbox.wake(partition, submitted)

    async def begin(self, runs: Sequence[NewRun]) -> list[Begun]:
        """Begin submitted runs in the transaction that stores them, those whose partitions this process owns.

        Returns:
            Of each run, in order: the durable run; None when its submitter must store it; `Unavailable` when it is unknown
            whether it is durable.
        """
        return await self._inbox.begin(runs)

    async def wake_owner(self, partition: int, submitted: RunRecord | None = None) -> None:
        """Wake the owner of a partition: directly in this process, by a record in another one."""
        if self.wake(partition, submitted):
            return
        wakeup = command_pb2.Wakeup(inbox_filled=command_pb2.InboxFilled(partition=partition))
        send = Send(
            topic=topics.RUN_COMMANDS, partition=partition, value=wakeup.SerializeToString()
        )
        await self._transport.send([send])

    def epochs(self) -> dict[int, int]:
        """Return the partitions that this process owns, each with its epoch."""
        return self._partitions.epochs()

    def open_runs(self) -> list[RunState]:
        """Return the active runs that this process owns."""
        return self._partitions.open_runs()

    def _no_space(self, error: DatabaseFull) -> None:
        self._inbox.refuse(error)

    def find_run(self, run_id: str) -> RunState | None:
        """Return an active run that this process owns."""
        return self._partitions.find_run(run_id)

    def _tenant_of(self, partition: int, run_id: str) -> str | None:
        owned = self._partitions.owned.get(partition)
        state = None if owned is None else owned.runs.get(run_id)
        return None if state is None else state.tenant

    def _tenant_of_run(self, run_id: str) -> str | None:
        state = self.find_run(run_id)
        return None if state is None else state.tenant

    @property
    def partitions_owned(self) -> int:
        """Return the number of partitions that this process owns."""
        return len(self._partitions.owned)

    @property
    def runs_open(self) -> int:
        """Return the number of active runs in these partitions."""
        return sum(len(partition.runs) for partition in self._partitions.owned.values())

    @property
    def runs_aside(self) -> int:
        """Return the number of runs in these partitions that are set aside."""
        return sum(len(partition.aside) for partition in self._partitions.owned.values())

    async def on_assigned(self, topic: str, partitions: Iterable[int]) -> None:
        """Take over partitions: raise their epoch, and derive pending work from the rows."""
        async with self._lock:
            if topic == topics.STEP_EVENTS:
                for number in sorted(partitions):
                    await self._loop.open(number)
            elif topic == topics.STEP_REQUESTS:
                outbox = self._settings.outbox()
                await self._link.open(frozenset(partitions), outbox)
                await self._transport.send(outbox.take())

    async def on_revoked(self, topic: str, partitions: Iterable[int]) -> None:
        """Give up partitions; their next owner derives the pending work."""
        async with self._lock:
            if topic == topics.STEP_EVENTS:
                for number in partitions:
                    self._ownership.give_up(number)
            elif topic == topics.STEP_REQUESTS:
                self.pools.close(frozenset(partitions))

    async def on_batch(self, records: Sequence[Incoming]) -> None:
        """Apply a batch; return when all that follows from it is durable and sent."""
        inbound = sort_records(records)
        for record, reason in inbound.poison:
            self.counters.quarantined += 1
            log.error("record quarantined", topic=record.topic, offset=record.offset, reason=reason)
            await self._transport.quarantine(record, reason)
        with going_on("progress was shown"):
            proven = self._settings.proofs.progress(inbound.reports, self._tenant_of)
            self._sinks.progress(proven)
            self._progress.add(proven)
        async with self._lock:
            await self._loop.turn(inbound)
        # After the turn, so that no step waits for the archiving of lines; before the records are
        # acknowledged.
        await self._sinks.logs(self._settings.proofs.logs(inbound.logs, self._tenant_of_run))


def _contexts(
    settings: ShellSettings, clocks: Clocks, meter: Callable[[], MeteredEvaluate]
) -> Callable[[], Context]:
    """Return the factory of the contexts for the decisions of one turn."""

    def context() -> Context:
        metered = meter()
        return Context(
            now_us=clocks.now_us(),
            evaluate=metered,
            meter=metered,
            limits=settings.limits,
            random=settings.random,
            refusal=settings.refusal,
        )

    return context
