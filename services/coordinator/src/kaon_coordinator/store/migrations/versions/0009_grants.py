"""Artifacts belong to tenants."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from kaon_coordinator.store.grant_rows import fresh

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Create the table; what rows of a tenant refer to is granted to it."""
    table = op.create_table(
        "grants",
        *(sa.Column(name, sa.Text, nullable=False) for name in ("tenant", "digest")),
        sa.PrimaryKeyConstraint("tenant", "digest", name="grants_pkey"),
    )
    for rows in fresh(op.get_bind()):
        op.bulk_insert(table, rows)
