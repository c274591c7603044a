"""Tenants that administrators make, and static tokens."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Create both tables, empty: with authentication off, nothing reads them."""
    op.create_table(
        "tenants",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("enabled", sa.SmallInteger, nullable=False),
        sa.Column("create_us", sa.BigInteger, nullable=False),
        sa.Column("created_by", sa.Text, nullable=False),
        sa.Column("highest_priority", sa.Integer, nullable=False),
        sa.Column("topics", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("name", name="tenants_pkey"),
    )
    texts = ("token_id", "digest", "tenant", "name", "roles", "kind", "pool", "created_by")
    times = ("create_us", "expire_us", "revoke_us")
    op.create_table(
        "tokens",
        *(sa.Column(name, sa.Text, nullable=False) for name in texts),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in times),
        sa.PrimaryKeyConstraint("token_id", name="tokens_pkey"),
    )
    op.create_index("tokens_newest_idx", "tokens", ["tenant", "create_us", "token_id"])
