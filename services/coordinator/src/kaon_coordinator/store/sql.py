"""The store on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager

from sqlalchemy import Connection, text

from kaon_coordinator.engine.rows.cell_counts import counted
from kaon_coordinator.engine.rows.rows import BlockRow, StepRow
from kaon_coordinator.store import (
    access_sql,
    aside_sql,
    dataset_sql,
    grant_sql,
    memo_sql,
    notice_sql,
    partition_sql,
    permit_sql,
    reference_sql,
    retention_sql,
    run_sql,
    schedule_sql,
    signal_sql,
    snapshot_sql,
    strategy_sql,
    usage_sql,
    workflow_sql,
)
from kaon_coordinator.store.base import ALL_RUNS, Fenced, RunSelection, Store
from kaon_coordinator.store.kept_connection import KeptConnection
from kaon_coordinator.store.log_bounds import LogBounds
from kaon_coordinator.store.log_sql import LogArchive
from kaon_coordinator.store.migrate import MIGRATIONS
from kaon_coordinator.store.owed import Owed
from kaon_coordinator.store.records import (
    DatasetRecord,
    DatasetUpdate,
    DueNotice,
    Hearer,
    Held,
    InboxRow,
    KeptUpdate,
    LoadedRun,
    LogChunk,
    Memo,
    NewRun,
    PartitionBatch,
    PermitAnswer,
    PermitRecord,
    PermitWish,
    References,
    RunPage,
    RunRecord,
    ScheduleRecord,
    ScheduleStep,
    SentSignal,
    SetAside,
    Snapshot,
    TenantRecord,
    TokenPage,
    TokenRecord,
    Undelivered,
    WorkflowRecord,
)
from kaon_coordinator.store.strategies import Standing, Turn
from kaon_coordinator.store.submission_sql import Submissions
from kaon_service.databases import Database, Durability, open_database, refusals
from kaon_wire.errors import Conflict
from kaonapi.log.v1 import log_pb2
from kaonapi.run.v1 import command_pb2, history_pb2
from kaonapi.workflow.v1 import definition_pb2


def open_store(
    url: str, *, durability: Durability = Durability.FULL, log_bounds: LogBounds | None = None
) -> Store:
    """Open a database and migrate its tables.

    The URL is `sqlite:///FILE` (created if missing, in an existing directory) or `postgresql+psycopg://...`
    (the database must exist).

    Raises:
        InvalidValue: The URL names neither.
        Unavailable: The database does not answer.
        Conflict: The database belongs to a newer version of Kaon.
    """
    database = open_database(url, durability)
    try:
        with refusals("migrate"):
            MIGRATIONS.apply(database)
        return SqlStore(database, log_bounds or LogBounds())
    except BaseException:
        database.close()
        raise


class SqlStore(Store):
    """The store on SQL: every method is one transaction around a function of the module for its subject.

    `Store` documents the methods.
    """

    def __init__(self, database: Database, log_bounds: LogBounds) -> None:
        self._database = database
        self._kept = KeptConnection(database)
        self._submissions = Submissions(database)
        self._aside = aside_sql.Aside(database)
        self._grants = grant_sql.Grants(database)
        owed = Owed(database, self._submissions)
        self._datasets = dataset_sql.DatasetUpdates(database)
        self._commits = partition_sql.Commits(database, owed, self._aside, self._grants)
        self._signals = signal_sql.Signals(database, self._submissions)
        self._permits = permit_sql.Permits(database, self._submissions)
        self._logs = LogArchive(database, log_bounds)

    def put_workflow(
        self,
        tenant: str,
        definition: definition_pb2.WorkflowDefinition,
        version: str,
        now_us: int,
        *,
        aside: bool = False,
    ) -> tuple[WorkflowRecord, bool]:
        """Store a definition and make it the current version of its name, unless it is put aside."""
        record = WorkflowRecord(
            tenant=tenant,
            name=definition.name,
            version=version,
            definition=definition,
            create_us=now_us,
        )
        with self._writing("put_workflow") as connection:
            created = workflow_sql.put(self._database, connection, record, aside=aside)
            return (
                record if created else workflow_sql.get(connection, tenant, record.name, version)
            ), created

    def get_workflow(self, tenant: str, name: str, version: str = "") -> WorkflowRecord:
        """Return one version, or the current one."""
        with self._reading("get_workflow") as connection:
            return workflow_sql.get(connection, tenant, name, version)

    def list_workflows(
        self, tenant: str, after: str = "", limit: int | None = None
    ) -> list[WorkflowRecord]:
        """Return the current version of every workflow of the tenant, by name."""
        with self._reading("list_workflows") as connection:
            return workflow_sql.of_tenant(connection, tenant, after, limit)

    def submit_runs(self, runs: Sequence[NewRun]) -> list[tuple[RunRecord, bool] | Conflict]:
        """Store runs with their start commands in one transaction, and answer each in its place."""
        with self._writing("submit_runs") as connection:
            return self._submissions.submit(connection, runs)

    def add_command(
        self, tenant: str, run_id: str, command: command_pb2.RunCommand, now_us: int
    ) -> RunRecord:
        """Store a command for the run's owner."""
        with self._writing("add_command") as connection:
            return self._submissions.add_command(connection, tenant, run_id, command, now_us)

    def waiting_commands(self, partition: int, run_id: str) -> list[command_pb2.RunCommand]:
        """Return the commands for one run of a partition that no batch has named as applied, oldest first."""
        with self._reading("waiting_commands") as connection:
            return run_sql.waiting_commands(connection, partition, run_id)

    def get_run(self, tenant: str, run_id: str) -> RunRecord:
        """Return one run."""
        with self._reading("get_run") as connection:
            return run_sql.get_run(connection, tenant, run_id)

    def list_runs(
        self,
        tenant: str,
        which: RunSelection = ALL_RUNS,
        *,
        page_size: int = 50,
        page_token: str = "",
    ) -> RunPage:
        """Return a page of the tenant's runs, newest first."""
        with self._reading("list_runs") as connection:
            return run_sql.list_runs(connection, tenant, which, page_size, page_token)

    def list_steps(self, run_id: str, after: int = -1, limit: int | None = None) -> list[StepRow]:
        """Return the steps of a run in order of creation."""
        with self._reading("list_steps") as connection:
            return run_sql.list_steps(connection, run_id, after, limit)

    def list_blocks(self, run_id: str, after: int = -1, limit: int | None = None) -> list[BlockRow]:
        """Return the blocks and cells of a run in order of creation."""
        with self._reading("list_blocks") as connection:
            return run_sql.list_blocks(connection, run_id, after, limit)

    def cell_counts(
        self, run_id: str, blocks: Collection[str], after: int = -1
    ) -> Mapping[str, Mapping[int, int]]:
        """Return how many cells blocks have in each status."""
        with self._reading("cell_counts") as connection:
            return counted(run_sql.cells(connection, run_id, after), blocks)

    def find_row(self, run_id: str, path: str) -> StepRow | BlockRow | None:
        """Return the step, block or cell of a run at a path."""
        with self._reading("find_row") as connection:
            return run_sql.find_row(connection, run_id, path)

    def history(
        self, run_id: str, after_seq: int = 0, limit: int = 1000
    ) -> list[history_pb2.HistoryEvent]:
        """Return at most `limit` events of a run with a seq above `after_seq`, in order."""
        with self._reading("history") as connection:
            return run_sql.events(connection, run_id, after_seq, limit)

    def read_snapshot(self, run_id: str) -> Snapshot | None:
        """Return the current state of a run, or None when it changed during the read."""
        with self._reading("read_snapshot") as connection:
            return snapshot_sql.read(connection, run_id)

    def put_snapshot(self, snapshot: Snapshot) -> None:
        """Store a snapshot of a run, unless it exists already or the run is gone."""
        with self._writing("put_snapshot") as connection:
            snapshot_sql.put(self._database, connection, snapshot)

    def find_snapshot(self, run_id: str, seq: int) -> Snapshot | None:
        """Return the newest snapshot after event `seq` or before; None when there is none."""
        with self._reading("find_snapshot") as connection:
            return snapshot_sql.find(connection, run_id, seq)

    def snapshot_seqs(self, run_id: str) -> list[int]:
        """Return the event numbers of the run's snapshots, in order."""
        with self._reading("snapshot_seqs") as connection:
            return snapshot_sql.seqs(connection, run_id)

    def claim_partition(self, partition: int, owner: str) -> int:
        """Make the caller the owner and return its epoch, higher than any before."""
        with self._writing("claim_partition") as connection:
            return partition_sql.claim_partition(self._database, connection, partition, owner)

    def partition_epochs(self, partitions: Collection[int]) -> dict[int, int]:
        """Return the newest epoch of each of the partitions that was ever claimed."""
        with self._reading("partition_epochs") as connection:
            return partition_sql.partition_epochs(connection, partitions)

    def claim_pool(self, pool: str, owner: str) -> int:
        """Raise the pool's epoch and return it, higher than any before."""
        with self._writing("claim_pool") as connection:
            return partition_sql.claim_pool(self._database, connection, pool, owner)

    def pool_owner(self, pool: str) -> str:
        """Return the last owner of the pool as passed to `claim_pool`; empty when there was none."""
        with self._reading("pool_owner") as connection:
            return partition_sql.pool_owner(connection, pool)

    def load_runs(self, partition: int) -> list[LoadedRun]:
        """Return every run of the partition that has not ended and is not set aside."""
        with self._reading("load_runs") as connection:
            return partition_sql.load_runs(connection, partition)

    def load_run(self, run_id: str) -> LoadedRun:
        """Return one run, ended or not."""
        with self._reading("load_run") as connection:
            return partition_sql.load_run(connection, run_id)

    def load_some(self, run_ids: Collection[str]) -> list[LoadedRun]:
        """Return those of the runs that exist, ended or not, in no particular order."""
        with self._reading("load_some") as connection:
            return partition_sql.load_some(connection, run_ids)

    def unapplied_of(self, partitions: Collection[int], limit: int = 1000) -> list[InboxRow]:
        """Return at most `limit` commands of the partitions that no batch has named as applied, oldest first."""
        with self._reading("unapplied_of") as connection:
            return partition_sql.unapplied_of(connection, partitions, limit)

    def commit_all(self, batches: Sequence[PartitionBatch]) -> frozenset[int]:
        """Apply batches of different partitions in one transaction."""
        with self._writing("commit_all") as connection:
            return self._commits.write(connection, batches)

    def unpublished(self, partition: int, limit: int = 1000) -> list[history_pb2.HistoryEvent]:
        """Return at most `limit` events past their runs' published marks, each run's in order of seq."""
        with self._reading("unpublished") as connection:
            return partition_sql.unpublished(connection, partition, limit)

    def put_aside(self, row: SetAside) -> None:
        """Set something aside; the newest reason counts."""
        with self._writing("put_aside") as connection:
            self._aside.put(connection, [row])

    def list_set_aside(self, limit: int) -> list[SetAside]:
        """Return what is set aside, the newest first, at most `limit`; all of it when that is 0."""
        with self._reading("list_set_aside") as connection:
            return aside_sql.listed(connection, limit)

    def take_back(self, kind: str, tenant: str, name: str) -> bool:
        """Return something to its owner; return False when it was not set aside."""
        with self._writing("take_back") as connection:
            return aside_sql.take_back(connection, kind, tenant, name)

    def set_permits(self, tenant: str, key: str, bound: int) -> PermitRecord:
        """Set the bound of a key, 0 meaning no bound. Present holders keep their permits."""
        with self._writing("set_permits") as connection:
            return permit_sql.set_bound(self._database, connection, tenant, key, bound)

    def list_permits(
        self, tenant: str, after: str = "", limit: int | None = None
    ) -> list[PermitRecord]:
        """Return the tenant's keys that have a bound, by key."""
        with self._reading("list_permits") as connection:
            return permit_sql.bounded(connection, tenant, after, limit)

    def take_permits(
        self, partition: int, epoch: int, wishes: Sequence[PermitWish], now_us: int
    ) -> list[PermitAnswer]:
        """Take the permits of each wish, all or none of them, in this order; tell for each wish whether it holds them."""
        with self._writing("take_permits") as connection:
            self._fence(connection, partition, epoch)
            return self._permits.take(connection, wishes, now_us)

    def permit_holders(self, tenant: str, keys: Collection[str]) -> dict[str, Held]:
        """Return the holders of some keys, by key and in order."""
        with self._reading("permit_holders") as connection:
            return permit_sql.holders_of(connection, tenant, keys)

    def standing(self, tenant: str, run_id: str, turn: Turn) -> Standing:
        """Return what its workflow's strategy says about a run that has not begun."""
        with self._reading("standing") as connection:
            return strategy_sql.standing_of(connection, tenant, run_id, turn)

    def find_memo(self, tenant: str, key: str) -> Memo | None:
        """Return the newest memo under a key."""
        with self._reading("find_memo") as connection:
            return memo_sql.find(connection, tenant, key)

    def take_notices(self, now_us: int, until_us: int, limit: int) -> list[DueNotice]:
        """Take the notices that are due, oldest first."""
        with self._writing("take_notices") as connection:
            return notice_sql.take(connection, now_us, until_us, limit)

    def next_notice_us(self) -> int | None:
        """Return when the next notice is due; None when none waits."""
        with self._reading("next_notice_us") as connection:
            return notice_sql.next_us(connection)

    def notice_delivered(self, notice: DueNotice) -> None:
        """Delete a notice that its channel has accepted."""
        with self._writing("notice_delivered") as connection:
            notice_sql.remove(connection, notice)

    def notice_failed(self, notice: DueNotice, error: str, due_us: int | None) -> None:
        """Note a failed delivery, and when the next one is due; None gives the notice up."""
        with self._writing("notice_failed") as connection:
            notice_sql.put_off(connection, notice, error, due_us)

    def undelivered(self, limit: int) -> list[Undelivered]:
        """Return what channels have not accepted, by tenant and channel."""
        with self._reading("undelivered") as connection:
            return notice_sql.undelivered(connection, limit)

    def remove_notices(self, before_us: int, limit: int) -> list[str]:
        """Delete notices that were given up, and return their runs."""
        with self._writing("remove_notices") as connection:
            return notice_sql.remove_old(connection, before_us, limit)

    def record_dataset_update(
        self, partition: int, update: DatasetUpdate
    ) -> tuple[KeptUpdate, bool]:
        """Store what somebody told of a dataset, once for each key."""
        with self._writing("record_dataset_update") as connection:
            return self._datasets.record(connection, partition, update)

    def dataset_updates_since(
        self, tenant: str, dataset: str, since_us: int, positions: Mapping[int, int], limit: int
    ) -> list[KeptUpdate]:
        """Return the updates of a dataset that are not known yet, in the order of their ids."""
        with self._reading("dataset_updates_since") as connection:
            return dataset_sql.since(connection, tenant, dataset, since_us, positions, limit)

    def list_datasets(self, tenant: str, after: str, limit: int) -> list[DatasetRecord]:
        """Return the tenant's datasets, by name."""
        with self._reading("list_datasets") as connection:
            return dataset_sql.of_tenant(connection, tenant, after, limit)

    def find_dataset(self, tenant: str, name: str) -> DatasetRecord | None:
        """Return one dataset; None when no update of it is kept."""
        with self._reading("find_dataset") as connection:
            return next(iter(dataset_sql.of_tenant(connection, tenant, name=name)), None)

    def dataset_producers(self, tenant: str, name: str, limit: int) -> Sequence[KeptUpdate]:
        """Return the newest update of each step that has updated a dataset."""
        with self._reading("dataset_producers") as connection:
            return dataset_sql.producers(connection, tenant, name, limit)

    def list_dataset_updates(
        self, tenant: str, name: str, part: str | None, before_id: int, limit: int
    ) -> list[KeptUpdate]:
        """Return the updates of a dataset before one, the newest first."""
        with self._reading("list_dataset_updates") as connection:
            return dataset_sql.newest_first(connection, tenant, name, part, before_id, limit)

    def remove_dataset_updates(self, before_us: int, limit: int) -> list[str]:
        """Delete updates of datasets from before a time, and return their datasets."""
        with self._writing("remove_dataset_updates") as connection:
            return dataset_sql.remove_old(connection, before_us, limit)

    def trim_dataset_updates(self, most: int, limit: int) -> list[str]:
        """Delete the oldest updates of a tenant that has too many, and return their datasets."""
        with self._writing("trim_dataset_updates") as connection:
            return dataset_sql.trim(connection, most, limit)

    def open_versions(self, tenant: str) -> list[tuple[str, str]]:
        """Return the workflows and versions of the tenant's runs that have not ended."""
        with self._reading("open_versions") as connection:
            return signal_sql.open_versions(connection, tenant)

    def hearers(
        self,
        tenant: str,
        workflow: str,
        version: str,
        gates: Collection[str],
        around: Collection[str],
        limit: int,
    ) -> list[Hearer]:
        """Return runs of a version that have not ended and that may hear a signal, oldest first."""
        with self._reading("hearers") as connection:
            return signal_sql.hearers(connection, tenant, workflow, version, gates, around, limit)

    def find_signal(self, tenant: str, key: str) -> SentSignal | None:
        """Return the signal that was sent under an idempotency key."""
        with self._reading("find_signal") as connection:
            return signal_sql.find(connection, tenant, key)

    def send_signal(
        self,
        signal: SentSignal,
        commands: Sequence[command_pb2.RunCommand],
        waiting: Collection[str],
    ) -> tuple[SentSignal, Sequence[int] | None]:
        """Store a signal together with a command for each run that it reaches."""
        with self._writing("send_signal") as connection:
            return self._signals.send(connection, signal, commands, waiting)

    def remove_signals(self, before_us: int, limit: int) -> list[str]:
        """Delete signals from before a time, and return their keys."""
        with self._writing("remove_signals") as connection:
            return signal_sql.remove_old(connection, before_us, limit)

    def put_schedule(self, schedule: ScheduleRecord) -> tuple[ScheduleRecord, bool]:
        """Store a schedule or replace the one of its name, and return it with True when it is new."""
        with self._writing("put_schedule") as connection:
            return schedule_sql.put(self._database, connection, schedule)

    def get_schedule(self, tenant: str, name: str) -> ScheduleRecord:
        """Return one schedule."""
        with self._reading("get_schedule") as connection:
            return schedule_sql.get(connection, tenant, name)

    def list_schedules(
        self, tenant: str, after: str = "", limit: int | None = None
    ) -> list[ScheduleRecord]:
        """Return the tenant's schedules, by name."""
        with self._reading("list_schedules") as connection:
            return schedule_sql.of_tenant(connection, tenant, after, limit)

    def delete_schedule(self, tenant: str, name: str) -> None:
        """Delete a schedule; its runs stay."""
        with self._writing("delete_schedule") as connection:
            schedule_sql.remove(connection, tenant, name)

    def due_schedules(
        self, partitions: Collection[int], now_us: int, limit: int = 100
    ) -> list[ScheduleRecord]:
        """Return the schedules of these partitions whose `next_us` has passed, in its order."""
        with self._reading("due_schedules") as connection:
            return schedule_sql.due(connection, partitions, now_us, limit)

    def advance_schedule(
        self, epoch: int, step: ScheduleStep
    ) -> list[tuple[RunRecord, bool] | Conflict] | None:
        """Write the decision about a schedule: its runs (answered as `submit_runs` does), messages and state."""
        with self._writing("advance_schedule") as connection:
            self._fence(connection, step.schedule.partition, epoch)
            return schedule_sql.advance(connection, self._submissions, step)

    def ended_runs(
        self, tenant: str, workflow: str, since_us: int, limit: int = 1000
    ) -> list[RunRecord]:
        """Return the runs of a workflow that ended at or after a time, in order of their ends."""
        with self._reading("ended_runs") as connection:
            return run_sql.ended_runs(connection, tenant, workflow, since_us, limit)

    def succeeded_run(
        self, tenant: str, workflow: str, params: Mapping[str, str], since_us: int
    ) -> RunRecord | None:
        """Return the run of a workflow with these parameters that has succeeded last, at or after a time."""
        with self._reading("succeeded_run") as connection:
            return run_sql.succeeded_run(connection, tenant, workflow, params, since_us)

    def archive_logs(self, records: Sequence[log_pb2.LogLines]) -> frozenset[str]:
        """Archive lines of steps and return the ids of the runs with new lines."""
        with self._writing("archive_logs") as connection:
            return self._logs.archive(connection, records)

    def read_logs(
        self, run_id: str, path: str = "", after_chunk: int = 0, limit: int = 100
    ) -> list[LogChunk]:
        """Return the lines of the steps at or under `path` (empty: of all), in order of arrival, after the given chunk."""
        with self._reading("read_logs") as connection:
            return self._logs.read(connection, run_id, path, after_chunk, limit)

    def remove_runs(self, before_us: int, limit: int) -> list[str]:
        """Delete up to `limit` runs that ended before a time, with all their data, and return their ids."""
        with self._writing("remove_runs") as connection:
            return retention_sql.remove_runs(connection, before_us, limit)

    def remove_logs(self, before_us: int, limit: int) -> list[str]:
        """Delete the archived lines of up to `limit` runs that ended before a time, and return the runs' ids."""
        with self._writing("remove_logs") as connection:
            return retention_sql.remove_logs(connection, before_us, limit)

    def remove_memos(self, before_us: int, limit: int) -> list[str]:
        """Delete up to `limit` memos from before a time, and return their keys."""
        with self._writing("remove_memos") as connection:
            return retention_sql.remove_memos(connection, before_us, limit)

    def references(self, superseded_us: int) -> References:
        """Return the artifacts and code bundles that any row names."""
        return reference_sql.collect(
            lambda: self._reading("references"),
            superseded_us,
            names=reference_sql.named(self._database),
        )

    def grant(self, tenant: str, sizes: Mapping[str, int]) -> None:
        """Grant artifacts to a tenant."""
        with self._writing("grant") as connection:
            self._grants.give(connection, tenant, sizes)

    def forget_artifact(self, digest: str) -> None:
        """Take an artifact from all tenants."""
        with self._writing("forget_artifact") as connection:
            grant_sql.forget(connection, digest)

    def count_bytes(self, tenant: str) -> int:
        """Return how many bytes the tenant's artifacts and code bundles have."""
        with self._reading("count_bytes") as connection:
            return grant_sql.bytes_of(connection, tenant)

    def grant_named(self) -> None:
        """Grant what the rows of each tenant name."""
        with self._writing("grant_named") as connection:
            grant_sql.give_named(self._database, connection)

    def missing_grants(self, tenant: str, digests: Collection[str]) -> set[str]:
        """Return those of the digests that a tenant is not granted."""
        with self._reading("missing_grants") as connection:
            return grant_sql.missing(connection, tenant, digests)

    def put_tenant(self, tenant: TenantRecord) -> TenantRecord:
        """Store a tenant or change the one of its name, which keeps when and by whom it was made."""
        with self._writing("put_tenant") as connection:
            return access_sql.put_tenant(self._database, connection, tenant)

    def find_tenant(self, name: str) -> TenantRecord | None:
        """Return a tenant, also a disabled one; None when there is none."""
        with self._reading("find_tenant") as connection:
            return access_sql.find_tenant(connection, name)

    def list_tenants(self, after: str = "", limit: int = 100) -> list[TenantRecord]:
        """Return at most `limit` tenants whose names come after one, by name."""
        with self._reading("list_tenants") as connection:
            return access_sql.list_tenants(connection, after, limit)

    def unknown_tenants(self) -> list[str]:
        """Return the names under which workflows are registered, and of which there is no tenant, in order."""
        with self._reading("unknown_tenants") as connection:
            return access_sql.unknown_tenants(connection)

    def add_token(self, token: TokenRecord) -> None:
        """Store a new token."""
        with self._writing("add_token") as connection:
            access_sql.add_token(self._database, connection, token)

    def find_token(self, token_id: str) -> TokenRecord | None:
        """Return a token, also one that has expired or was revoked; None when there is none."""
        with self._reading("find_token") as connection:
            return access_sql.find_token(connection, token_id)

    def list_tokens(self, tenant: str, page_size: int = 100, page_token: str = "") -> TokenPage:
        """Return some of a tenant's tokens, newest first."""
        with self._reading("list_tokens") as connection:
            return access_sql.list_tokens(connection, tenant, page_size, page_token)

    def revoke_token(self, tenant: str, token_id: str, now_us: int) -> TokenRecord:
        """End a token and return it. The first time of its end stays."""
        with self._writing("revoke_token") as connection:
            return access_sql.revoke_token(connection, tenant, token_id, now_us)

    def count_open_runs(self, tenant: str, most: int) -> int:
        """Return the number of the tenant's runs that have not ended; counting stops at `most`."""
        with self._reading("count_open_runs") as connection:
            return usage_sql.count_open_runs(connection, tenant, most)

    def count_workflows(self, tenant: str) -> int:
        """Return the number of the tenant's workflow names."""
        with self._reading("count_workflows") as connection:
            return usage_sql.count_workflows(connection, tenant)

    def count_versions(self, tenant: str, workflow: str) -> int:
        """Return the number of versions of a workflow."""
        with self._reading("count_versions") as connection:
            return usage_sql.count_versions(connection, tenant, workflow)

    def count_schedules(self, tenant: str) -> int:
        """Return the number of the tenant's schedules."""
        with self._reading("count_schedules") as connection:
            return usage_sql.count_schedules(connection, tenant)

    def is_key_used(self, tenant: str, workflow: str, idempotency_key: str) -> bool:
        """Return whether a run of this idempotency key was submitted."""
        with self._reading("is_key_used") as connection:
            return usage_sql.is_key_used(connection, tenant, workflow, idempotency_key)

    def check(self) -> None:
        """Return when the database answers."""
        with self._reading("check") as connection:
            connection.execute(text("SELECT 1"))

    def close(self) -> None:
        """Close all connections. No call may follow."""
        self._kept.close()
        self._database.close()

    def _fence(self, connection: Connection, partition: int, epoch: int) -> None:
        if not self._commits.holds(connection, partition, epoch):
            raise Fenced(partition, epoch)

    def _writing(self, what: str) -> AbstractContextManager[Connection]:
        return transaction(self._kept.begin(), what)

    def _reading(self, what: str) -> AbstractContextManager[Connection]:
        return transaction(self._database.reader.begin(), what)


@contextmanager
def transaction(begun: AbstractContextManager[Connection], what: str) -> Iterator[Connection]:
    """One transaction; what the database refuses for the moment is `Unavailable`."""
    with refusals(what), begun as connection:
        yield connection
