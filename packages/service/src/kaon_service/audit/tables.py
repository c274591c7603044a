"""The tables of the audit log. `migrations/` creates them; a test keeps the two equal."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, MetaData, Table, Text

from kaon_service.migrations import Migrations

metadata = MetaData(naming_convention={"pk": "%(table_name)s_pkey"})

rows = Table(
    "audit_rows",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("time_us", BigInteger, nullable=False),
    Column("tenant", Text, nullable=False),
    Column("principal", Text, nullable=False),
    Column("authentication", Text, nullable=False),
    Column("method", Text, nullable=False),
    Column("named", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("request_digest", Text, nullable=False),
    Column("calls", Integer, nullable=False),
    Column("previous", Text, nullable=False),
    Column("digest", Text, nullable=False),
)
Index("audit_rows_tenant_idx", rows.c.tenant, rows.c.seq)

# One row: the chain's two ends. Whoever appends locks it.
ends = Table(
    "audit_ends",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("last_seq", BigInteger, nullable=False),
    Column("last_digest", Text, nullable=False),
    # The place before the first row that retention has left.
    Column("base_seq", BigInteger, nullable=False),
    Column("base_digest", Text, nullable=False),
)

heads = Table(
    "audit_heads",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("digest", Text, nullable=False),
    Column("time_us", BigInteger, nullable=False),
    Column("signature", LargeBinary, nullable=False),
)

MIGRATIONS = Migrations(
    scripts=Path(__file__).with_name("migrations"),
    head="0001",
    lock=5_262_032,
    tables=metadata,
    # Coordinator and publisher may share a database, and then share one chain.
    version_table="audit_alembic_version",
)
