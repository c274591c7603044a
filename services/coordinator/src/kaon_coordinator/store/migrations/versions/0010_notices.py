"""The outbox of notifications."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "notices",
        sa.Column("run_id", sa.Text, nullable=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
        *(sa.Column(name, sa.Text, nullable=False) for name in ("channel", "tenant", "payload")),
        sa.Column("create_us", sa.BigInteger, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("error", sa.Text, nullable=False),
        sa.Column("due_us", sa.BigInteger),
        sa.PrimaryKeyConstraint("run_id", "seq", "channel", name="notices_pkey"),
    )
    op.create_index("notices_due", "notices", ["due_us"])
