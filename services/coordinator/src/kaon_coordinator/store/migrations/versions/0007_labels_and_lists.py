"""Labels of runs, and indexes for lists and counts of very many runs."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Add labels, which existing runs do not have, and the indexes."""
    op.add_column("runs", sa.Column("labels", sa.Text, nullable=False, server_default=""))
    op.create_table(
        "run_labels",
        *(
            sa.Column(name, sa.Text, nullable=False)
            for name in ("run_id", "name", "value", "tenant")
        ),
        sa.Column("create_us", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("run_id", "name", name="run_labels_pkey"),
    )
    op.create_index(
        "run_labels_newest_idx", "run_labels", ["tenant", "name", "value", "create_us", "run_id"]
    )
    op.create_index("runs_status_idx", "runs", ["tenant", "status", "create_us", "run_id"])
    _partial("runs_newest_ended_idx", ["tenant", "end_us", "run_id"], "end_us > 0")
    _partial("runs_longest_idx", ["tenant", "(end_us - start_us)", "run_id"], "end_us > 0")
    _partial("runs_children_idx", ["parent_run_id", "create_us", "run_id"], "parent_run_id <> ''")


def _partial(name: str, columns: list[str], where: str) -> None:
    condition = sa.text(where)
    parts = [sa.text(each) if " " in each else each for each in columns]
    op.create_index(name, "runs", parts, sqlite_where=condition, postgresql_where=condition)
