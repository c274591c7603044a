"""The updates of datasets, and the runs that they started."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"

_TEXTS = ("outputs", "teller", "run_id", "workflow", "version", "path", "origin")


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "dataset_updates",
        sa.Column(
            "update_id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            sa.Identity(),
            primary_key=True,
        ),
        *(
            sa.Column(name, sa.Text, nullable=False)
            for name in ("tenant", "dataset", "part", "key")
        ),
        sa.Column("partition", sa.Integer, nullable=False),
        sa.Column("time_us", sa.BigInteger, nullable=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in _TEXTS),
        sa.UniqueConstraint("tenant", "dataset", "key", name="dataset_updates_once"),
        sqlite_autoincrement=True,
    )
    op.create_index("dataset_updates_newest", "dataset_updates", ["tenant", "dataset", "time_us"])
    op.create_index("dataset_updates_old", "dataset_updates", ["time_us"])
    op.create_table(
        "dataset_runs",
        sa.Column("update_id", sa.BigInteger, nullable=False),
        sa.Column("run_id", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("update_id", "run_id", name="dataset_runs_pkey"),
    )
