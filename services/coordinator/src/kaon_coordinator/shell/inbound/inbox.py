"""Reads the commands that wait for the partitions of this process, with the runs that they concern."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, fields, replace

from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.faults import Fault, note_fault
from kaon_coordinator.shell.fork_states import ForkStates
from kaon_coordinator.shell.partition import Stored
from kaon_coordinator.shell.partitions import Partitions
from kaon_coordinator.shell.start_dedup import StartDedup
from kaon_coordinator.shell.turn import FaultedRun
from kaon_coordinator.shell.workflows import Workflows
from kaon_coordinator.store.base import InboxRow, LoadedRun, RunRecord
from kaon_coordinator.store.submissions import REOPENING
from kaon_coordinator.store.thread import StoreThread
from kaon_wire.errors import Unavailable

INBOX_BATCH = 500


@dataclass(kw_only=True)
class Commands:
    """Commands that wait to be applied."""

    # By partition, oldest first.
    rows: dict[int, list[InboxRow]] = field(default_factory=lambda: defaultdict(list))
    # Unfinished runs that the commands concern and that were not in memory.
    fresh: dict[str, Stored] = field(default_factory=dict)


@dataclass(kw_only=True)
class _Fresh:
    """Runs that are not in memory, as commands need them."""

    runs: dict[str, Stored] = field(default_factory=dict)
    # Forks of which the beginning is still being folded.
    waiting: set[str] = field(default_factory=set)
    # Runs that can never begin.
    faults: dict[str, Fault] = field(default_factory=dict)


class Inbox:
    """The inboxes of all partitions of one owner.

    Args:
        store: has the rows.
        partitions: what this process owns.
        workflows: the compiled definitions.
    """

    def __init__(self, store: StoreThread, partitions: Partitions, workflows: Workflows) -> None:
        self._store = store
        self._partitions = partitions
        self._workflows = workflows
        self._filled: set[int] = set()
        # Runs that were submitted in this process, by id: they need not be read again.
        self._submitted: dict[str, RunRecord] = {}
        self._start_dedup = StartDedup()
        self._fork_states = ForkStates(store, self.wake)

    def wake(self, partition: int, submitted: RunRecord | None = None) -> bool:
        """Tells that a partition's inbox has been filled; False when another process owns the partition.

        Args:
            partition: whose inbox.
            submitted: the run that has just been stored, when that is what has filled it.
        """
        if partition not in self._partitions.owned:
            return False
        if submitted is None or submitted.start is None:
            self._filled.add(partition)
        else:
            self._submitted[submitted.run_id] = submitted
        self._partitions.woken.set()
        return True

    def look_into_all(self) -> None:
        """Has the next turn look into every inbox: a wake-up may have been lost."""
        self._filled |= set(self._partitions.owned)

    def take_filled(self, filled: Iterable[int]) -> set[int]:
        """The partitions whose inboxes were filled since the last turn, with those of which a record says so."""
        found, self._filled = self._filled.union(filled), set()
        return found & set(self._partitions.owned)

    async def read(self, filled: Collection[int]) -> Commands:
        """The commands that wait, with the runs that they concern and that are not in memory.

        Args:
            filled: partitions whose inboxes are looked into. The starts of runs that were submitted here are known without.
        """
        submitted, self._submitted = self._submitted, {}
        commands = Commands()
        starts = [run.start for run in submitted.values() if run.start is not None]
        read = await self._store.read(self._store.store.unapplied_of, filled, INBOX_BATCH) if filled else []
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
            # A fork's commands wait until it is known what it begins with.
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

    async def _fresh(self, rows: Collection[InboxRow], submitted: dict[str, RunRecord]) -> _Fresh:
        """The runs of these commands that are not in memory."""
        owned = self._partitions.owned
        unknown = {row.run_id for row in rows if row.run_id not in owned[row.partition].runs}
        # Only while its start waits is a run as it was submitted: it may have begun, and ended, before the submitter was answered.
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
        """A run as commands need it; None when it cannot begin yet."""
        stored = Stored(run=run, workflow=await self._workflows.of(run))
        if run.fork_run_id and run.row.seq == 0:
            base = self._fork_states.take(run)
            return None if base is None else replace(stored, base=base)
        return stored

    def forget(self, run_ids: Iterable[str]) -> None:
        """What came of the starts of these runs was not kept: they may be applied again."""
        self._start_dedup.forget(run_ids)

    def drop(self, partition: int) -> None:
        """Forgets a partition that another owner has claimed."""
        self._start_dedup.drop(partition)
        self._submitted = {key: run for key, run in self._submitted.items() if run.partition != partition}
        self._fork_states.drop(partition)

    async def close(self) -> None:
        """Gives up what is under way."""
        await self._fork_states.close()


def _as_loaded(run: RunRecord) -> LoadedRun:
    """A run that has only just been stored: it has neither steps nor blocks."""
    return LoadedRun(**{each.name: getattr(run, each.name) for each in fields(run)}, steps=(), blocks=())
