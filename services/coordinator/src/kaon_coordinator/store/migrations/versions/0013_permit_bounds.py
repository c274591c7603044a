"""The bounds with which permits are held and waited for."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Add the columns. Permits from before, and those that an older coordinator takes, count by who wants one more."""
    for table in ("permit_holds", "permit_waits"):
        op.add_column(table, sa.Column("bound", sa.Integer, nullable=False, server_default="0"))
