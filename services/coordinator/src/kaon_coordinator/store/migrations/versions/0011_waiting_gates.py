"""Gates that wait are found without looking at other blocks."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"

_WHERE = sa.text("kind = 'gate' AND status = 11")


def upgrade() -> None:
    """Create the index."""
    op.create_index(
        "blocks_waiting_gates_idx",
        "blocks",
        ["run_id"],
        sqlite_where=_WHERE,
        postgresql_where=_WHERE,
    )
