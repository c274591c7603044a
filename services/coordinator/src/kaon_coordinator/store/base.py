"""The interface of the store and its guarantees.

Every call is one transaction: done whole or not at all, and durable when it returns (with `relaxed` durability the newest
transactions may be lost when the machine, not the process, dies; their order holds). Calls block; asyncio callers go through
`StoreThread`. A store may be called from several threads. Whatever the database refuses for the moment is `Unavailable`: then it
is not known whether the transaction took place, and an owner must read its partition anew.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType

from kaon_coordinator.engine.rows.rows import BlockRow, StepRow
from kaon_coordinator.store.records import (
    EncodedEvent,
    Holder,
    InboxRow,
    LoadedRun,
    LogChunk,
    Memo,
    Message,
    NewRun,
    PartitionBatch,
    PermitRecord,
    PermitWish,
    References,
    RunPage,
    RunRecord,
    ScheduleRecord,
    ScheduleStep,
    SetAside,
    Snapshot,
    WorkflowRecord,
    encode_event,
)
from kaon_wire.errors import Conflict, KaonError
from kaonapi.log.v1 import log_pb2
from kaonapi.run.v1 import command_pb2, history_pb2
from kaonapi.workflow.v1 import definition_pb2

__all__ = [
    "EncodedEvent",
    "encode_event",
    "Fenced",
    "InboxRow",
    "LoadedRun",
    "Holder",
    "LogChunk",
    "Memo",
    "Message",
    "NewRun",
    "PartitionBatch",
    "PermitRecord",
    "PermitWish",
    "References",
    "RunPage",
    "RunRecord",
    "ScheduleRecord",
    "ScheduleStep",
    "SetAside",
    "Snapshot",
    "Store",
    "WorkflowRecord",
]


NO_LABELS: Mapping[str, str] = MappingProxyType({})


class Fenced(KaonError):
    """Someone else owns the partition by now: nothing was written, and this owner must drop it."""

    def __init__(self, partition: int, epoch: int) -> None:
        super().__init__(
            f"partition {partition}: epoch {epoch} is not the current one; another coordinator owns the partition"
        )
        self.partition = partition


class Store(ABC):
    """What the coordinator must not forget."""

    # Workflows

    @abstractmethod
    def put_workflow(
        self, tenant: str, definition: definition_pb2.WorkflowDefinition, version: str, now_us: int
    ) -> tuple[WorkflowRecord, bool]:
        """Stores a definition and makes it the current version of its name. False when this version was there already; then
        the stored one stays as it is, and only becomes current again."""

    @abstractmethod
    def get_workflow(self, tenant: str, name: str, version: str = "") -> WorkflowRecord:
        """One version, or the current one.

        Raises:
            NotFound: the tenant has no such workflow or version.
        """

    @abstractmethod
    def list_workflows(self, tenant: str) -> list[WorkflowRecord]:
        """The current version of every workflow of the tenant, by name."""

    # Submitters

    @abstractmethod
    def submit_runs(self, runs: Sequence[NewRun]) -> list[tuple[RunRecord, bool] | Conflict]:
        """Stores runs together with their start commands, all in one transaction, and answers each in its place.

        A run whose idempotency key was used before for the same payload (workflow, version, parameters) is not stored: the first
        run is returned, with False. With another payload the answer is a `Conflict`. However many submit at once, in this process
        or in others, one key makes one run.
        """

    def submit_run(self, run: NewRun) -> tuple[RunRecord, bool]:
        """Stores one run as `submit_runs` does.

        Raises:
            Conflict: the idempotency key was used for another payload.
        """
        (answer,) = self.submit_runs([run])
        if isinstance(answer, Conflict):
            raise answer
        return answer

    @abstractmethod
    def add_command(
        self, tenant: str, run_id: str, command: command_pb2.RunCommand, now_us: int
    ) -> RunRecord:
        """Stores a command for the run's owner. A run that has ended gets none but those that can open it again: retry, restart and
        mark.

        Raises:
            NotFound: the tenant has no such run.
        """

    # Readers. They see committed transactions only and do not wait for writers.

    @abstractmethod
    def waiting_commands(self, partition: int, run_id: str) -> list[command_pb2.RunCommand]:
        """Returns the commands for one run of a partition that no batch has named as applied, oldest first."""

    @abstractmethod
    def get_run(self, tenant: str, run_id: str) -> RunRecord:
        """One run.

        Raises:
            NotFound: the tenant has no such run.
        """

    @abstractmethod
    def list_runs(
        self,
        tenant: str,
        *,
        workflow: str = "",
        status: int = 0,
        labels: Mapping[str, str] = NO_LABELS,
        page_size: int = 50,
        page_token: str = "",
    ) -> RunPage:
        """Runs of the tenant, newest first; of one workflow, in one status, with all the labels where given (an empty value means
        any). Runs submitted between two pages move
        nothing: no run is shown twice or left out.

        Raises:
            InvalidValue: the page token is none that this method gave.
        """

    @abstractmethod
    def list_steps(self, run_id: str) -> list[StepRow]:
        """The steps of a run in order of their creation."""

    @abstractmethod
    def list_blocks(self, run_id: str) -> list[BlockRow]:
        """The blocks and cells of a run in order of their creation."""

    def find_row(self, run_id: str, path: str) -> StepRow | BlockRow | None:
        """The step, block or cell of a run at a path."""
        rows: list[StepRow | BlockRow] = [*self.list_steps(run_id), *self.list_blocks(run_id)]
        return next((row for row in rows if row.path == path), None)

    @abstractmethod
    def history(self, run_id: str, after_seq: int = 0, limit: int = 1000) -> list[history_pb2.HistoryEvent]:
        """Events of a run with a seq above `after_seq`, in order, at most `limit`. Committed events never change or vanish."""

    # Snapshots: a run's state after some event. They follow from the history, and only make looking at the past faster.

    @abstractmethod
    def read_snapshot(self, run_id: str) -> Snapshot | None:
        """The state of a run as it stands; None when it has changed while it was read.

        Raises:
            NotFound: there is no such run.
        """

    @abstractmethod
    def put_snapshot(self, snapshot: Snapshot) -> None:
        """Keeps the state of a run, unless it is kept already or the run is gone. It goes with its run."""

    @abstractmethod
    def find_snapshot(self, run_id: str, seq: int) -> Snapshot | None:
        """The newest state that was kept after event `seq` or before; None when there is none."""

    @abstractmethod
    def snapshot_seqs(self, run_id: str) -> list[int]:
        """After which events the run's state was kept, in order."""

    # Owners of partitions and pools

    @abstractmethod
    def claim_partition(self, partition: int, owner: str) -> int:
        """Makes the caller the owner and returns its epoch, higher than any before. When this returns, no transaction of an
        earlier owner is under way, and none will ever be committed."""

    @abstractmethod
    def claim_pool(self, pool: str, owner: str) -> int:
        """Raises the pool's epoch and returns it, higher than any before."""

    @abstractmethod
    def pool_owner(self, pool: str) -> str:
        """Who claimed the pool last, as `claim_pool` was told; empty when nobody has."""

    @abstractmethod
    def load_runs(self, partition: int) -> list[LoadedRun]:
        """Every run of the partition that has not ended and is not set aside. The cost does not depend on how many have ended."""

    @abstractmethod
    def load_run(self, run_id: str) -> LoadedRun:
        """One run, ended or not.

        Raises:
            NotFound: there is no such run.
        """

    @abstractmethod
    def load_some(self, run_ids: Collection[str]) -> list[LoadedRun]:
        """Those of the runs that are there, ended or not, in no particular order. The cost depends only on how many they are."""

    @abstractmethod
    def unapplied_of(self, partitions: Collection[int], limit: int = 1000) -> list[InboxRow]:
        """Commands of the partitions that no batch has named as applied, oldest first, at most `limit`. Those of runs that are set
        aside wait with them."""

    def unapplied(self, partition: int, limit: int = 1000) -> list[InboxRow]:
        """Commands of one partition, as `unapplied_of` gives them."""
        return self.unapplied_of([partition], limit)

    @abstractmethod
    def commit_all(self, batches: Sequence[PartitionBatch]) -> frozenset[int]:
        """Applies batches of different partitions in one transaction. Each batch begins with its fence, which holds its partition
        until the transaction ends. A batch whose epoch is not its partition's current one is left out, and nothing of it written;
        its partition is in the answer. The others do not suffer from it.

        Raises:
            Conflict: an event with this run and seq is there already; nothing of any batch was written.
        """

    def commit(self, batch: PartitionBatch) -> None:
        """Applies one batch as `commit_all` does.

        Raises:
            Fenced: the epoch is not the partition's current one; nothing was written.
            Conflict: an event with this run and seq is there already; nothing was written.
        """
        if self.commit_all([batch]):
            raise Fenced(batch.partition, batch.epoch)

    @abstractmethod
    def unpublished(self, partition: int, limit: int = 1000) -> list[history_pb2.HistoryEvent]:
        """Events past their runs' published marks, each run's in order of seq, at most `limit`."""

    # What is set aside: owners do not touch it until it is taken back. A batch sets runs aside.

    @abstractmethod
    def put_aside(self, row: SetAside) -> None:
        """Sets something aside; the newest reason counts."""

    @abstractmethod
    def list_set_aside(self, limit: int) -> list[SetAside]:
        """What is set aside, the newest first, at most `limit`; all of it when that is 0."""

    @abstractmethod
    def take_back(self, kind: str, tenant: str, name: str) -> bool:
        """Lets owners touch something again; False when it was not set aside."""

    # Permits: how many may hold a key of a tenant at once. A batch gives them back.

    @abstractmethod
    def set_permits(self, tenant: str, key: str, bound: int) -> PermitRecord:
        """Sets how many may hold a key, 0 meaning any number. Who holds it already keeps it, however many they are."""

    @abstractmethod
    def list_permits(self, tenant: str) -> list[PermitRecord]:
        """The tenant's keys that have a bound, by key."""

    @abstractmethod
    def take_permits(
        self, partition: int, epoch: int, wishes: Sequence[PermitWish], now_us: int
    ) -> list[bool]:
        """Takes the permits of each wish, all or none of them, in this order, and says for each whether it has them now.

        Taking again what is held works at once. No bound is ever exceeded by this, whatever other owners do at the same time. Who
        ranks before (by priority and by how long it waits, see `permit_rank`) is not overtaken, unless it has not asked again for
        some seconds. Runs that have ended get nothing.

        Raises:
            Fenced: the epoch is not the partition's current one; nothing was taken.
        """

    # Memos

    @abstractmethod
    def find_memo(self, tenant: str, key: str) -> Memo | None:
        """The newest execution that was remembered under a key."""

    # Schedules

    @abstractmethod
    def put_schedule(self, schedule: ScheduleRecord) -> tuple[ScheduleRecord, bool]:
        """Stores a schedule or replaces the one of its name, and returns it as it stands now; True when there was none. Partition,
        revision and time of creation of one that was there stay its own."""

    @abstractmethod
    def get_schedule(self, tenant: str, name: str) -> ScheduleRecord:
        """One schedule.

        Raises:
            NotFound: the tenant has no such schedule.
        """

    @abstractmethod
    def list_schedules(self, tenant: str) -> list[ScheduleRecord]:
        """The tenant's schedules, by name."""

    @abstractmethod
    def delete_schedule(self, tenant: str, name: str) -> None:
        """Deletes a schedule; its runs stay.

        Raises:
            NotFound: the tenant has no such schedule.
        """

    @abstractmethod
    def due_schedules(
        self, partitions: Collection[int], now_us: int, limit: int = 100
    ) -> list[ScheduleRecord]:
        """Schedules of these partitions whose `next_us` has come, in its order."""

    @abstractmethod
    def advance_schedule(
        self, epoch: int, step: ScheduleStep
    ) -> list[tuple[RunRecord, bool] | Conflict] | None:
        """Writes what the owner of the schedule's partition has decided: the runs (answered as `submit_runs` does), the messages,
        and how the schedule stands. None, and nothing is written, when the schedule was changed or deleted since it was read.

        Raises:
            Fenced: the epoch is not the partition's current one; nothing was written.
        """

    @abstractmethod
    def ended_runs(self, tenant: str, workflow: str, since_us: int, limit: int = 1000) -> list[RunRecord]:
        """Runs of a workflow that have ended at or after a time, in the order of their ends."""

    # Logs

    @abstractmethod
    def archive_logs(self, records: Sequence[log_pb2.LogLines]) -> frozenset[str]:
        """Keeps what steps printed and returns the ids of the runs that got new lines. A line that comes again is dropped. Each
        lease has a bound (see `LogBounds`): its first lines and its last lines stay."""

    @abstractmethod
    def read_logs(
        self, run_id: str, path: str = "", after_chunk: int = 0, limit: int = 100
    ) -> list[LogChunk]:
        """Lines of the steps at or under `path` (empty: of all) in the order in which they arrived, after the given chunk. A chunk
        that is committed later has a higher id than every chunk of its run that could be read before. Lines that are left out
        between a lease's head and its tail are not among them; each chunk tells which those are by now."""

    # Retention

    @abstractmethod
    def remove_runs(self, before_us: int, limit: int) -> list[str]:
        """Deletes up to `limit` runs that ended before a time, with everything that belongs to them, and returns their ids. A run
        stays while a command waits for it, and while a fork of it or its parent is there."""

    @abstractmethod
    def remove_logs(self, before_us: int, limit: int) -> list[str]:
        """Deletes what the steps of up to `limit` runs printed that ended before a time, and returns the runs' ids."""

    @abstractmethod
    def remove_memos(self, before_us: int, limit: int) -> list[str]:
        """Forgets up to `limit` executions that were remembered before a time, and returns their keys."""

    @abstractmethod
    def references(self, superseded_us: int) -> References:
        """The artifacts and code bundles that are named anywhere: by runs with all their history, by commands that wait, memoized
        results, schedules, and workflows. A version of a workflow counts while it is the current one, while a run or schedule names
        it, and when it was followed by a newer one after `superseded_us`. Reads everything, in short transactions: what moves from
        one row to another meanwhile is seen."""

    # Life

    @abstractmethod
    def check(self) -> None:
        """Returns when the database answers.

        Raises:
            Unavailable: it does not.
        """

    @abstractmethod
    def close(self) -> None:
        """Closes all connections. No call may follow."""
