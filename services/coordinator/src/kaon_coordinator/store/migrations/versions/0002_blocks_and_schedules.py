"""Tables for sub-workflows, forks, permits, memos and schedules."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the tables and columns."""
    _runs()
    _permits()
    op.create_table(
        "memos",
        *(_text(name) for name in ("tenant", "key", "outputs", "run_id", "path")),
        _bigint("time_us"),
        sa.PrimaryKeyConstraint("tenant", "key", name="memos_pkey"),
    )
    op.create_table(
        "schedules",
        _text("tenant"),
        _text("name"),
        sa.Column("partition", sa.Integer, nullable=False),
        sa.Column("definition", sa.LargeBinary, nullable=False),
        _bigint("next_us"),
        _text("state"),
        *(_bigint(name) for name in ("revision", "create_us")),
        sa.PrimaryKeyConstraint("tenant", "name", name="schedules_pkey"),
    )
    op.create_index("schedules_due_idx", "schedules", ["partition", "next_us"])


def _runs() -> None:
    texts = ("parent_run_id", "parent_path", "fork_run_id", "origin", "outputs", "data")
    for name in texts:
        op.add_column("runs", sa.Column(name, sa.Text, nullable=False, server_default=""))
    for name in ("priority", "depth"):
        op.add_column("runs", sa.Column(name, sa.Integer, nullable=False, server_default="0"))
    op.add_column("runs", sa.Column("fork_seq", sa.BigInteger, nullable=False, server_default="0"))
    ended = sa.text("end_us > 0")
    columns = ["tenant", "workflow", "end_us"]
    op.create_index("runs_ended_idx", "runs", columns, sqlite_where=ended, postgresql_where=ended)


def _permits() -> None:
    op.create_table(
        "permits",
        _text("tenant"),
        _text("key"),
        sa.Column("bound", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "key", name="permits_pkey"),
    )
    op.create_table(
        "permit_holds",
        *(_text(name) for name in ("run_id", "path", "key", "tenant")),
        sa.PrimaryKeyConstraint("run_id", "path", "key", name="permit_holds_pkey"),
    )
    op.create_index("permit_holds_key_idx", "permit_holds", ["tenant", "key"])
    op.create_table(
        "permit_waits",
        *(_text(name) for name in ("run_id", "path", "key", "tenant")),
        sa.Column("priority", sa.Integer, nullable=False),
        *(_bigint(name) for name in ("since_us", "asked_us")),
        sa.PrimaryKeyConstraint("run_id", "path", "key", name="permit_waits_pkey"),
    )
    op.create_index("permit_waits_key_idx", "permit_waits", ["tenant", "key"])


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text, nullable=False)


def _bigint(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False)
