"""The signals that were sent to all runs of a tenant."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"

_TEXTS = ("tenant", "key", "name", "payload_digest", "requester", "left_out")


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "sent_signals",
        *(sa.Column(name, sa.Text, nullable=False) for name in _TEXTS),
        sa.Column("time_us", sa.BigInteger, nullable=False),
        sa.Column("runs", sa.Integer, nullable=False),
        sa.Column("waiting", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("tenant", "key", name="sent_signals_pkey"),
    )
    op.create_index("sent_signals_old", "sent_signals", ["time_us"])
