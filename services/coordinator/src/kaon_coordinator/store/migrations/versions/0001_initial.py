"""The first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create the first tables in an empty database."""
    _workflows()
    _runs()
    _run_rows()
    _commands_and_owners()
    _logs()
    if op.get_bind().dialect.name == "sqlite":
        _append_only_sqlite()
    else:
        _append_only_postgresql()


def _workflows() -> None:
    op.create_table(
        "workflows",
        _text("tenant"),
        _text("name"),
        _text("version"),
        sa.Column("definition", sa.LargeBinary, nullable=False),
        _bigint("create_us"),
        sa.PrimaryKeyConstraint("tenant", "name", "version", name="workflows_pkey"),
    )
    op.create_table(
        "workflow_names",
        _text("tenant"),
        _text("name"),
        _text("current_version"),
        sa.PrimaryKeyConstraint("tenant", "name", name="workflow_names_pkey"),
    )


def _runs() -> None:
    op.create_table(
        "runs",
        *(_text(name) for name in ("run_id", "tenant", "workflow", "version")),
        _integer("partition"),
        *(_text(name) for name in ("params", "submitter")),
        sa.Column("idempotency_key", sa.Text),
        _text("payload_digest"),
        _bigint("create_us"),
        _smallint("status"),
        *(_bigint(name) for name in ("seq", "published_seq", "start_us", "end_us")),
        _text("error"),
        _smallint("cancel_requested"),
        *(_integer(name) for name in ("steps_total", "steps_succeeded")),
        _smallint("open"),
        sa.PrimaryKeyConstraint("run_id", name="runs_pkey"),
        sa.UniqueConstraint(
            "tenant", "workflow", "idempotency_key", name="runs_tenant_workflow_idempotency_key_key"
        ),
    )
    is_open = sa.text("open = 1")
    op.create_index(
        "runs_open_idx", "runs", ["partition"], sqlite_where=is_open, postgresql_where=is_open
    )
    op.create_index("runs_newest_idx", "runs", ["tenant", "create_us", "run_id"])
    op.create_index(
        "runs_newest_of_workflow_idx", "runs", ["tenant", "workflow", "create_us", "run_id"]
    )


def _run_rows() -> None:
    op.create_table(
        "steps",
        _text("run_id"),
        _text("path"),
        _integer("position"),
        _text("name"),
        _smallint("status"),
        _integer("attempt"),
        _bigint("generation"),
        _text("runner_id"),
        _text("incarnation"),
        *(_bigint(name) for name in ("ready_us", "start_us", "end_us", "retry_us")),
        _text("data"),
        sa.PrimaryKeyConstraint("run_id", "path", name="steps_pkey"),
    )
    op.create_table(
        "blocks",
        _text("run_id"),
        _text("path"),
        _integer("position"),
        _text("kind"),
        _smallint("status"),
        _text("data"),
        sa.PrimaryKeyConstraint("run_id", "path", name="blocks_pkey"),
    )
    op.create_table(
        "history",
        _text("run_id"),
        _bigint("seq"),
        sa.Column("event", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("run_id", "seq", name="history_pkey"),
    )


def _commands_and_owners() -> None:
    op.create_table(
        "inbox",
        sa.Column("inbox_id", _ROW_ID, sa.Identity(), primary_key=True),
        _integer("partition"),
        _text("run_id"),
        sa.Column("command", sa.LargeBinary, nullable=False),
        _bigint("create_us"),
    )
    op.create_index("inbox_partition_idx", "inbox", ["partition", "inbox_id"])
    op.create_table(
        "partitions",
        sa.Column("partition", sa.Integer, primary_key=True, autoincrement=False),
        _bigint("epoch"),
        _text("owner"),
    )
    op.create_table(
        "pools",
        _text("pool"),
        _bigint("epoch"),
        _text("owner"),
        sa.PrimaryKeyConstraint("pool", name="pools_pkey"),
    )


def _logs() -> None:
    op.create_table(
        "log_leases",
        sa.Column("lease_id", _ROW_ID, sa.Identity(), primary_key=True),
        _text("run_id"),
        _text("path"),
        _integer("attempt"),
        _bigint("generation"),
        _text("incarnation"),
        _integer("lines"),
        _bigint("bytes"),
        _smallint("full"),
        sa.UniqueConstraint(
            "run_id", "path", "attempt", "generation", "incarnation", name="log_leases_lease_key"
        ),
    )
    op.create_table(
        "log_chunks",
        sa.Column("chunk_id", _ROW_ID, sa.Identity(), primary_key=True),
        _text("run_id"),
        sa.Column("lease_id", _ROW_ID, nullable=False),
        *(_bigint(name) for name in ("first_sequence", "last_sequence")),
        sa.Column("payload", sa.LargeBinary, nullable=False),
        sa.ForeignKeyConstraint(
            ["lease_id"], ["log_leases.lease_id"], name="log_chunks_lease_id_fkey"
        ),
    )
    op.create_index("log_chunks_run_idx", "log_chunks", ["run_id", "chunk_id"])
    op.create_index("log_chunks_lease_idx", "log_chunks", ["lease_id", "last_sequence"])


def _append_only_sqlite() -> None:
    for change in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER history_no_{change.lower()} BEFORE {change} ON history "
            "BEGIN SELECT RAISE(ABORT, 'history is append-only'); END"
        )


def _append_only_postgresql() -> None:
    op.execute(
        "CREATE FUNCTION history_refuse() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'history is append-only'; END $$"
    )
    op.execute(
        "CREATE TRIGGER history_append_only BEFORE UPDATE OR DELETE ON history "
        "FOR EACH ROW EXECUTE FUNCTION history_refuse()"
    )


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=False)


def _smallint(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.SmallInteger, nullable=False)


def _integer(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer, nullable=False)


def _bigint(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False)
