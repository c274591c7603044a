"""The tables. `migrations/` creates them; a test keeps the two equal."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)

__all__ = [
    "blocks",
    "dataset_runs",
    "dataset_updates",
    "history",
    "inbox",
    "log_chunks",
    "log_leases",
    "memos",
    "metadata",
    "notices",
    "partitions",
    "permit_holds",
    "permit_waits",
    "permits",
    "pools",
    "run_labels",
    "runs",
    "schedules",
    "sent_signals",
    "set_aside",
    "snapshots",
    "steps",
    "tenants",
    "tokens",
    "workflow_names",
    "workflows",
]

# SQLite assigns ascending ids only in a column that is declared INTEGER.
_ROW_ID = BigInteger().with_variant(Integer(), "sqlite")

metadata = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
    }
)

workflows = Table(
    "workflows",
    metadata,
    Column("tenant", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("version", Text, nullable=False),
    # A serialized WorkflowDefinition.
    Column("definition", LargeBinary, nullable=False),
    Column("create_us", BigInteger, nullable=False),
    PrimaryKeyConstraint("tenant", "name", "version"),
)

# The version of a name that was registered last.
workflow_names = Table(
    "workflow_names",
    metadata,
    Column("tenant", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("current_version", Text, nullable=False),
    PrimaryKeyConstraint("tenant", "name"),
)

runs = Table(
    "runs",
    metadata,
    Column("run_id", Text, nullable=False),
    Column("tenant", Text, nullable=False),
    Column("workflow", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("partition", Integer, nullable=False),
    # Canonical JSON: an object of canonical JSON texts.
    Column("params", Text, nullable=False),
    Column("submitter", Text, nullable=False),
    # NULL without a key of the submitter: NULLs are never equal.
    Column("idempotency_key", Text),
    # Digest of the submission under an idempotency key: workflow, version and parameters.
    Column("payload_digest", Text, nullable=False),
    Column("create_us", BigInteger, nullable=False),
    Column("status", SmallInteger, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("published_seq", BigInteger, nullable=False),
    Column("start_us", BigInteger, nullable=False),
    Column("end_us", BigInteger, nullable=False),
    Column("error", Text, nullable=False),
    Column("cancel_requested", SmallInteger, nullable=False),
    Column("steps_total", Integer, nullable=False),
    Column("steps_succeeded", Integer, nullable=False),
    # 1 until the run has ended and its whole history is known to be published. By it an owner finds the runs
    # to take over, regardless of the number of finished ones.
    Column("open", SmallInteger, nullable=False),
    Column("priority", Integer, nullable=False, server_default="0"),
    # Empty unless the run is a child run.
    Column("parent_run_id", Text, nullable=False, server_default=""),
    Column("parent_path", Text, nullable=False, server_default=""),
    Column("depth", Integer, nullable=False, server_default="0"),
    # Empty unless the run is a fork.
    Column("fork_run_id", Text, nullable=False, server_default=""),
    Column("fork_seq", BigInteger, nullable=False, server_default="0"),
    Column("origin", Text, nullable=False, server_default=""),
    # Canonical JSON, or empty.
    Column("outputs", Text, nullable=False, server_default=""),
    Column("data", Text, nullable=False, server_default=""),
    # Canonical JSON of the labels, or empty; `run_labels` finds runs by them.
    Column("labels", Text, nullable=False, server_default=""),
    PrimaryKeyConstraint("run_id"),
    UniqueConstraint(
        "tenant", "workflow", "idempotency_key", name="runs_tenant_workflow_idempotency_key_key"
    ),
    Index(
        "runs_open_idx",
        "partition",
        sqlite_where=text("open = 1"),
        postgresql_where=text("open = 1"),
    ),
    Index("runs_newest_idx", "tenant", "create_us", "run_id"),
    Index("runs_newest_of_workflow_idx", "tenant", "workflow", "create_us", "run_id"),
    # Recently ended runs, for schedules with the trigger run_finished.
    Index(
        "runs_ended_idx",
        "tenant",
        "workflow",
        "end_us",
        sqlite_where=text("end_us > 0"),
        postgresql_where=text("end_us > 0"),
    ),
    # Lists and counts by status: what is counted is in the index.
    Index("runs_status_idx", "tenant", "status", "create_us", "run_id"),
    Index(
        "runs_newest_ended_idx",
        "tenant",
        "end_us",
        "run_id",
        sqlite_where=text("end_us > 0"),
        postgresql_where=text("end_us > 0"),
    ),
    Index(
        "runs_longest_idx",
        "tenant",
        text("(end_us - start_us)"),
        "run_id",
        sqlite_where=text("end_us > 0"),
        postgresql_where=text("end_us > 0"),
    ),
    Index(
        "runs_children_idx",
        "parent_run_id",
        "create_us",
        "run_id",
        sqlite_where=text("parent_run_id <> ''"),
        postgresql_where=text("parent_run_id <> ''"),
    ),
)

# What submitters attached to runs, to find them again by.
run_labels = Table(
    "run_labels",
    metadata,
    Column("run_id", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("value", Text, nullable=False),
    Column("tenant", Text, nullable=False),
    # Of the run, so that the newest ones are found first.
    Column("create_us", BigInteger, nullable=False),
    PrimaryKeyConstraint("run_id", "name"),
    Index("run_labels_newest_idx", "tenant", "name", "value", "create_us", "run_id"),
)

steps = Table(
    "steps",
    metadata,
    Column("run_id", Text, nullable=False),
    Column("path", Text, nullable=False),
    Column("position", Integer, nullable=False),
    Column("name", Text, nullable=False),
    Column("status", SmallInteger, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("generation", BigInteger, nullable=False),
    Column("runner_id", Text, nullable=False),
    Column("incarnation", Text, nullable=False),
    Column("ready_us", BigInteger, nullable=False),
    Column("start_us", BigInteger, nullable=False),
    Column("end_us", BigInteger, nullable=False),
    Column("retry_us", BigInteger, nullable=False),
    Column("data", Text, nullable=False),
    PrimaryKeyConstraint("run_id", "path"),
)

blocks = Table(
    "blocks",
    metadata,
    Column("run_id", Text, nullable=False),
    Column("path", Text, nullable=False),
    Column("position", Integer, nullable=False),
    Column("kind", Text, nullable=False),
    Column("status", SmallInteger, nullable=False),
    Column("data", Text, nullable=False),
    PrimaryKeyConstraint("run_id", "path"),
    # Gates that wait (11), of all runs: they are few among very many blocks.
    Index(
        "blocks_waiting_gates_idx",
        "run_id",
        sqlite_where=text("kind = 'gate' AND status = 11"),
        postgresql_where=text("kind = 'gate' AND status = 11"),
    ),
)

# Append-only: the database itself refuses to change or delete a row (see the first migration).
history = Table(
    "history",
    metadata,
    Column("run_id", Text, nullable=False),
    Column("seq", BigInteger, nullable=False),
    # A HistoryEvent, serialized deterministically.
    Column("event", LargeBinary, nullable=False),
    PrimaryKeyConstraint("run_id", "seq"),
)

# Commands that are not applied yet; an applied one is in the run's history and leaves the table.
inbox = Table(
    "inbox",
    metadata,
    Column("inbox_id", _ROW_ID, Identity(), primary_key=True),
    Column("partition", Integer, nullable=False),
    Column("run_id", Text, nullable=False),
    # A serialized RunCommand.
    Column("command", LargeBinary, nullable=False),
    Column("create_us", BigInteger, nullable=False),
    Index("inbox_partition_idx", "partition", "inbox_id"),
)

# The fence of every owner's transactions: the present owner and epoch.
partitions = Table(
    "partitions",
    metadata,
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("epoch", BigInteger, nullable=False),
    Column("owner", Text, nullable=False),
)

pools = Table(
    "pools",
    metadata,
    Column("pool", Text, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("owner", Text, nullable=False),
    PrimaryKeyConstraint("pool"),
)

# Bounds of keys; transactions that take a permit lock the key's row.
permits = Table(
    "permits",
    metadata,
    Column("tenant", Text, nullable=False),
    Column("key", Text, nullable=False),
    # 0 means no limit.
    Column("bound", Integer, nullable=False),
    PrimaryKeyConstraint("tenant", "key"),
)

# Holders of permits: steps, or with an empty path runs.
permit_holds = Table(
    "permit_holds",
    metadata,
    Column("run_id", Text, nullable=False),
    Column("path", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("tenant", Text, nullable=False),
    # The one that the wish came with; 0 means none.
    Column("bound", Integer, nullable=False, server_default="0"),
    PrimaryKeyConstraint("run_id", "path", "key"),
    Index("permit_holds_key_idx", "tenant", "key"),
)

# The next wishes: per partition, the first one for the same keys. One that was not repeated recently no
# longer counts.
permit_waits = Table(
    "permit_waits",
    metadata,
    Column("run_id", Text, nullable=False),
    Column("path", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("tenant", Text, nullable=False),
    Column("priority", Integer, nullable=False),
    Column("since_us", BigInteger, nullable=False),
    Column("asked_us", BigInteger, nullable=False),
    # As in permit_holds.
    Column("bound", Integer, nullable=False, server_default="0"),
    PrimaryKeyConstraint("run_id", "path", "key"),
    Index("permit_waits_key_idx", "tenant", "key"),
)

# The newest memo under a key.
memos = Table(
    "memos",
    metadata,
    Column("tenant", Text, nullable=False),
    Column("key", Text, nullable=False),
    # Canonical JSON: an object of canonical JSON texts.
    Column("outputs", Text, nullable=False),
    Column("run_id", Text, nullable=False),
    Column("path", Text, nullable=False),
    Column("time_us", BigInteger, nullable=False),
    PrimaryKeyConstraint("tenant", "key"),
)

schedules = Table(
    "schedules",
    metadata,
    Column("tenant", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("partition", Integer, nullable=False),
    # A serialized Schedule.
    Column("definition", LargeBinary, nullable=False),
    Column("next_us", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("create_us", BigInteger, nullable=False),
    PrimaryKeyConstraint("tenant", "name"),
    Index("schedules_due_idx", "partition", "next_us"),
)

# The state of a run after an event, so that reading its past need not fold all of its history.
snapshots = Table(
    "snapshots",
    metadata,
    Column("run_id", Text, nullable=False),
    Column("seq", BigInteger, nullable=False),
    # The encoding of `store.snapshots.encode`.
    Column("state", LargeBinary, nullable=False),
    PrimaryKeyConstraint("run_id", "seq"),
)

# Runs and schedules that owners ignore because of a fault.
set_aside = Table(
    "set_aside",
    metadata,
    # "run" or "schedule".
    Column("kind", Text, nullable=False),
    # Empty for a run.
    Column("tenant", Text, nullable=False),
    # The run's id, or the schedule's name.
    Column("name", Text, nullable=False),
    Column("partition", Integer, nullable=False),
    # The fault's reference in a coordinator's log.
    Column("reference", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("time_us", BigInteger, nullable=False),
    PrimaryKeyConstraint("kind", "tenant", "name"),
)

# The extent of one lease's archived output.
log_leases = Table(
    "log_leases",
    metadata,
    Column("lease_id", _ROW_ID, Identity(), primary_key=True),
    Column("run_id", Text, nullable=False),
    Column("path", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("generation", BigInteger, nullable=False),
    # Two incarnations of runners can print under one generation until the engine has revoked one of them.
    Column("incarnation", Text, nullable=False),
    # Of its head.
    Column("lines", Integer, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    # 1 once the head takes no further numbers: later ones belong to the tail, or are omitted below
    # `tail_first`.
    Column("full", SmallInteger, nullable=False),
    Column("head_last", BigInteger, nullable=False, server_default="0"),
    Column("tail_first", BigInteger, nullable=False, server_default="0"),
    # Of the tail's rows, including omitted ones that are not deleted yet.
    Column("tail_bytes", BigInteger, nullable=False, server_default="0"),
    # The largest number so far.
    Column("last_sequence", BigInteger, nullable=False, server_default="0"),
    UniqueConstraint(
        "run_id", "path", "attempt", "generation", "incarnation", name="log_leases_lease_key"
    ),
)

log_chunks = Table(
    "log_chunks",
    metadata,
    Column("chunk_id", _ROW_ID, Identity(), primary_key=True),
    Column("run_id", Text, nullable=False),
    Column("lease_id", _ROW_ID, ForeignKey("log_leases.lease_id"), nullable=False),
    # In a record that only reports lost lines: both 0 while the head is open, then the largest number so far.
    Column("first_sequence", BigInteger, nullable=False),
    Column("last_sequence", BigInteger, nullable=False),
    # Of the lines' text.
    Column("bytes", BigInteger, nullable=False, server_default="0"),
    # A serialized LogLines.
    Column("payload", LargeBinary, nullable=False),
    Index("log_chunks_run_idx", "run_id", "chunk_id"),
    Index("log_chunks_lease_idx", "lease_id", "last_sequence"),
)

# The tenants that administrators have made.
tenants = Table(
    "tenants",
    metadata,
    Column("name", Text, nullable=False),
    # 0: nobody can call as this tenant.
    Column("enabled", SmallInteger, nullable=False),
    Column("create_us", BigInteger, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("highest_priority", Integer, nullable=False),
    # Names of Kafka's topics, separated by commas.
    Column("topics", Text, nullable=False),
    PrimaryKeyConstraint("name"),
)

# Static tokens, without their secrets.
tokens = Table(
    "tokens",
    metadata,
    Column("token_id", Text, nullable=False),
    # SHA-256 of the whole token, in hexadecimal digits.
    Column("digest", Text, nullable=False),
    Column("tenant", Text, nullable=False),
    Column("name", Text, nullable=False),
    # Separated by commas.
    Column("roles", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("pool", Text, nullable=False),
    Column("created_by", Text, nullable=False),
    Column("create_us", BigInteger, nullable=False),
    # 0: never.
    Column("expire_us", BigInteger, nullable=False),
    # 0: it was not revoked.
    Column("revoke_us", BigInteger, nullable=False),
    PrimaryKeyConstraint("token_id"),
    Index("tokens_newest_idx", "tenant", "create_us", "token_id"),
)

# Which tenant has which artifacts, by the hex digits of their digests.
grants = Table(
    "grants",
    metadata,
    Column("tenant", Text, nullable=False),
    Column("digest", Text, nullable=False),
    # What counts towards the tenant's limit; 0: it is not known.
    Column("size_bytes", BigInteger, nullable=False, server_default="0"),
    PrimaryKeyConstraint("tenant", "digest"),
)

# Updates of datasets. SQLite must not use the id of a deleted one again: triggers count on rising ones.
dataset_updates = Table(
    "dataset_updates",
    metadata,
    Column("update_id", _ROW_ID, Identity(), primary_key=True),
    Column("tenant", Text, nullable=False),
    Column("dataset", Text, nullable=False),
    # Which part of the dataset; empty: all of it.
    Column("part", Text, nullable=False),
    Column("key", Text, nullable=False),
    # Of the run, or the one that stands for the dataset.
    Column("partition", Integer, nullable=False),
    Column("time_us", BigInteger, nullable=False),
    # Canonical JSON: texts of canonical JSON by name.
    Column("outputs", Text, nullable=False),
    Column("teller", Text, nullable=False),
    Column("run_id", Text, nullable=False),
    Column("workflow", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("path", Text, nullable=False),
    Column("origin", Text, nullable=False),
    UniqueConstraint("tenant", "dataset", "key", name="dataset_updates_once"),
    sqlite_autoincrement=True,
)
Index("dataset_updates_newest", *dataset_updates.c["tenant", "dataset", "time_us"])
Index("dataset_updates_old", dataset_updates.c.time_us)

# The runs that schedules have made because of updates.
dataset_runs = Table(
    "dataset_runs",
    metadata,
    Column("update_id", BigInteger, nullable=False),
    Column("run_id", Text, nullable=False),
    PrimaryKeyConstraint("update_id", "run_id"),
)

# Signals to all runs of a tenant that were sent, each together with the commands for the runs that it reached.
sent_signals = Table(
    "sent_signals",
    metadata,
    Column("tenant", Text, nullable=False),
    # The sender's idempotency key, or a fresh one.
    Column("key", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("payload_digest", Text, nullable=False),
    Column("requester", Text, nullable=False),
    # Canonical JSON: workflow, version, number of runs and reason of each version that was left out.
    Column("left_out", Text, nullable=False),
    Column("time_us", BigInteger, nullable=False),
    Column("runs", Integer, nullable=False),
    # The runs in which a gate waited.
    Column("waiting", Integer, nullable=False),
    PrimaryKeyConstraint("tenant", "key"),
)
Index("sent_signals_old", sent_signals.c.time_us)

# What channels must be told: the outbox of notifications.
notices = Table(
    "notices",
    metadata,
    Column("run_id", Text, nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("channel", Text, nullable=False),
    Column("tenant", Text, nullable=False),
    # Canonical JSON.
    Column("payload", Text, nullable=False),
    Column("create_us", BigInteger, nullable=False),
    # Deliveries that failed, and why the newest did.
    Column("attempts", Integer, nullable=False),
    Column("error", Text, nullable=False),
    # When it is due; whoever takes it moves this on. Null: it is given up.
    Column("due_us", BigInteger),
    PrimaryKeyConstraint("run_id", "seq", "channel"),
)
Index("notices_due", notices.c.due_us)
