"""The coordinator's heart: owns partitions and pools, and turns what arrives into decisions, transactions and sends.

Everything that changes state happens in one turn at a time, under one lock. Records are acknowledged only when `on_batch` has
returned: after the transaction, and after every send that follows from it has been acknowledged by the broker.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, fields, replace

import structlog

from kaon_coordinator.engine.decision import Context, MeteredEvaluate
from kaon_coordinator.engine.definition.compiled import CompiledWorkflow
from kaon_coordinator.engine.definition.limits import DEFAULT, Limits
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.engine.state.state import RunState
from kaon_coordinator.faults import Fault, going_on, note_fault
from kaon_coordinator.ids import new_run_id
from kaon_coordinator.matching.tenants import NO_LIMITS, Tenants
from kaon_coordinator.shell.answers import Answers, Outside
from kaon_coordinator.shell.barriers import Barriers
from kaon_coordinator.shell.bases import Bases
from kaon_coordinator.shell.committing import commit, prepare
from kaon_coordinator.shell.desk import ArtifactDesk
from kaon_coordinator.shell.ending import EndingParts, Endings
from kaon_coordinator.shell.inbound import Inbound, sort_records
from kaon_coordinator.shell.leases import LEASE_SECONDS, LeaseBook
from kaon_coordinator.shell.outbox import Outbox
from kaon_coordinator.shell.owner import Owner
from kaon_coordinator.shell.partition import Partition, Stored
from kaon_coordinator.shell.pools import Pools
from kaon_coordinator.shell.publisher import Publisher
from kaon_coordinator.shell.sinks import Sinks
from kaon_coordinator.shell.starts import Starts
from kaon_coordinator.shell.turn import Effects, FaultedRun, Turn
from kaon_coordinator.shell.workflows import Workflows
from kaon_coordinator.store.base import (
    EncodedEvent,
    Fenced,
    InboxRow,
    LoadedRun,
    PartitionBatch,
    RunRecord,
    encode_event,
)
from kaon_coordinator.store.submissions import REOPENING
from kaon_coordinator.store.thread import StoreThread
from kaon_coordinator.transport.base import Incoming, Send, Transport
from kaon_wire import topics
from kaon_wire.errors import Unavailable
from kaon_wire.partitioning import partition_of
from kaonapi.run.v1 import command_pb2
from kaonapi.step.v1 import step_pb2
from kaonapi.workflow.v1 import definition_pb2 as d

log = structlog.get_logger(__name__)

INBOX_BATCH = 500


@dataclass(frozen=True, kw_only=True)
class Clocks:
    """Both kinds of time, injected."""

    # Microseconds since the epoch.
    now_us: Callable[[], int] = lambda: time.time_ns() // 1000
    # Seconds that never jump.
    monotonic: Callable[[], float] = time.monotonic


@dataclass(frozen=True, kw_only=True)
class ShellSettings:
    """What the shell needs to know."""

    # Name of this process, for the logs and the partitions' rows.
    owner: str
    catalogue: topics.Catalogue
    limits: Limits = DEFAULT
    lease_seconds: float = LEASE_SECONDS
    # What tenants are entitled to.
    tenants: Tenants = NO_LIMITS
    # How often time is looked at: timers, leases, matchers.
    tick_seconds: float = 0.1
    # How often unapplied commands are looked for, in case that a wake-up was lost.
    poll_seconds: float = 1.0
    # Sending that takes longer means that the broker was away.
    stall_seconds: float = 2.0
    # A fresh id for a run that is submitted at this time; from 0 to 1, for jitter.
    new_run_id: Callable[[int], str] = new_run_id
    random: Callable[[], float] = random.random


@dataclass(kw_only=True)
class Counters:
    """What happened since the start, for metrics and tests."""

    stale_leases: int = 0
    expired_leases: int = 0
    quarantined: int = 0
    fenced: int = 0
    committed_events: int = 0
    # Runs, schedules and records for which something unforeseen was raised.
    faults: int = 0


@dataclass(kw_only=True)
class _Commands:
    """What waited in the inboxes."""

    # By partition, oldest first.
    rows: dict[int, list[InboxRow]] = field(default_factory=lambda: defaultdict(list))
    # Unfinished runs that the commands concern and that were not in memory.
    fresh: dict[str, Stored] = field(default_factory=dict)


class Coordinator:
    """Handles what the transport delivers, the passing of time, and wake-ups.

    Args:
        settings: names and bounds.
        store: where the truth is kept.
        transport: how other processes are heard and told.
        meter: counts what the expressions of one turn cost, and evaluates them.
        sinks: who else wants to know: the API's feed of live events, and the log archive.
        clocks: time.
        desk: reads and writes artifacts for the engine; without one, what needs them fails and says why.
    """

    def __init__(
        self,
        *,
        settings: ShellSettings,
        store: StoreThread,
        transport: Transport,
        meter: Callable[[], MeteredEvaluate],
        sinks: Sinks,
        clocks: Clocks | None = None,
        desk: ArtifactDesk | None = None,
    ) -> None:
        self._settings = settings
        self._store = store
        self._transport = transport
        self._meter = meter
        self._sinks = sinks
        self._clocks = clocks or Clocks()
        self._workflows = Workflows(self._load_definition)
        self._partitions: dict[int, Partition] = {}
        self._barriers = Barriers(settings.lease_seconds)
        self._publisher = Publisher(settings.catalogue, transport)
        # Partitions that somebody who was late has claimed although they are this member's: when they are claimed back, in
        # monotonic seconds.
        self._claimed_away: dict[int, float] = {}
        # Partitions with the epochs under which the store has refused something beside the turns.
        self._refused: set[tuple[int, int]] = set()
        self._inbox_filled: set[int] = set()
        # Runs that were submitted in this process, by id: nobody has to read them again.
        self._submitted: dict[str, RunRecord] = {}
        self._starts = Starts()
        self._woken = asyncio.Event()
        self._lock = asyncio.Lock()
        self._owner = Owner(name=settings.owner, address="")
        self.counters = Counters()
        parts = EndingParts(
            store=store,
            workflow=self._workflow_of,
            context=self._context,
            partitions=settings.catalogue.run_partitions,
        )
        self._endings = Endings(parts)
        self._answers = Answers(self._outside(desk))
        self._bases = Bases(store, self.wake)
        # Whether others must be told that permits were given back, and when they were told last, in monotonic seconds.
        self._freed, self._freed_told = False, 0.0
        self.pools = Pools(
            catalogue=settings.catalogue,
            clock=self._clocks.monotonic,
            now_us=self._clocks.now_us,
            tell_engine=self._tell_engine,
            tenants=settings.tenants,
            faulted=self._fault,
        )

    def told_at(self, address: str) -> None:
        """Where this process is reached by other coordinators; to be said before it owns anything."""
        self._owner = Owner(name=self._settings.owner, address=address)

    def epochs(self) -> dict[int, int]:
        """The partitions that this process owns, each with the epoch under which it does."""
        return {number: partition.epoch for number, partition in self._partitions.items()}

    @property
    def partitions_owned(self) -> int:
        """How many partitions of runs this process owns."""
        return len(self._partitions)

    @property
    def runs_open(self) -> int:
        """How many runs of these have not ended."""
        return sum(len(partition.runs) for partition in self._partitions.values())

    @property
    def runs_aside(self) -> int:
        """How many runs of its partitions this process does not touch."""
        return sum(len(partition.aside) for partition in self._partitions.values())

    def open_runs(self) -> list[RunState]:
        """The runs that are owned here and have not ended."""
        return [state for partition in self._partitions.values() for state in partition.runs.values()]

    def find_run(self, run_id: str) -> RunState | None:
        """A run that is owned here and has not ended."""
        return next((p.runs[run_id] for p in self._partitions.values() if run_id in p.runs), None)

    # --- what the transport delivers ----------------------------------------------------------------------------

    async def on_assigned(self, topic: str, partitions: Iterable[int]) -> None:
        """Takes over partitions: raises their epoch, and derives from the rows what was in flight."""
        async with self._lock:
            if topic == topics.STEP_EVENTS:
                for number in sorted(partitions):
                    await self._open_partition(number)
            elif topic == topics.STEP_REQUESTS:
                await self._open_pools(frozenset(partitions))

    async def on_revoked(self, topic: str, partitions: Iterable[int]) -> None:
        """Gives partitions up; what they owe is derived by their next owner."""
        async with self._lock:
            if topic == topics.STEP_EVENTS:
                for number in partitions:
                    self._claimed_away.pop(number, None)
                    self._drop_partition(number)
            elif topic == topics.STEP_REQUESTS:
                self.pools.close(frozenset(partitions))

    async def on_batch(self, records: Sequence[Incoming]) -> None:
        """Applies a batch; returns when all that follows from it is durable and sent."""
        inbound = sort_records(records)
        for record, reason in inbound.poison:
            self.counters.quarantined += 1
            log.error("record quarantined", topic=record.topic, offset=record.offset, reason=reason)
            await self._transport.quarantine(record, reason)
        with going_on("progress was shown"):
            self._sinks.progress(inbound.reports)
        async with self._lock:
            await self._turn(inbound)
        # After the turn, so that no step waits for lines to be archived; before the records are acknowledged.
        await self._sinks.logs(inbound.logs)

    def wake(self, partition: int, submitted: RunRecord | None = None) -> bool:
        """Tells that a partition's inbox has been filled; False when another process owns the partition.

        Args:
            submitted: the run that has just been stored, when that is what has filled it.
        """
        if partition not in self._partitions:
            return False
        if submitted is None or submitted.start is None:
            self._inbox_filled.add(partition)
        else:
            self._submitted[submitted.run_id] = submitted
        self._woken.set()
        return True

    # --- the passing of time ------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Looks at time and at woken inboxes until cancelled. An error ends it, and with it the process."""
        beside = [
            asyncio.create_task(self._publisher.run(), name="publisher"),
            asyncio.create_task(self._answers.permits.run(), name="permits"),
        ]
        next_poll = 0.0
        try:
            while not any(task.done() for task in beside):
                self._answers.check()
                # Not `wait_for`: it may swallow a cancellation that comes together with the event.
                try:
                    async with asyncio.timeout(self._settings.tick_seconds):
                        await self._woken.wait()
                except TimeoutError:
                    pass
                self._woken.clear()
                now = self._clocks.monotonic()
                polls = now >= next_poll
                if polls:
                    self._inbox_filled |= set(self._partitions)
                    next_poll = now + self._settings.poll_seconds
                await self._tick(now)
                if polls:
                    await self._write_marks()
            for task in beside:
                if task.done():
                    task.result()
        finally:
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)
            await self._answers.close()
            await self._bases.close()

    async def _tick(self, now: float) -> None:
        if not self._transport.connected:
            self._deafen(now)
        sends = self._barriers.due(self._partitions.values(), now)
        if sends:
            await self._send(sends)
        async with self._lock:
            self._lose_refused()
            await self._claim_back(now)
            await self._turn(Inbound())

    async def _send(self, sends: Sequence[Send]) -> None:
        """Sends. What takes long has waited for a broker that was away: runners could not be heard either, and looking at time
        stood still, so nobody else has noticed."""
        began = self._clocks.monotonic()
        await self._transport.send(sends)
        now = self._clocks.monotonic()
        if now - began > self._settings.stall_seconds:
            self._deafen(now)

    def _deafen(self, now: float) -> None:
        """Nothing could be heard until now: no lease ends for that."""
        for partition in self._partitions.values():
            partition.watch.leases.deafen(now)
        self.pools.deafen()

    # --- one turn -----------------------------------------------------------------------------------------------

    async def _turn(self, inbound: Inbound) -> None:
        outbox = Outbox(self._settings.catalogue)
        woken, self._inbox_filled = self._inbox_filled | inbound.inbox_filled, set()
        woken &= set(self._partitions)
        await self._take_back(woken, outbox)
        commands = await self._take_commands(woken)
        now = self._clocks.monotonic()
        turns = [
            (partition, turn)
            for partition in list(self._partitions.values())
            if (turn := self._decide(partition, inbound, commands, now)) is not None
        ]
        for partition, turn in await self._commit(turns):
            self._let_out(partition, partition.effects(turn, now), outbox)
        for number, opened in inbound.pools_opened:
            self._answer_pool(number, opened, outbox)
        for report in inbound.pool_reports:
            self._compare_pool(report, outbox)
        await self._end_faulted(outbox)
        if inbound.permits_freed:
            self._answers.permits.freed()
        self._tell_freed(now, outbox)
        self.pools.hear(inbound)
        self.pools.advance(outbox)
        await self._send(outbox.take())

    def _decide(self, partition: Partition, inbound: Inbound, commands: _Commands, now: float) -> Turn | None:
        """One turn of one partition; None when nothing concerns it."""
        reports = inbound.reports.get(partition.number, ())
        rows = commands.rows.get(partition.number, ())
        passed = self._barriers.hear(partition.number, reports)
        turn = Turn(context=self._context(), partitions=self._settings.catalogue.run_partitions)
        answers = self._answers.take(partition.number)
        if not (reports or rows or passed or answers or partition.is_due(turn.context.now_us)):
            return None
        for row in rows:
            partition.apply_inbox(turn, row, commands.fresh.get(row.run_id))
        for report in reports:
            partition.apply_report(turn, report, now)
        partition.apply_answers(turn, answers)
        # After the reports: what arrived together with the barrier was said before it too.
        self.counters.expired_leases += partition.apply_time(turn, self._barriers.expired(partition, now))
        self.counters.stale_leases += turn.stale
        return turn

    async def _take_commands(self, woken: set[int]) -> _Commands:
        """The commands that wait, with the runs that they concern and that are not in memory.

        Args:
            woken: partitions whose inboxes are looked into. The starts of runs that were submitted here are known without.
        """
        submitted, self._submitted = self._submitted, {}
        commands = _Commands()
        starts = [run.start for run in submitted.values() if run.start is not None]
        read = await self._store.read(self._store.store.unapplied_of, woken, INBOX_BATCH) if woken else []
        rows = [
            row
            for row in self._starts.fresh([*starts, *read])
            if row.partition in self._partitions and row.run_id not in self._partitions[row.partition].aside
        ]
        if not rows:
            return commands
        unknown = {row.run_id for row in rows if row.run_id not in self._partitions[row.partition].runs}
        # Only while its start waits is a run as it was submitted: it may have begun, and ended, before the submitter was answered.
        starting = {row.run_id for row in rows if row.command.HasField("start")}
        known = unknown & submitted.keys() & starting
        handed = [_as_loaded(submitted[run_id]) for run_id in known]
        reopened = {row.run_id for row in rows if row.command.WhichOneof("command") in REOPENING}
        commands.fresh, waiting, faults = await self._fresh(handed, unknown - known, reopened)
        for row in rows:
            # A fork's commands wait until it is known what it begins with.
            if row.run_id in waiting:
                continue
            self._starts.note(row)
            if row.run_id in faults:
                fault = FaultedRun(run_id=row.run_id, fault=faults[row.run_id])
                self._partitions[row.partition].faulted.setdefault(row.run_id, fault).rows.append(row)
            else:
                commands.rows[row.partition].append(row)
        if len(read) == INBOX_BATCH:
            self._inbox_filled |= woken
            self._woken.set()
        return commands

    async def _commit(self, turns: Sequence[tuple[Partition, Turn]]) -> list[tuple[Partition, Turn]]:
        """Makes turns durable in one transaction. Returns them without those of partitions that somebody else owns by now."""
        written = [prepare(partition, turn) for partition, turn in turns]
        for number in await commit(self._store, written):
            self._lose_partition(number)
        owned = []
        for each in written:
            partition, turn = each.partition, each.turn
            if partition.number in self._partitions:
                owned.append((partition, turn))
                for run_id in turn.faulted:
                    partition.forget(run_id)
                partition.faulted |= turn.faulted
                self._made_durable(
                    partition, turn, [event for event in each.history if event.run_id not in turn.faulted]
                )
        return owned

    def _made_durable(self, partition: Partition, turn: Turn, events: Sequence[EncodedEvent]) -> None:
        self.counters.committed_events += len(events)
        self._publisher.add(partition, events)
        with going_on("events were told", partition=partition.number):
            self._sinks.committed(turn.events)

    async def _end_faulted(self, outbox: Outbox) -> None:
        """Ends the runs with which this owner cannot go on."""
        for partition in list(self._partitions.values()):
            while partition.faulted and self._partitions.get(partition.number) is partition:
                run_id = next(iter(partition.faulted))
                self.counters.faults += 1
                turn, kept = await self._endings.end(partition, partition.faulted[run_id])
                del partition.faulted[run_id]
                if not kept:
                    self._lose_partition(partition.number)
                elif turn is not None:
                    self._made_durable(partition, turn, [encode_event(event) for event in turn.events])
                    self._let_out(partition, partition.effects(turn, self._clocks.monotonic()), outbox)

    async def _take_back(self, woken: set[int], outbox: Outbox) -> None:
        """Takes runs over again that were set aside, when somebody has asked for it."""
        asked = [number for number in woken if self._partitions[number].aside]
        if not asked:
            return
        kept = await self._store.read(self._store.store.list_set_aside, 0)
        still = {each.name for each in kept if each.kind == "run"}
        for number in asked:
            partition = self._partitions[number]
            back = partition.aside - still
            if not back:
                continue
            partition.aside -= back
            self._starts.forget(back)
            log.info("runs taken back", partition=number, runs=sorted(back))
            loaded = await self._store.read(self._store.store.load_some, back)
            running = [run for run in loaded if run.row.status not in t.TERMINAL]
            await self._adopt(partition, running, outbox)

    async def _adopt(self, partition: Partition, loaded: Sequence[LoadedRun], outbox: Outbox) -> None:
        stored = []
        for run in loaded:
            try:
                stored.append(await self._with_workflow(run))
            except Unavailable:
                raise
            except Exception as error:
                partition.fault(run.run_id, "its workflow was read", error)
        effects = partition.adopt(stored, self._clocks.monotonic())
        self._let_out(partition, effects, outbox)

    async def _write_marks(self) -> None:
        """Notes how far histories have been published, so that the next owner has little to repeat."""
        async with self._lock:
            await self._write(
                [
                    PartitionBatch(
                        partition=partition.number,
                        epoch=partition.epoch,
                        published=partition.take_published(),
                    )
                    for partition in self._partitions.values()
                    if partition.published
                ]
            )

    async def _write(self, batches: Sequence[PartitionBatch]) -> None:
        if not batches:
            return
        for number in await self._store.run(self._store.store.commit_all, batches):
            self._lose_partition(number)

    def _let_out(self, partition: Partition, effects: Effects, outbox: Outbox) -> None:
        for incarnation, commands in effects.commands.items():
            outbox.command(incarnation, commands)
        for run_id in effects.told:
            self._wake_owner(run_id, outbox)
        if effects.released:
            # Before the questions: what was given back may be wanted anew in the same turn.
            self._answers.permits.forget(partition.number, effects.released)
            self._answers.permits.freed()
            self._freed = True
        for state, action in effects.questions:
            try:
                self._answers.ask(partition.number, state, action)
            except Exception as error:
                partition.fault(state.run_id, "something was asked for it", error)
        for pool in {*effects.requests, *effects.ended}:
            record = step_pb2.StepRequests(
                pool=pool,
                partition=partition.number,
                epoch=partition.epoch,
                requests=effects.requests.get(pool, ()),
                ended=effects.ended.get(pool, ()),
            )
            self._tell_pool(record, outbox)

    def _wake_owner(self, run_id: str, outbox: Outbox) -> None:
        """Another run's inbox has been filled. A run that lies elsewhere than its id says is found by its owner itself."""
        number = partition_of(run_id, self._settings.catalogue.run_partitions)
        if not self.wake(number):
            filled = command_pb2.InboxFilled(partition=number)
            outbox.wakeup(number, command_pb2.Wakeup(inbox_filled=filled))

    def _tell_freed(self, now: float, outbox: Outbox) -> None:
        """Tells the owners of other partitions, now and then, that permits were given back."""
        if not self._freed or now < self._freed_told + self._settings.tick_seconds:
            return
        self._freed, self._freed_told = False, now
        for number in set(range(self._settings.catalogue.run_partitions)) - set(self._partitions):
            outbox.wakeup(number, command_pb2.Wakeup(permits_freed=command_pb2.PermitsFreed()))

    def _tell_pool(self, record: step_pb2.StepRequests, outbox: Outbox) -> None:
        """To the matcher in this process directly, to another one over the topic: the same message."""
        if not self.pools.requests(record):
            outbox.step_requests(record)

    def _answer_pool(self, number: int, opened: command_pb2.PoolOpened, outbox: Outbox) -> None:
        partition = self._partitions.get(number)
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
        self._tell_pool(record, outbox)

    def _compare_pool(self, report: command_pb2.PoolReport, outbox: Outbox) -> None:
        """Requests again what a matcher does not know. What it knows already it ignores."""
        partition = self._partitions.get(report.partition)
        if partition is None:
            return
        ready, _ = partition.answer_pool(report.pool) if partition.misses(report) else ([], [])
        if ready:
            log.info("requests sent again", pool=report.pool, partition=partition.number, steps=len(ready))
            record = step_pb2.StepRequests(
                pool=report.pool, partition=partition.number, epoch=partition.epoch, requests=ready
            )
            self._tell_pool(record, outbox)

    def _tell_engine(self, number: int, wakeup: command_pb2.Wakeup, outbox: Outbox) -> None:
        if number not in self._partitions:
            outbox.wakeup(number, wakeup)
        elif wakeup.HasField("pool_opened"):
            self._answer_pool(number, wakeup.pool_opened, outbox)
        elif wakeup.HasField("pool_report"):
            self._compare_pool(wakeup.pool_report, outbox)

    # --- ownership ----------------------------------------------------------------------------------------------

    def _lose_partition(self, number: int) -> None:
        """Somebody else has claimed the partition. Either this member's time is over and it will hear so soon; or a former owner
        has claimed late what is no longer its own and will give it up: then nobody but this member would ever take it again."""
        self.counters.fenced += 1
        log.warning("partition lost to a newer owner", partition=number)
        self._drop_partition(number)
        self._claimed_away[number] = self._clocks.monotonic() + self._settings.lease_seconds

    def _refused_beside(self, number: int, epoch: int) -> None:
        self._refused.add((number, epoch))
        self._woken.set()

    def _lose_refused(self) -> None:
        """A partition in which nothing happens would never find out by itself that somebody else has claimed it."""
        for number, epoch in sorted(self._refused):
            if self._epoch_of(number) == epoch:
                self._lose_partition(number)
        self._refused.clear()

    async def _claim_back(self, now: float) -> None:
        for number in [number for number, due in self._claimed_away.items() if due <= now]:
            await self._open_partition(number)

    async def _open_partition(self, number: int) -> None:
        self._claimed_away.pop(number, None)
        epoch = await self._store.run(self._store.store.claim_partition, number, self._settings.owner)
        leases = LeaseBook(seconds=self._settings.lease_seconds)
        partition = Partition(number=number, epoch=epoch, leases=leases)
        aside = await self._store.read(self._store.store.list_set_aside, 0)
        partition.aside |= {each.name for each in aside if each.kind == "run" and each.partition == number}
        loaded = await self._store.run(self._store.store.load_runs, number)
        try:
            await self._publish_rest(partition)
        except Fenced:
            self._lose_partition(number)
            return
        self._partitions[number] = partition
        self._inbox_filled.add(number)
        self._woken.set()
        outbox = Outbox(self._settings.catalogue)
        await self._adopt(partition, loaded, outbox)
        await self._end_faulted(outbox)
        self.pools.advance(outbox)
        await self._transport.send(outbox.take())
        log.info("partition owned", partition=number, epoch=epoch, runs=len(loaded))

    async def _publish_rest(self, partition: Partition) -> None:
        """Publishes the history that earlier owners have not, part by part: a mark must never jump over what is not published."""
        store = self._store.store
        while events := await self._store.run(store.unpublished, partition.number):
            outbox = Outbox(self._settings.catalogue)
            outbox.history(partition.number, (encode_event(event).data for event in events))
            await self._transport.send(outbox.take())
            marks = {event.run_id: event.seq for event in events}
            batch = PartitionBatch(partition=partition.number, epoch=partition.epoch, published=marks)
            await self._store.run(store.commit, batch)

    def _drop_partition(self, number: int) -> None:
        self._partitions.pop(number, None)
        self._barriers.drop(number)
        self._starts.drop(number)
        self._submitted = {key: run for key, run in self._submitted.items() if run.partition != number}
        self._publisher.drop(number)
        self._answers.drop(number)
        self._bases.drop(number)

    async def _open_pools(self, partitions: frozenset[int]) -> None:
        catalogue = self._settings.catalogue
        outbox = Outbox(catalogue)
        for pool in catalogue.pools:
            if partition_of(pool, catalogue.pool_partitions) not in partitions:
                continue
            epoch = await self._store.run(self._store.store.claim_pool, pool, self._owner.written)
            self.pools.open(pool, epoch, outbox)
            log.info("pool owned", pool=pool, epoch=epoch)
        self.pools.advance(outbox)
        await self._transport.send(outbox.take())

    async def _fresh(
        self, handed: Iterable[LoadedRun], run_ids: Collection[str], reopened: Collection[str]
    ) -> tuple[dict[str, Stored], set[str], dict[str, Fault]]:
        """Runs that are not in memory, as commands need them, the ids of those that cannot begin yet, and those that never can."""
        loaded = await self._store.read(self._store.store.load_some, run_ids) if run_ids else []
        fresh: dict[str, Stored] = {}
        waiting: set[str] = set()
        faults: dict[str, Fault] = {}
        for run in (*handed, *loaded):
            if run.row.status in t.TERMINAL and run.run_id not in reopened:
                continue
            try:
                stored = await self._fresh_one(run)
            except Unavailable:
                raise
            except Exception as error:
                faults[run.run_id] = note_fault("it was read", error, run=run.run_id)
                continue
            if stored is None:
                waiting.add(run.run_id)
            else:
                fresh[run.run_id] = stored
        return fresh, waiting, faults

    async def _fresh_one(self, run: LoadedRun) -> Stored | None:
        """A run as commands need it; None when it cannot begin yet."""
        stored = await self._with_workflow(run)
        if run.fork_run_id and run.row.seq == 0:
            base = self._bases.take(run)
            return None if base is None else replace(stored, base=base)
        return stored

    async def _with_workflow(self, run: LoadedRun) -> Stored:
        return Stored(run=run, workflow=await self._workflow_of(run))

    async def _workflow_of(self, run: LoadedRun) -> CompiledWorkflow:
        return await self._workflows.get(run.tenant, run.workflow, run.version)

    async def _load_definition(self, tenant: str, name: str, version: str) -> d.WorkflowDefinition:
        record = await self._store.run(self._store.store.get_workflow, tenant, name, version)
        return record.definition

    def _context(self) -> Context:
        meter = self._meter()
        return Context(
            now_us=self._clocks.now_us(),
            evaluate=meter,
            meter=meter,
            limits=self._settings.limits,
            random=self._settings.random,
        )

    def _outside(self, desk: ArtifactDesk | None) -> Outside:
        return Outside(
            store=self._store,
            desk=desk,
            limits=self._settings.limits,
            now_us=self._clocks.now_us,
            new_run_id=self._settings.new_run_id,
            epoch_of=self._epoch_of,
            fenced=self._refused_beside,
            faulted=self._fault,
            wake=self._woken.set,
        )

    def _fault(self, number: int, run_id: str, doing: str, error: BaseException) -> None:
        """Something unforeseen was raised for a run beside the turns: the next one ends it."""
        partition = self._partitions.get(number)
        if partition is None:
            note_fault(doing, error, run=run_id)
            return
        partition.fault(run_id, doing, error)
        self._woken.set()

    def _epoch_of(self, number: int) -> int | None:
        partition = self._partitions.get(number)
        return None if partition is None else partition.epoch


def _as_loaded(run: RunRecord) -> LoadedRun:
    """A run that has only just been stored: it has neither steps nor blocks."""
    return LoadedRun(**{each.name: getattr(run, each.name) for each in fields(run)}, steps=(), blocks=())
