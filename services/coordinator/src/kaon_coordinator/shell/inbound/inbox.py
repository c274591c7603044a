"""Reads the waiting commands for the partitions of this process, with their runs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.faults import Fault, note_fault
from kaon_coordinator.shell.fork_states import ForkStates, PastStore
from kaon_coordinator.shell.inbound.newcomers import Beginning, Begun, Newcomer, Newcomers
from kaon_coordinator.shell.partition import Stored
from kaon_coordinator.shell.partitions import Partitions
from kaon_coordinator.shell.start_dedup import StartDedup
from kaon_coordinator.shell.turn import FaultedRun
from kaon_coordinator.shell.workflow_cache import Workflows
from kaon_coordinator.store.base import InboxRow, LoadedRun, NewRun, RunRecord
from kaon_coordinator.store.protocols.partition_store import PartitionStore
from kaon_coordinator.store.store_calls import StoreCalls
from kaon_coordinator.store.submission_sql import REOPENING, fresh_record
from kaon_wire.errors import Unavailable

INBOX_BATCH = 500


class InboxStore(PartitionStore, PastStore, Protocol):
    """What the inbox reads."""


@dataclass(kw_only=True)
class Commands:
    """Commands that wait to be applied."""

    # By partition, oldest first.
    rows: dict[int, list[InboxRow]] = field(default_factory=lambda: defaultdict(list))
    # Active runs of the commands that were not in memory.
    fresh: dict[str, Stored] = field(default_factory=dict)
    # By partition: runs that begin, and are stored with the turn.
    beginning: dict[int, list[Beginning]] = field(default_factory=lambda: defaultdict(list))

    @property
    def newcomers(self) -> list[Newcomer]:
        """Return the runs that begin."""
        return [each.newcomer for group in self.beginning.values() for each in group]


@dataclass(kw_only=True)
class _Fresh:
    """Runs of commands that were not in memory."""

    runs: dict[str, Stored] = field(default_factory=dict)
    # Forks whose initial state is still being folded.
    waiting: set[str] = field(default_factory=set)
    # Runs that can never begin.
    faults: dict[str, Fault] = field(default_factory=dict)


class Inbox:
    """The inboxes of all partitions of one owner.

    Args:
        store: The store of the rows.
        partitions: The partitions of this process.
        workflows: The compiled definitions.
        patience: How many seconds a submission waits for a turn.
    """

    def __init__(
        self,
        store: StoreCalls[InboxStore],
        partitions: Partitions,
        workflows: Workflows,
        *,
        patience: float,
    ) -> None:
        self._store = store
        self._partitions = partitions
        self._workflows = workflows
        self._filled: set[int] = set()
        # Runs submitted in this process, by id: they need not be read again.
        self._submitted: dict[str, RunRecord] = {}
        self._newcomers = Newcomers(patience=patience)
        self._start_dedup = StartDedup()
        self._fork_states = ForkStates(store, self.wake)

    def wake(self, partition: int, submitted: RunRecord | None = None) -> bool:
        """Wake the inbox of a partition; return False when another process owns the partition.

        Args:
            partition: The partition of the inbox.
            submitted: The run that was just stored, when its submission is the reason.
        """
        if partition not in self._partitions.owned:
            return False
        if submitted is None or submitted.start is None:
            self._filled.add(partition)
        else:
            self._submitted[submitted.run_id] = submitted
        self._partitions.woken.set()
        return True

    async def begin(self, runs: Sequence[NewRun]) -> list[Begun]:
        """Begin submitted runs in the transaction that stores them, those that belong here.

        A fork is never begun here: its initial state is folded from a history first.

        Returns:
            What became of each; None when its submitter must store it.
        """
        owned = self._partitions.owned
        here = [run for run in runs if run.partition in owned and not run.fork_run_id]
        if not here:
            return [None] * len(runs)
        self._partitions.woken.set()
        begun = await self._newcomers.begin(here)
        if len(here) == len(runs):
            return begun
        told = {run.run_id: each for run, each in zip(here, begun, strict=True)}
        return [told.get(run.run_id) for run in runs]

    def refuse(self, error: Unavailable) -> None:
        """Answer all submitters who wait for a turn that it cannot be stored now."""
        self._newcomers.refuse(error)

    def look_into_all(self) -> None:
        """Have the next turn read every inbox: a wake-up may have been lost."""
        self._filled |= set(self._partitions.owned)

    def take_filled(self, filled: Iterable[int]) -> set[int]:
        """Return the partitions with new commands since the last turn, including those that a record names."""
        found, self._filled = self._filled.union(filled), set()
        return found & set(self._partitions.owned)

    async def read(self, filled: Collection[int]) -> Commands:
        """Return the waiting commands, with those of their runs that are not in memory.

        Args:
            filled: The partitions whose inboxes are read. The starts of runs that were submitted here are known without reading.
        """
        submitted, self._submitted = self._submitted, {}
        commands = Commands()
        starts = [run.start for run in submitted.values() if run.start is not None]
        read = (
            await self._store.read(self._store.store.unapplied_of, filled, INBOX_BATCH)
            if filled
            else []
        )
        owned = self._partitions.owned
        rows = [
            row
            for row in self._start_dedup.fresh([*starts, *read])
            if row.partition in owned and row.run_id not in owned[row.partition].aside
        ]
        if not rows:
            return commands
        fresh = await self._fresh(rows, submitted)
        commands.fresh = fresh.runs
        for row in rows:
            # A fork's commands wait until its initial state is known.
            if row.run_id in fresh.waiting:
                continue
            self._start_dedup.note(row)
            if row.run_id in fresh.faults:
                fault = FaultedRun(run_id=row.run_id, fault=fresh.faults[row.run_id])
                owned[row.partition].faulted.setdefault(row.run_id, fault).rows.append(row)
            else:
                commands.rows[row.partition].append(row)
        if len(read) == INBOX_BATCH:
            self._filled |= set(filled)
            self._partitions.woken.set()
        return commands

    async def add_newcomers(self, commands: Commands) -> None:
        """Add the runs that begin, and hand back those that cannot."""
        for newcomer in self._newcomers.take():
            run = _as_loaded(fresh_record(newcomer.run))
            try:
                stored = await self._fresh_one(run)
            except Exception as error:
                note_fault("it was to begin", error, run=run.run_id)
                stored = None
            if stored is None or run.partition not in self._partitions.owned:
                newcomer.settle(begun=False)
            else:
                beginning = Beginning(newcomer=newcomer, stored=stored)
                commands.beginning[run.partition].append(beginning)
        if self._newcomers.waits:
            self._partitions.woken.set()

    async def _fresh(self, rows: Collection[InboxRow], submitted: dict[str, RunRecord]) -> _Fresh:
        """Return the runs of these commands that are not in memory."""
        owned = self._partitions.owned
        unknown = {row.run_id for row in rows if row.run_id not in owned[row.partition].runs}
        # A run equals its submission only while its start waits: it may begin, and end, before the submitter
        # is answered.
        starting = {row.run_id for row in rows if row.command.HasField("start")}
        known = unknown & submitted.keys() & starting
        reopened = {row.run_id for row in rows if row.command.WhichOneof("command") in REOPENING}
        handed = [_as_loaded(submitted[run_id]) for run_id in known]
        wanted = unknown - known
        loaded = await self._store.read(self._store.store.load_some, wanted) if wanted else []
        fresh = _Fresh()
        for run in (*handed, *loaded):
            if run.row.status in t.TERMINAL and run.run_id not in reopened:
                continue
            try:
                stored = await self._fresh_one(run)
            except Unavailable:
                raise
            except Exception as error:
                fresh.faults[run.run_id] = note_fault("it was read", error, run=run.run_id)
                continue
            if stored is None:
                fresh.waiting.add(run.run_id)
            else:
                fresh.runs[run.run_id] = stored
        return fresh

    async def _fresh_one(self, run: LoadedRun) -> Stored | None:
        """Load a run for its commands; return None when it cannot begin yet."""
        stored = Stored(run=run, workflow=await self._workflows.of(run))
        if run.fork_run_id and run.row.seq == 0:
            base = self._fork_states.take(run)
            return None if base is None else replace(stored, base=base)
        return stored

    def forget(self, run_ids: Iterable[str]) -> None:
        """Forget the starts of these runs: their effects were not kept, and they may be applied again."""
        self._start_dedup.forget(run_ids)

    def drop(self, partition: int) -> None:
        """Forget a partition that another owner has claimed."""
        self._start_dedup.drop(partition)
        self._submitted = {
            key: run for key, run in self._submitted.items() if run.partition != partition
        }
        self._fork_states.drop(partition)
        self._newcomers.drop(partition)

    async def close(self) -> None:
        """Cancel pending work."""
        await self._fork_states.close()


def _as_loaded(run: RunRecord) -> LoadedRun:
    """Convert a run that was just stored: it has neither steps nor blocks."""
    return LoadedRun(**vars(run), steps=(), blocks=())
