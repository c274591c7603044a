"""Archive the end of a lease's output, too."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

_COUNTS = ("head_last", "tail_first", "tail_bytes", "last_sequence")


def upgrade() -> None:
    """Mark leases that reached their bound as heads, which a tail may follow."""
    for name in _COUNTS:
        op.add_column(
            "log_leases", sa.Column(name, sa.BigInteger, nullable=False, server_default="0")
        )
    op.add_column(
        "log_chunks", sa.Column("bytes", sa.BigInteger, nullable=False, server_default="0")
    )
    newest = "(SELECT coalesce(max(last_sequence), 0) FROM log_chunks WHERE log_chunks.lease_id = log_leases.lease_id)"
    op.execute(
        f'UPDATE log_leases SET head_last = {newest}, last_sequence = {newest}, tail_first = {newest} + 1 WHERE "full" = 1'
    )
