"""Ends faulted runs FAILED by ordinary events, or sets them aside when even that is impossible.

The state in memory may be half of one decision. It is discarded, and the run is read from the store, as it
was before the turn with the fault. Only faulted runs cost this read.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

import structlog

from kaon_coordinator import replay
from kaon_coordinator.engine.decide import submit
from kaon_coordinator.engine.decision import Context, Decision
from kaon_coordinator.engine.definition.compiled import CompiledWorkflow
from kaon_coordinator.engine.faulted_runs import end_barely, end_faulted
from kaon_coordinator.engine.state.state import RunState
from kaon_coordinator.faults import note_fault
from kaon_coordinator.shell.committing import prepare
from kaon_coordinator.shell.deciding import submitted
from kaon_coordinator.shell.fork_states import PastStore, definitions
from kaon_coordinator.shell.partition import Partition
from kaon_coordinator.shell.turn import FaultedRun, Turn
from kaon_coordinator.store.base import LoadedRun, PartitionBatch, SetAside
from kaon_coordinator.store.protocols.partition_store import PartitionStore
from kaon_coordinator.store.store_calls import StoreCalls
from kaon_wire.errors import NotFound, Unavailable
from kaonapi.run.v1 import command_pb2

log = structlog.get_logger(__name__)

_End = Callable[[RunState, str, Context, int], Decision]


class EndingStore(PartitionStore, PastStore, Protocol):
    """What ends a run that cannot go on."""


@dataclass(frozen=True, kw_only=True)
class EndingParts:
    """The dependencies of ending runs."""

    store: StoreCalls[EndingStore]
    # Returns the compiled workflow of a run.
    workflow: Callable[[LoadedRun], Awaitable[CompiledWorkflow]]
    # Returns the context of a decision made now.
    context: Callable[[], Context]
    # Number of partitions of runs.
    partitions: int


class Endings:
    """Ends faulted runs one by one, each in a transaction of its own."""

    def __init__(self, parts: EndingParts) -> None:
        self._parts = parts
        self._store = parts.store

    async def end(self, partition: Partition, faulted: FaultedRun) -> tuple[Turn | None, bool]:
        """End a run, or set it aside.

        Returns:
            The durable turn that ended it, or None without effects; and whether this owner still holds the partition.

        Raises:
            Unavailable: It is unknown whether the end is durable.
        """
        partition.forget(faulted.run_id)
        for how in (end_faulted, end_barely):
            try:
                turn = await self._decide(partition, faulted, how)
                written = prepare(partition, turn)
                if turn.faulted:
                    continue
                kept = written.batch is None or not await self._write(written.batch)
            except Unavailable:
                raise
            except Exception as error:
                note_fault(
                    "it was ended", error, run=faulted.run_id, reference_of=faulted.fault.reference
                )
                continue
            return (turn if kept else None), kept
        partition.forget(faulted.run_id)
        return None, await self._set_aside(partition, faulted)

    async def _decide(self, partition: Partition, faulted: FaultedRun, how: _End) -> Turn:
        parts = self._parts
        turn = Turn(
            context=parts.context(), partitions=parts.partitions, applied_inbox=list(faulted.rows)
        )
        try:
            run = await self._store.read(self._store.store.load_run, faulted.run_id)
        except NotFound:
            return turn
        if run.partition != partition.number:
            return turn
        state = await self._state(run)
        partition.runs[state.run_id] = state
        if state.seq == 0:
            start = next(
                (row.command for row in faulted.rows if row.command.HasField("start")),
                command_pb2.RunCommand(),
            )
            turn.absorb(state, submit(state, submitted=submitted(run, start), context=turn.context))
        if faulted.rows or not state.ended:
            asked = max((row.command.retry.asked for row in faulted.rows), default=0)
            turn.absorb(state, how(state, str(faulted.fault), turn.context, asked))
        if state.ended and not turn.events:
            partition.forget(state.run_id)
        return turn

    async def _state(self, run: LoadedRun) -> RunState:
        if run.fork_run_id and run.row.seq == 0:
            store = self._store.store
            return await self._store.study(replay.begin, store, run, definitions(store))
        return replay.stored(run, await self._parts.workflow(run))

    async def _set_aside(self, partition: Partition, faulted: FaultedRun) -> bool:
        fault = faulted.fault
        aside = SetAside(
            kind="run",
            tenant="",
            name=faulted.run_id,
            partition=partition.number,
            reference=fault.reference,
            reason=str(fault),
            time_us=self._parts.context().now_us,
        )
        batch = PartitionBatch(
            partition=partition.number,
            epoch=partition.epoch,
            # Its commands stay in the inbox: without its start, or a child's end, the run could never
            # continue.
            set_aside=[aside],
        )
        if await self._write(batch):
            return False
        partition.aside.add(faulted.run_id)
        log.error(
            "run set aside",
            run=faulted.run_id,
            partition=partition.number,
            reference=fault.reference,
        )
        return True

    async def _write(self, batch: PartitionBatch) -> bool:
        """Write a batch; return whether another process owns the partition, in which case nothing was written."""
        return bool(await self._store.run(self._store.store.commit_all, [batch]))
