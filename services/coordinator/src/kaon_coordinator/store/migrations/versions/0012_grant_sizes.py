"""How large the artifacts of tenants are."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Add the column. Artifacts from before count nothing."""
    op.add_column(
        "grants", sa.Column("size_bytes", sa.BigInteger, nullable=False, server_default="0")
    )
