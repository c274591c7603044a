"""A store in memory. It keeps the contract of `store.base` (the same suite runs on it as on the databases), in microseconds."""

from __future__ import annotations

import itertools
import threading
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import wraps
from typing import Any, TypeVar

from kaon_coordinator.engine.rows.rows import BlockRow, RunRow, StepRow
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.store import reference_sql
from kaon_coordinator.store.base import (
    ALL_RUNS,
    DatasetRecord,
    DatasetUpdate,
    DueNotice,
    EncodedEvent,
    Fenced,
    Hearer,
    InboxRow,
    KeptUpdate,
    KeysTaken,
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
    RunSelection,
    ScheduleRecord,
    ScheduleStep,
    SentSignal,
    SetAside,
    Snapshot,
    Store,
    TenantRecord,
    TokenPage,
    TokenRecord,
    Undelivered,
    WorkflowRecord,
)
from kaon_coordinator.store.grant_sql import given_by
from kaon_coordinator.store.log_bounds import LogBounds
from kaon_coordinator.store.records import Held, PermitAnswer
from kaon_coordinator.store.run_sql import common_length
from kaon_coordinator.store.strategies import Standing, Turn
from kaon_coordinator.store.submission_sql import REOPENING, start_of
from kaon_wire import canonical
from kaon_wire.artifact_references import digests, outputs_of
from kaon_wire.errors import Conflict, InvalidValue, NotFound
from kaonapi.log.v1 import log_pb2
from kaonapi.run.v1 import command_pb2, history_pb2
from kaonapi.workflow.v1 import definition_pb2

from .memory_access import MemoryAccess
from .memory_datasets import MemoryDatasets
from .memory_logs import MemoryLogs
from .memory_notices import MemoryNotices
from .memory_permits import MemoryPermits
from .memory_schedules import MemorySchedules
from .memory_strategies import MemoryStrategies

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(kw_only=True)
class Kept:
    """One run with everything that belongs to it."""

    record: RunRecord
    payload: str
    steps: dict[str, StepRow] = field(default_factory=dict)
    blocks: dict[str, BlockRow] = field(default_factory=dict)
    history: list[history_pb2.HistoryEvent] = field(default_factory=list)
    published_seq: int = 0
    # Until it has ended with its whole history published.
    open: bool = True

    @property
    def ended(self) -> bool:
        return self.record.row.status in t.TERMINAL

    def as_record(self) -> RunRecord:
        if self.record.published_seq != self.published_seq:
            self.record = replace(self.record, published_seq=self.published_seq)
        return self.record


def _transaction(method: F) -> F:
    """Whole or not at all, one after the other."""

    @wraps(method)
    def locked(self: MemoryStore, *args: Any, **kwargs: Any) -> Any:
        with self.lock:
            return method(self, *args, **kwargs)

    return locked  # type: ignore[return-value]


class MemoryStore(Store):
    """Everything in dictionaries."""

    def __init__(self, log_bounds: LogBounds | None = None) -> None:
        self.lock = threading.RLock()
        self.runs: dict[str, Kept] = {}
        # By run and event.
        self.snapshots: dict[str, dict[int, Snapshot]] = {}
        self.by_partition: dict[int, dict[str, Kept]] = defaultdict(dict)
        self.keys: dict[tuple[str, str, str], str] = {}
        self.inbox: dict[int, dict[int, InboxRow]] = defaultdict(dict)
        self.epochs: dict[int | str, tuple[int, str]] = {}
        self.strategies = MemoryStrategies(self)
        self.permits = MemoryPermits(self.has_ended, self.strategies)
        # By kind, tenant and name.
        self.aside: dict[tuple[str, str, str], SetAside] = {}
        self._workflows: dict[tuple[str, str, str], WorkflowRecord] = {}
        self._current: dict[tuple[str, str], str] = {}
        self._memos: dict[tuple[str, str], Memo] = {}
        self._notices = MemoryNotices()
        self._schedules = MemorySchedules()
        self._datasets = MemoryDatasets()
        self._signals: dict[tuple[str, str], SentSignal] = {}
        self._access = MemoryAccess()
        # Tenant and digest of the artifacts that tenants have.
        self._grants: dict[tuple[str, str], int] = {}
        self._logs = MemoryLogs(log_bounds or LogBounds())
        self._inbox_ids = itertools.count(1)
        self._inbox_places: dict[int, int] = {}

    # --- workflows ----------------------------------------------------------------------------------------------

    @_transaction
    def put_workflow(
        self,
        tenant: str,
        definition: definition_pb2.WorkflowDefinition,
        version: str,
        now_us: int,
        *,
        aside: bool = False,
    ) -> tuple[WorkflowRecord, bool]:
        key = (tenant, definition.name, version)
        created = key not in self._workflows
        if created:
            self._workflows[key] = WorkflowRecord(
                tenant=tenant,
                name=definition.name,
                version=version,
                definition=_copy(definition),
                create_us=now_us,
            )
        if not aside or (tenant, definition.name) not in self._current:
            self._current[tenant, definition.name] = version
        return self._own(self._workflows[key]), created

    @_transaction
    def get_workflow(self, tenant: str, name: str, version: str = "") -> WorkflowRecord:
        found = self._workflows.get(
            (tenant, name, version or self._current.get((tenant, name), ""))
        )
        if found is None:
            wanted = (
                f"workflow {name!r} in version {version!r}" if version else f"workflow {name!r}"
            )
            raise NotFound(f"there is no {wanted}; register it first")
        return self._own(found)

    @_transaction
    def list_workflows(
        self, tenant: str, after: str = "", limit: int | None = None
    ) -> list[WorkflowRecord]:
        current = sorted(
            (name, version)
            for (of, name), version in self._current.items()
            if of == tenant and name > after
        )[:limit]
        return [self._own(self._workflows[tenant, name, version]) for name, version in current]

    def _own(self, record: WorkflowRecord) -> WorkflowRecord:
        return replace(record, definition=_copy(record.definition))

    @_transaction
    def count_open_runs(self, tenant: str, most: int) -> int:
        mine = (kept for kept in self.runs.values() if kept.record.tenant == tenant)
        return min(sum(not kept.ended for kept in mine), most)

    @_transaction
    def count_workflows(self, tenant: str) -> int:
        return sum(of == tenant for of, _ in self._current)

    @_transaction
    def count_versions(self, tenant: str, workflow: str) -> int:
        return sum(key[:2] == (tenant, workflow) for key in self._workflows)

    @_transaction
    def count_schedules(self, tenant: str) -> int:
        return len(self._schedules.of_tenant(tenant))

    @_transaction
    def is_key_used(self, tenant: str, workflow: str, idempotency_key: str) -> bool:
        return (tenant, workflow, idempotency_key) in self.keys

    # --- submitters ---------------------------------------------------------------------------------------------

    @_transaction
    def submit_runs(self, runs: Sequence[NewRun]) -> list[tuple[RunRecord, bool] | Conflict]:
        return [self._submit(run) for run in runs]

    def _submit(self, run: NewRun) -> tuple[RunRecord, bool] | Conflict:
        if run.idempotency_key:
            first = self.keys.setdefault(
                (run.tenant, run.workflow, run.idempotency_key), run.run_id
            )
            if first != run.run_id:
                return self._answer(run, self.runs[first])
        kept = self._store(run)
        start = command_pb2.RunCommand(
            run_id=run.run_id,
            start=start_of(run),
        )
        row = self._enqueue(kept, start, run.now_us)
        return replace(kept.record, start=row), True

    def _store(self, run: NewRun) -> Kept:
        kept = Kept(record=_fresh(run), payload=_payload(run))
        self.runs[run.run_id] = self.by_partition[run.partition][run.run_id] = kept
        return kept

    def _begin(self, run: NewRun) -> None:
        """A run that begins with its first events."""
        if run.idempotency_key:
            self.keys[run.tenant, run.workflow, run.idempotency_key] = run.run_id
        self._store(run)

    def _answer(self, run: NewRun, first: Kept) -> tuple[RunRecord, bool] | Conflict:
        if first.payload == _payload(run):
            return first.as_record(), False
        return Conflict(
            f"idempotency key {run.idempotency_key!r} was used for run {first.record.run_id} of workflow {run.workflow!r} "
            "with another version or other parameters; use a new key for a new run"
        )

    @_transaction
    def add_command(
        self, tenant: str, run_id: str, command: command_pb2.RunCommand, now_us: int
    ) -> RunRecord:
        record = self.get_run(tenant, run_id)
        if record.row.status not in t.TERMINAL or command.WhichOneof("command") in REOPENING:
            self._enqueue(self.runs[run_id], _copy(command), now_us)
        return record

    def _enqueue(self, kept: Kept, command: command_pb2.RunCommand, now_us: int) -> InboxRow:
        inbox_id, partition = next(self._inbox_ids), kept.record.partition
        self._inbox_places[inbox_id] = partition
        row = self.inbox[partition][inbox_id] = InboxRow(
            inbox_id=inbox_id,
            partition=partition,
            run_id=kept.record.run_id,
            command=command,
            create_us=now_us,
        )
        return row

    def tell_now(self, messages: Iterable[Message]) -> None:
        """Puts commands into inboxes, within a transaction."""
        for message in messages:
            if message.run_id in self.runs:
                self._enqueue(self.runs[message.run_id], message.command, message.now_us)

    # --- readers ------------------------------------------------------------------------------------------------

    @_transaction
    def waiting_commands(self, partition: int, run_id: str) -> list[command_pb2.RunCommand]:
        rows = sorted(self.inbox[partition].values(), key=lambda row: row.inbox_id)
        return [_copy(row.command) for row in rows if row.run_id == run_id]

    @_transaction
    def get_run(self, tenant: str, run_id: str) -> RunRecord:
        kept = self.runs.get(run_id)
        if kept is None or kept.record.tenant != tenant:
            near = _near(
                [each for each, its in self.runs.items() if its.record.tenant == tenant], run_id
            )
            hint = f"; did you mean {' or '.join(near)}?" if near else ""
            raise NotFound(f"there is no run {run_id!r}{hint}")
        return kept.as_record()

    @_transaction
    def list_runs(
        self,
        tenant: str,
        which: RunSelection = ALL_RUNS,
        *,
        page_size: int = 50,
        page_token: str = "",
    ) -> RunPage:
        last = _place(page_token) if page_token else None
        found = [
            kept.as_record()
            for kept in self.runs.values()
            if kept.record.tenant == tenant
            and (not which.workflow or kept.record.workflow == which.workflow)
            and (not which.status or kept.record.row.status == which.status)
            and kept.record.create_us >= which.since_us
            and kept.record.run_id.startswith(which.prefix)
            and all(_has_label(kept.record, name, value) for name, value in which.labels.items())
            and all(
                kept.record.params.get(name) in (text, canonical.as_float(text))
                for name, text in which.params.items()
            )
            and (last is None or (kept.record.create_us, kept.record.run_id) < last)
        ]
        found.sort(key=lambda record: (record.create_us, record.run_id), reverse=True)
        page = found[:page_size]
        token = f"{page[-1].create_us}:{page[-1].run_id}" if len(found) > page_size else ""
        return RunPage(runs=page, next_page_token=token)

    @_transaction
    def list_steps(self, run_id: str, after: int = -1, limit: int | None = None) -> list[StepRow]:
        rows = _by_position(self.runs[run_id].steps) if run_id in self.runs else []
        return [row for row in rows if row.position > after][:limit]

    @_transaction
    def list_blocks(self, run_id: str, after: int = -1, limit: int | None = None) -> list[BlockRow]:
        rows = _by_position(self.runs[run_id].blocks) if run_id in self.runs else []
        return [row for row in rows if row.position > after][:limit]

    @_transaction
    def history(
        self, run_id: str, after_seq: int = 0, limit: int = 1000
    ) -> list[history_pb2.HistoryEvent]:
        kept = self.runs.get(run_id)
        if kept is None:
            return []
        return [event for event in kept.history if event.seq > after_seq][:limit]

    @_transaction
    def ended_runs(
        self, tenant: str, workflow: str, since_us: int, limit: int = 1000
    ) -> list[RunRecord]:
        found = [
            kept.as_record()
            for kept in self.runs.values()
            if kept.ended
            and (kept.record.tenant, kept.record.workflow) == (tenant, workflow)
            and kept.record.row.end_us > 0
            and kept.record.row.end_us >= since_us
        ]
        return sorted(found, key=lambda record: (record.row.end_us, record.run_id))[:limit]

    @_transaction
    def succeeded_run(
        self, tenant: str, workflow: str, params: Mapping[str, str], since_us: int
    ) -> RunRecord | None:
        found = [
            run
            for run in self.ended_runs(tenant, workflow, since_us, len(self.runs))
            if run.row.status == t.SUCCEEDED
            and not {"only", "until"} & canonical.loads(run.row.data or "{}").keys()
            and all(
                run.params.get(name) in {text, canonical.as_float(text)}
                for name, text in params.items()
            )
        ]
        return found[-1] if found else None

    # --- snapshots ----------------------------------------------------------------------------------------------

    @_transaction
    def read_snapshot(self, run_id: str) -> Snapshot | None:
        if run_id not in self.runs:
            raise NotFound(f"there is no run {run_id!r}")
        loaded = _loaded(self.runs[run_id])
        return Snapshot(row=loaded.row, steps=loaded.steps, blocks=loaded.blocks)

    @_transaction
    def put_snapshot(self, snapshot: Snapshot) -> None:
        run_id, seq = snapshot.row.run_id, snapshot.row.seq
        if run_id in self.runs:
            self.snapshots.setdefault(run_id, {}).setdefault(seq, snapshot)

    @_transaction
    def find_snapshot(self, run_id: str, seq: int) -> Snapshot | None:
        kept = self.snapshots.get(run_id, {})
        newest = max((each for each in kept if each <= seq), default=None)
        return None if newest is None else kept[newest]

    @_transaction
    def snapshot_seqs(self, run_id: str) -> list[int]:
        return sorted(self.snapshots.get(run_id, {}))

    # --- owners -------------------------------------------------------------------------------------------------

    @_transaction
    def claim_partition(self, partition: int, owner: str) -> int:
        return self._claim(partition, owner)

    @_transaction
    def partition_epochs(self, partitions: Collection[int]) -> dict[int, int]:
        return {each: self.epochs[each][0] for each in partitions if each in self.epochs}

    @_transaction
    def claim_pool(self, pool: str, owner: str) -> int:
        return self._claim(pool, owner)

    @_transaction
    def pool_owner(self, pool: str) -> str:
        return self.epochs.get(pool, (0, ""))[1]

    def _claim(self, what: int | str, owner: str) -> int:
        epoch = self.epochs.get(what, (0, ""))[0] + 1
        self.epochs[what] = epoch, owner
        return epoch

    def holds(self, partition: int, epoch: int) -> bool:
        """The fence: whether the epoch is the partition's current one."""
        return self.epochs.get(partition, (0, ""))[0] == epoch and epoch > 0

    @_transaction
    def load_runs(self, partition: int) -> list[LoadedRun]:
        found = [
            kept
            for kept in self.by_partition[partition].values()
            if kept.open and not kept.ended and not self.is_aside(kept.record.run_id)
        ]
        found.sort(key=lambda kept: (kept.record.create_us, kept.record.run_id))
        return [_loaded(kept) for kept in found]

    @_transaction
    def load_run(self, run_id: str) -> LoadedRun:
        if run_id not in self.runs:
            raise NotFound(f"there is no run {run_id!r}")
        return _loaded(self.runs[run_id])

    @_transaction
    def load_some(self, run_ids: Collection[str]) -> list[LoadedRun]:
        return [_loaded(self.runs[run_id]) for run_id in sorted(run_ids) if run_id in self.runs]

    @_transaction
    def unapplied_of(self, partitions: Collection[int], limit: int = 1000) -> list[InboxRow]:
        rows = [
            row
            for partition in partitions
            for row in self.inbox[partition].values()
            if not self.is_aside(row.run_id)
        ]
        return sorted(rows, key=lambda row: row.inbox_id)[:limit]

    @_transaction
    def commit_all(self, batches: Sequence[PartitionBatch]) -> frozenset[int]:
        held = [_decoded(batch) for batch in batches if self.holds(batch.partition, batch.epoch)]
        begun = [run for batch in held for run in batch.begun]
        # Two that begin together may have the same key, too.
        keys, taken = dict(self.keys), set()
        for run in begun:
            key = (run.tenant, run.workflow, run.idempotency_key)
            if run.idempotency_key and keys.setdefault(key, run.run_id) != run.run_id:
                taken.add(run.run_id)
        if taken:
            raise KeysTaken(taken)
        for batch in held:
            self._check_history(batch)
        for batch in held:
            self._write(batch)
        return frozenset(batch.partition for batch in batches) - {batch.partition for batch in held}

    def _check_history(self, batch: PartitionBatch) -> None:
        seen: set[tuple[str, int]] = set()
        for event in batch.history:
            kept = self.runs.get(event.run_id)
            stored = (
                any(old.seq == event.seq for old in reversed(kept.history))
                if kept is not None and kept.history
                else False
            )
            if (kept is not None and stored and event.seq <= kept.history[-1].seq) or (
                event.run_id,
                event.seq,
            ) in seen:
                raise Conflict(f"an event is stored already: {event.run_id} {event.seq}")
            seen.add((event.run_id, event.seq))

    def _write(self, batch: PartitionBatch) -> None:
        for begun in batch.begun:
            self._begin(begun)
        for event in batch.history:
            self.runs[event.run_id].history.append(event)
        for row in batch.runs:
            kept = self.runs[row.run_id]
            kept.record = replace(kept.record, row=row)
            kept.open = True
        for run_id, paths in batch.dropped.items():
            for path in paths:
                self.runs[run_id].steps.pop(path, None)
                self.runs[run_id].blocks.pop(path, None)
        for run_id, steps in batch.steps.items():
            self.runs[run_id].steps.update((step.path, step) for step in steps)
        for run_id, digest, size in given_by(batch):
            self._grants.setdefault((self.runs[run_id].record.tenant, digest), size)
        for run_id, blocks in batch.blocks.items():
            self.runs[run_id].blocks.update((block.path, block) for block in blocks)
        for inbox_id in batch.applied_inbox:
            self.inbox[self._inbox_places.get(inbox_id, -1)].pop(inbox_id, None)
        self._mark(batch.published)
        for run in batch.new_runs:
            self._submit(run)
        self.tell_now(batch.messages)
        self._memos.update({(memo.tenant, memo.key): memo for memo in batch.memos})
        self._notices.add(batch.notices)
        self._datasets.add(batch.partition, batch.dataset_updates)
        self.permits.release(batch.released)
        for row in batch.set_aside:
            self.put_aside(row)

    def _mark(self, published: Mapping[str, int]) -> None:
        for run_id, seq in published.items():
            kept = self.runs[run_id]
            if kept.published_seq < seq:
                kept.published_seq = seq
                kept.open = kept.open and not (kept.ended and kept.record.row.seq <= seq)

    @_transaction
    def unpublished(self, partition: int, limit: int = 1000) -> list[history_pb2.HistoryEvent]:
        found = [
            event
            for _, kept in sorted(self.by_partition[partition].items())
            if kept.open
            for event in kept.history
            if event.seq > kept.published_seq
        ]
        return found[:limit]

    # --- what is set aside --------------------------------------------------------------------------------------

    @_transaction
    def put_aside(self, row: SetAside) -> None:
        self.aside[row.kind, row.tenant, row.name] = row

    @_transaction
    def list_set_aside(self, limit: int) -> list[SetAside]:
        found = sorted(self.aside.values(), key=lambda row: (-row.time_us, row.name))
        return found[:limit] if limit else found

    @_transaction
    def take_back(self, kind: str, tenant: str, name: str) -> bool:
        return self.aside.pop((kind, tenant, name), None) is not None

    def is_aside(self, run_id: str) -> bool:
        """Whether a run is set aside."""
        return ("run", "", run_id) in self.aside

    def has_ended(self, run_id: str) -> bool:
        """Whether there is such a run and it has ended."""
        return run_id in self.runs and self.runs[run_id].ended

    # --- grants
    # -------------------------------------------------------------------------------------------------

    @_transaction
    def grant(self, tenant: str, sizes: Mapping[str, int]) -> None:
        for digest, size in sizes.items():
            self._grants[tenant, digest] = self._grants.get((tenant, digest)) or size

    @_transaction
    def forget_artifact(self, digest: str) -> None:
        self._grants = {key: size for key, size in self._grants.items() if key[1] != digest}

    @_transaction
    def count_bytes(self, tenant: str) -> int:
        return sum(size for (owner, _), size in self._grants.items() if owner == tenant)

    @_transaction
    def grant_named(self) -> None:
        for kept in self.runs.values():
            named = digests(kept.record.params.values())
            for row in (*kept.steps.values(), *kept.blocks.values()):
                named |= outputs_of(row.data)
            for digest in named:
                self._grants.setdefault((kept.record.tenant, digest), 0)

    @_transaction
    def missing_grants(self, tenant: str, digests: Collection[str]) -> set[str]:
        return {digest for digest in digests if (tenant, digest) not in self._grants}

    # --- permits, memos, schedules, logs ------------------------------------------------------------------------

    @_transaction
    def set_permits(self, tenant: str, key: str, bound: int) -> PermitRecord:
        return self.permits.set_bound(tenant, key, bound)

    @_transaction
    def list_permits(
        self, tenant: str, after: str = "", limit: int | None = None
    ) -> list[PermitRecord]:
        return [each for each in self.permits.bounded(tenant) if each.key > after][:limit]

    @_transaction
    def take_permits(
        self, partition: int, epoch: int, wishes: Sequence[PermitWish], now_us: int
    ) -> list[PermitAnswer]:
        if not self.holds(partition, epoch):
            raise Fenced(partition, epoch)
        return self.permits.take(wishes, now_us)

    @_transaction
    def permit_holders(self, tenant: str, keys: Collection[str]) -> dict[str, Held]:
        return self.permits.holders_of(tenant, keys)

    @_transaction
    def standing(self, tenant: str, run_id: str, turn: Turn) -> Standing:
        return self.permits.standing(tenant, run_id, turn)

    @_transaction
    def put_tenant(self, tenant: TenantRecord) -> TenantRecord:
        return self._access.put_tenant(tenant)

    @_transaction
    def find_tenant(self, name: str) -> TenantRecord | None:
        return self._access.find_tenant(name)

    @_transaction
    def list_tenants(self, after: str = "", limit: int = 100) -> list[TenantRecord]:
        return self._access.list_tenants(after, limit)

    @_transaction
    def unknown_tenants(self) -> list[str]:
        return self._access.unknown({tenant for tenant, _ in self._current})

    @_transaction
    def add_token(self, token: TokenRecord) -> None:
        self._access.add_token(token)

    @_transaction
    def find_token(self, token_id: str) -> TokenRecord | None:
        return self._access.find_token(token_id)

    @_transaction
    def list_tokens(self, tenant: str, page_size: int = 100, page_token: str = "") -> TokenPage:
        return self._access.list_tokens(tenant, page_size, page_token)

    @_transaction
    def revoke_token(self, tenant: str, token_id: str, now_us: int) -> TokenRecord:
        return self._access.revoke_token(tenant, token_id, now_us)

    @_transaction
    def find_memo(self, tenant: str, key: str) -> Memo | None:
        return self._memos.get((tenant, key))

    @_transaction
    def take_notices(self, now_us: int, until_us: int, limit: int) -> list[DueNotice]:
        return self._notices.take(now_us, until_us, limit)

    @_transaction
    def next_notice_us(self) -> int | None:
        return self._notices.next_us()

    @_transaction
    def notice_delivered(self, notice: DueNotice) -> None:
        self._notices.delivered(notice)

    @_transaction
    def notice_failed(self, notice: DueNotice, error: str, due_us: int | None) -> None:
        self._notices.failed(notice, error, due_us)

    @_transaction
    def undelivered(self, limit: int) -> list[Undelivered]:
        return self._notices.undelivered(limit)

    @_transaction
    def remove_notices(self, before_us: int, limit: int) -> list[str]:
        return self._notices.remove_old(before_us, limit)

    @_transaction
    def open_versions(self, tenant: str) -> list[tuple[str, str]]:
        return sorted({(each.workflow, each.version) for each in self._open(tenant)})

    @_transaction
    def hearers(
        self,
        tenant: str,
        workflow: str,
        version: str,
        gates: Collection[str],
        around: Collection[str],
        limit: int,
    ) -> list[Hearer]:
        found = []
        for record in self._open(tenant):
            rows = self.runs[record.run_id].blocks
            over = all(path in rows and rows[path].status in t.TERMINAL for path in around)
            if (record.workflow, record.version) == (workflow, version) and not over:
                waits = any(
                    row.kind == "gate"
                    and row.status == t.WAITING
                    and path.rsplit("/", 1)[-1] in gates
                    for path, row in rows.items()
                )
                found.append(Hearer(run_id=record.run_id, params=record.params, waits=waits))
        return found[:limit]

    def _open(self, tenant: str) -> list[RunRecord]:
        records = [kept.as_record() for kept in self.runs.values()]
        mine = [each for each in records if each.tenant == tenant]
        found = [each for each in mine if each.row.status not in t.TERMINAL]
        return sorted(found, key=lambda each: (each.create_us, each.run_id))

    @_transaction
    def find_signal(self, tenant: str, key: str) -> SentSignal | None:
        return self._signals.get((tenant, key))

    @_transaction
    def send_signal(
        self,
        signal: SentSignal,
        commands: Sequence[command_pb2.RunCommand],
        waiting: Collection[str],
    ) -> tuple[SentSignal, Sequence[int] | None]:
        key = signal.tenant, signal.key
        if key in self._signals:
            return self._signals[key], None
        is_open = {each.run_id for each in self._open(signal.tenant)}
        reached = [each for each in commands if each.run_id in is_open]
        for command in reached:
            self._enqueue(self.runs[command.run_id], _copy(command), signal.time_us)
        told = {each.run_id for each in reached}
        kept = replace(signal, runs=len(told), waiting=len(told & set(waiting)))
        self._signals[key] = kept
        return kept, sorted({self.runs[run_id].record.partition for run_id in told})

    @_transaction
    def remove_signals(self, before_us: int, limit: int) -> list[str]:
        old = [key for key, each in self._signals.items() if each.time_us < before_us][:limit]
        for key in old:
            del self._signals[key]
        return [key for _, key in old]

    @_transaction
    def record_dataset_update(
        self, partition: int, update: DatasetUpdate
    ) -> tuple[KeptUpdate, bool]:
        return self._datasets.record(partition, update)

    @_transaction
    def dataset_updates_since(
        self, tenant: str, dataset: str, since_us: int, positions: Mapping[int, int], limit: int
    ) -> list[KeptUpdate]:
        return self._datasets.since(tenant, dataset, since_us, positions, limit)

    @_transaction
    def list_datasets(self, tenant: str, after: str, limit: int) -> list[DatasetRecord]:
        return self._datasets.list(tenant, after, limit)

    @_transaction
    def find_dataset(self, tenant: str, name: str) -> DatasetRecord | None:
        found = [each for each in self._datasets.list(tenant, "", 10**9) if each.name == name]
        return found[0] if found else None

    @_transaction
    def dataset_producers(self, tenant: str, name: str, limit: int) -> Sequence[KeptUpdate]:
        return self._datasets.producers(tenant, name, limit)

    @_transaction
    def list_dataset_updates(
        self, tenant: str, name: str, part: str | None, before_id: int, limit: int
    ) -> list[KeptUpdate]:
        return list(self._datasets.newest_first(tenant, name, part, before_id, limit))

    @_transaction
    def remove_dataset_updates(self, before_us: int, limit: int) -> list[str]:
        return list(self._datasets.remove_old(before_us, limit))

    @_transaction
    def trim_dataset_updates(self, most: int, limit: int) -> list[str]:
        return list(self._datasets.trim(most, limit))

    @_transaction
    def put_schedule(self, schedule: ScheduleRecord) -> tuple[ScheduleRecord, bool]:
        return self._schedules.put(schedule)

    @_transaction
    def get_schedule(self, tenant: str, name: str) -> ScheduleRecord:
        return self._schedules.get(tenant, name)

    @_transaction
    def list_schedules(
        self, tenant: str, after: str = "", limit: int | None = None
    ) -> list[ScheduleRecord]:
        return [each for each in self._schedules.of_tenant(tenant) if each.name > after][:limit]

    @_transaction
    def delete_schedule(self, tenant: str, name: str) -> None:
        self._schedules.remove(tenant, name)
        self.aside.pop(("schedule", tenant, name), None)

    @_transaction
    def due_schedules(
        self, partitions: Collection[int], now_us: int, limit: int = 100
    ) -> list[ScheduleRecord]:
        return self._schedules.due(partitions, now_us, limit)

    @_transaction
    def advance_schedule(
        self, epoch: int, step: ScheduleStep
    ) -> list[tuple[RunRecord, bool] | Conflict] | None:
        if not self.holds(step.schedule.partition, epoch):
            raise Fenced(step.schedule.partition, epoch)
        if not self._schedules.advance(step):
            return None
        answers = [self._submit(run) for run in step.runs]
        made = {each[0].run_id for each in answers if isinstance(each, tuple) and each[1]}
        self._datasets.note_runs(run for run in step.runs if run.run_id in made)
        self.tell_now(step.messages)
        return answers

    @_transaction
    def archive_logs(self, records: Sequence[log_pb2.LogLines]) -> frozenset[str]:
        return self._logs.archive(records)

    @_transaction
    def read_logs(
        self, run_id: str, path: str = "", after_chunk: int = 0, limit: int = 100
    ) -> list[LogChunk]:
        return self._logs.read(run_id, path, after_chunk, limit)

    @_transaction
    def remove_runs(self, before_us: int, limit: int) -> list[str]:
        kept = [each for each in self.runs.values() if self._is_removable(each, before_us)]
        found = [
            each.record for each in sorted(kept, key=lambda each: each.record.row.end_us)[:limit]
        ]
        for record in found:
            self.snapshots.pop(record.run_id, None)
            del self.runs[record.run_id], self.by_partition[record.partition][record.run_id]
            self.keys = {
                key: run_id for key, run_id in self.keys.items() if run_id != record.run_id
            }
        gone = {record.run_id for record in found}
        self._logs.remove(gone)
        self._memos = {key: memo for key, memo in self._memos.items() if memo.run_id not in gone}
        return [record.run_id for record in found]

    def _is_removable(self, kept: Kept, before_us: int) -> bool:
        record = kept.record
        waits = any(row.run_id == record.run_id for row in self.inbox[record.partition].values())
        forked = any(other.record.fork_run_id == record.run_id for other in self.runs.values())
        ended = 0 < record.row.end_us < before_us and not kept.open
        return ended and not (waits or forked or record.parent_run_id in self.runs)

    @_transaction
    def remove_logs(self, before_us: int, limit: int) -> list[str]:
        ended = [
            run_id
            for run_id in self._logs.runs()
            if run_id in self.runs and 0 < self.runs[run_id].record.row.end_us < before_us
        ][:limit]
        self._logs.remove(set(ended))
        return ended

    @_transaction
    def remove_memos(self, before_us: int, limit: int) -> list[str]:
        found = [key for key, memo in self._memos.items() if memo.time_us < before_us][:limit]
        for key in found:
            del self._memos[key]
        return [key for _, key in found]

    @_transaction
    def references(self, superseded_us: int) -> References:
        digests: set[str] = set()
        values: set[str] = set()
        for kept in self.runs.values():
            reference_sql.note(
                repr((kept.record, kept.steps, kept.blocks)).encode(), digests, values
            )
            for event in kept.history:
                reference_sql.note(event.SerializeToString(), digests, values)
        waiting = [
            row.command.SerializeToString() for rows in self.inbox.values() for row in rows.values()
        ]
        named = [*self._datasets.serialized(), *self._schedules.serialized(), *waiting]
        for data in (repr(self._memos).encode(), *named):
            reference_sql.note(data, digests, values)
        versions = [
            reference_sql.Version(
                name=(each.tenant, each.name),
                version=each.version,
                data=each.definition.SerializeToString(),
                create_us=each.create_us,
            )
            for each in sorted(self._workflows.values(), key=lambda each: -each.create_us)
        ]
        current = {(*name, version) for name, version in self._current.items()}
        reference_sql.add_versions(versions, current, superseded_us, digests, values)
        return References(digests=frozenset(digests), values=frozenset(values))

    # --- life ---------------------------------------------------------------------------------------------------

    def check(self) -> None:
        """It always answers."""

    def close(self) -> None:
        """Nothing is open."""


def _copy(message: Any) -> Any:
    own = type(message)()
    own.CopyFrom(message)
    return own


def _decoded(batch: PartitionBatch) -> PartitionBatch:
    decoded = [
        history_pb2.HistoryEvent.FromString(event.data)
        if isinstance(event, EncodedEvent)
        else event
        for event in batch.history
    ]
    return replace(batch, history=decoded)


def _by_position(rows: Mapping[str, Any]) -> list[Any]:
    return sorted(rows.values(), key=lambda row: row.position)


def _payload(run: NewRun) -> str:
    fork = (
        [run.fork_run_id, run.fork_seq, list(run.fork_reset), run.fork_failed]
        if run.fork_run_id
        else []
    )
    targets = [list(run.only), list(run.until)]
    return canonical.dumps([run.workflow, run.version, dict(run.params), fork, targets])


def _near(run_ids: list[str], run_id: str) -> list[str]:
    alike = [each for each in sorted(run_ids) if len(run_id) >= 5 and each.startswith(run_id[:5])]
    near = max(alike, key=lambda each: common_length(each, run_id), default="")
    return [near] if near else []


def _place(token: str) -> tuple[int, str]:
    time, separator, run_id = token.partition(":")
    if not separator or not time.isdigit():
        raise InvalidValue(
            f"page token {token[:80]!r}: use the next_page_token of an answer as it is"
        )
    return int(time), run_id


def _has_label(record: RunRecord, name: str, value: str) -> bool:
    return name in record.labels and value in ("", record.labels[name])


def _fresh(run: NewRun) -> RunRecord:
    row = RunRow(
        run_id=run.run_id,
        status=t.PENDING,
        seq=0,
        start_us=0,
        end_us=0,
        error="",
        cancel_requested=False,
        steps_total=0,
        steps_succeeded=0,
        priority=run.priority,
    )
    return RunRecord(
        tenant=run.tenant,
        workflow=run.workflow,
        version=run.version,
        partition=run.partition,
        params=dict(run.params),
        submitter=run.submitter,
        create_us=run.now_us,
        row=row,
        published_seq=0,
        parent_run_id=run.parent_run_id,
        parent_path=run.parent_path,
        depth=run.depth,
        fork_run_id=run.fork_run_id,
        fork_seq=run.fork_seq,
        origin=run.origin,
        labels=dict(run.labels),
    )


def _loaded(kept: Kept) -> LoadedRun:
    fields = {name: getattr(kept.record, name) for name in RunRecord.__dataclass_fields__}
    fields["published_seq"] = kept.published_seq
    return LoadedRun(**fields, steps=_by_position(kept.steps), blocks=_by_position(kept.blocks))
