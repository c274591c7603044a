"""The audit log."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the rows, the two ends of their chain and the signed heads."""
    op.create_table(
        "audit_rows",
        sa.Column("seq", sa.BigInteger, autoincrement=False),
        sa.Column("time_us", sa.BigInteger, nullable=False),
        *(
            sa.Column(name, sa.Text, nullable=False)
            for name in ("tenant", "principal", "authentication", "method", "named", "outcome")
        ),
        sa.Column("request_digest", sa.Text, nullable=False),
        sa.Column("calls", sa.Integer, nullable=False),
        sa.Column("previous", sa.Text, nullable=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("seq", name="audit_rows_pkey"),
    )
    op.create_index("audit_rows_tenant_idx", "audit_rows", ["tenant", "seq"])
    op.create_table(
        "audit_ends",
        sa.Column("id", sa.Integer, autoincrement=False),
        sa.Column("last_seq", sa.BigInteger, nullable=False),
        sa.Column("last_digest", sa.Text, nullable=False),
        sa.Column("base_seq", sa.BigInteger, nullable=False),
        sa.Column("base_digest", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="audit_ends_pkey"),
    )
    op.create_table(
        "audit_heads",
        sa.Column("seq", sa.BigInteger, autoincrement=False),
        sa.Column("digest", sa.Text, nullable=False),
        sa.Column("time_us", sa.BigInteger, nullable=False),
        sa.Column("signature", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("seq", name="audit_heads_pkey"),
    )
