"""The loop that turns records and the passing of time into decisions, transactions and sends.

One turn reads top to bottom in `TurnLoop.turn`: inbound, decide, commit, effects, outbox. Every change of
state happens in one turn at a time, under one lock.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from kaon_coordinator.bounded_wait import came
from kaon_coordinator.engine.decision import Context
from kaon_coordinator.faults import going_on
from kaon_coordinator.shell.barriers import Barriers
from kaon_coordinator.shell.committing import commit, prepare
from kaon_coordinator.shell.deciding import Decider
from kaon_coordinator.shell.dispatch import Dispatch
from kaon_coordinator.shell.effects import Effects
from kaon_coordinator.shell.ending import Endings
from kaon_coordinator.shell.history_publisher import HistoryPublisher
from kaon_coordinator.shell.inbound.inbox import Commands, Inbox
from kaon_coordinator.shell.inbound.newcomers import fail_all
from kaon_coordinator.shell.inbound.sorting import Inbound
from kaon_coordinator.shell.outbox import Outbox
from kaon_coordinator.shell.ownership import Ownership
from kaon_coordinator.shell.partition import Partition
from kaon_coordinator.shell.partitions import Partitions
from kaon_coordinator.shell.pool_link import PoolLink
from kaon_coordinator.shell.progress_publisher import ProgressPublisher
from kaon_coordinator.shell.queries import Queries
from kaon_coordinator.shell.shell_settings import Clocks, Counters, ShellSettings
from kaon_coordinator.shell.turn import Turn
from kaon_coordinator.shell.turn_lock import TurnLock
from kaon_coordinator.store.base import EncodedEvent, encode_event
from kaon_coordinator.store.protocols.partition_store import PartitionStore
from kaon_coordinator.store.store_calls import StoreCalls
from kaon_coordinator.transport.base import Send, Transport
from kaon_wire.errors import Unavailable
from kaonapi.log.v1 import log_pb2
from kaonapi.run.v1 import history_pb2
from kaonapi.step.v1 import step_pb2


class Sinks(Protocol):
    """Receivers of durable events and of progress: the API's live feed and the log archive.

    Their methods must not raise.
    """

    def committed(self, events: Sequence[history_pb2.HistoryEvent]) -> None:
        """Receive durable history events, in order of seq per run."""

    def notified(self) -> None:
        """Hear that a commit has added notices of notifications."""

    def progress(self, reports: Mapping[int, Sequence[step_pb2.StepEvents]]) -> None:
        """Receive runners' records, for the progress in them."""

    async def logs(self, lines: Sequence[log_pb2.LogLines]) -> None:
        """Archive lines that steps printed; return when they are archived."""


@dataclass(frozen=True, kw_only=True)
class LoopParts:
    """The dependencies of turns."""

    settings: ShellSettings
    clocks: Clocks
    counters: Counters
    store: StoreCalls[PartitionStore]
    transport: Transport
    # Returns the context of a decision made now.
    context: Callable[[], Context]
    partitions: Partitions
    ownership: Ownership
    inbox: Inbox
    barriers: Barriers
    queries: Queries
    endings: Endings
    dispatch: Dispatch
    link: PoolLink
    history_publisher: HistoryPublisher
    progress_publisher: ProgressPublisher
    sinks: Sinks
    # Held during every change of state.
    lock: TurnLock


class TurnLoop:
    """Makes turns: for every batch of records, for every wake-up, and as time passes."""

    def __init__(self, parts: LoopParts) -> None:
        self._parts = parts
        self._settings = parts.settings
        self._clocks = parts.clocks
        self._counters = parts.counters
        self._partitions = parts.partitions
        self._queries = parts.queries
        self._ownership = parts.ownership

    # --- the passing of time ------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Handle timers and wake-ups until cancelled. An error ends the method, and with it the process."""
        parts = self._parts
        beside = [
            asyncio.create_task(parts.history_publisher.run(), name="publisher"),
            asyncio.create_task(parts.progress_publisher.run(), name="progress"),
            asyncio.create_task(self._queries.permits.run(), name="permits"),
            asyncio.create_task(self._queries.runs.run(), name="awaited runs"),
        ]
        next_poll = 0.0
        try:
            while not any(task.done() for task in beside):
                self._queries.check()
                await self._woken_or_tick()
                now = self._clocks.monotonic()
                polls = now >= next_poll
                if polls:
                    parts.inbox.look_into_all()
                    await self._ownership.look_for_claims()
                    next_poll = now + self._settings.poll_seconds
                await self._tick(now)
                if polls:
                    async with parts.lock:
                        await self._ownership.write_marks()
            for task in beside:
                if task.done():
                    task.result()
        finally:
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)
            await self._queries.close()
            await parts.inbox.close()

    async def _woken_or_tick(self) -> None:
        woken = self._partitions.woken
        await came(woken, self._settings.tick_seconds)
        woken.clear()

    async def _tick(self, now: float) -> None:
        if not self._parts.transport.connected:
            self._deafen(now)
        sends = self._parts.barriers.due(self._partitions.owned.values(), now)
        if sends:
            await self._send(sends)
        async with self._parts.lock:
            self._ownership.lose_refused()
            for number in self._ownership.due_back(now):
                await self.open(number)
            await self.turn(Inbound())

    async def open(self, number: int) -> None:
        """Take a partition over and dispatch its pending work. The caller holds the lock."""
        outbox = self._settings.outbox()
        if await self._ownership.open(number, outbox):
            await self._end_faulted(outbox)
            self._parts.link.pools.advance(outbox)
            await self._parts.transport.send(outbox.take())

    # --- one turn -----------------------------------------------------------------------------------------------

    async def turn(self, inbound: Inbound) -> None:
        """Make one turn of all partitions; return when all that follows is durable and sent.

        The caller holds the lock.
        """
        parts, outbox = self._parts, self._settings.outbox()
        # Inbound: the given records, and the waiting commands of the inboxes.
        filled = parts.inbox.take_filled(inbound.inbox_filled)
        await self._ownership.take_back(filled, outbox)
        commands = await parts.inbox.read(filled)
        # Decide, and commit.
        now = self._clocks.monotonic()
        try:
            await parts.inbox.add_newcomers(commands)
            turns = [
                (partition, turn)
                for partition in list(self._partitions.owned.values())
                if (turn := self._decide(partition, inbound, commands, now)) is not None
            ]
            durable = await self._commit(turns, now)
        except BaseException as error:
            fail_all(commands.newcomers, Unavailable(f"the turn of a new run has failed: {error}"))
            raise
        begun = {run_id for _, turn, _ in durable for run_id in turn.begun}
        for newcomer in commands.newcomers:
            newcomer.settle(begun=newcomer.run.run_id in begun)
        # Dispatch the effects of durable turns.
        for partition, turn, effects in durable:
            parts.dispatch.dispatch(partition, partition.settle(turn, effects), outbox)
        parts.link.answer(inbound, outbox)
        await self._end_faulted(outbox)
        if inbound.permits_freed:
            self._queries.permits.freed()
        parts.dispatch.tell_freed(now, outbox)
        parts.link.match(inbound, outbox)
        # Outbox.
        await self._send(outbox.take())

    def _decide(
        self, partition: Partition, inbound: Inbound, commands: Commands, now: float
    ) -> Turn | None:
        """Make one turn of one partition; return None when nothing concerns it."""
        barriers = self._parts.barriers
        reports = inbound.reports.get(partition.number, ())
        rows = commands.rows.get(partition.number, ())
        passed = barriers.hear(partition.number, reports)
        turn = Turn(
            context=self._parts.context(), partitions=self._settings.catalogue.run_partitions
        )
        answers = self._queries.take(partition.number)
        beginning = commands.beginning.get(partition.number, ())
        if not (
            reports
            or rows
            or beginning
            or passed
            or answers
            or partition.is_due(turn.context.now_us)
        ):
            return None
        decider = Decider(partition=partition, turn=turn, now=now, proofs=self._settings.proofs)
        for row in rows:
            decider.apply_command(row, commands.fresh.get(row.run_id))
        for each in beginning:
            decider.begin(each)
        for report in reports:
            decider.apply_report(report)
        decider.apply_answers(answers)
        # After the reports: those in the barrier's batch were sent before it, too.
        self._counters.expired_leases += decider.apply_time(barriers.expired(partition, now))
        self._counters.stale_leases += turn.stale
        self._counters.unproven += turn.unproven
        return turn

    async def _commit(
        self, turns: Sequence[tuple[Partition, Turn]], now: float
    ) -> list[tuple[Partition, Turn, Effects]]:
        """Make turns durable in one transaction, and prepare their effects meanwhile.

        Return them without those of partitions that another process owns.
        """
        written = [prepare(partition, turn) for partition, turn in turns]
        prepared: list[Effects] = []

        def prepare_effects() -> None:
            prepared.extend(each.partition.prepare_effects(each.turn, now) for each in written)

        for number in await commit(self._parts.store, written, prepare_effects):
            self._ownership.lose(number)
        owned = []
        for each, made in zip(written, prepared, strict=True):
            partition, turn = each.partition, each.turn
            if partition.number in self._partitions.owned:
                # Those that were prepared are also of the runs that the database has refused.
                effects = partition.prepare_effects(turn, now) if turn.is_reduced else made
                owned.append((partition, turn, effects))
                for run_id in (*turn.faulted, *turn.turned_away):
                    partition.forget(run_id)
                partition.faulted |= turn.faulted
                self._made_durable(
                    partition,
                    turn,
                    [event for event in each.history if not turn.is_apart(event.run_id)],
                )
        return owned

    def _made_durable(
        self, partition: Partition, turn: Turn, events: Sequence[EncodedEvent]
    ) -> None:
        self._counters.committed_events += len(events)
        self._parts.history_publisher.add(partition, events)
        with going_on("events were told", partition=partition.number):
            self._parts.sinks.committed(turn.events)
            if turn.atomic_effects.notices:
                self._parts.sinks.notified()

    async def _end_faulted(self, outbox: Outbox) -> None:
        """End the runs that this owner cannot continue."""
        owned = self._partitions.owned
        for partition in list(owned.values()):
            while partition.faulted and owned.get(partition.number) is partition:
                run_id = next(iter(partition.faulted))
                self._counters.faults += 1
                turn, kept = await self._parts.endings.end(partition, partition.faulted[run_id])
                del partition.faulted[run_id]
                if not kept:
                    self._ownership.lose(partition.number)
                elif turn is not None:
                    self._made_durable(
                        partition, turn, [encode_event(event) for event in turn.events]
                    )
                    effects = partition.prepare_effects(turn, self._clocks.monotonic())
                    effects = partition.settle(turn, effects)
                    self._parts.dispatch.dispatch(partition, effects, outbox)

    async def _send(self, sends: Sequence[Send]) -> None:
        """Send the outbox.

        A slow send means that the broker was unreachable. Runners could not be heard either, and timers were
        not checked meanwhile, so nothing else has noticed.
        """
        began = self._clocks.monotonic()
        await self._parts.transport.send(sends)
        now = self._clocks.monotonic()
        if now - began > self._settings.stall_seconds:
            self._deafen(now)

    def _deafen(self, now: float) -> None:
        """Note that no messages could be received until now: no lease ends because of that."""
        for partition in self._partitions.owned.values():
            partition.watch.leases.deafen(now)
        self._parts.link.pools.deafen()
