"""The tables of the model registry; `migrations/` creates them."""

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, MetaData, String, Table, UniqueConstraint

metadata = MetaData()
versions = Table(
    "model_versions",
    metadata,
    Column("tenant", String, primary_key=True),
    Column("model", String, primary_key=True),
    Column("version", BigInteger, primary_key=True),
    Column("idempotency_key", String, nullable=False),
    # Digest of the request: the same key with another payload is refused.
    Column("payload", String, nullable=False),
    # A `ModelVersion` as JSON.
    Column("record", String, nullable=False),
    UniqueConstraint("tenant", "idempotency_key"),
)
announcements = Table(
    "model_announcements",
    metadata,
    Column("tenant", String, primary_key=True),
    Column("cursor", BigInteger, primary_key=True),
    Column("model", String, nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("announce_us", BigInteger, nullable=False),
    # An `AnnouncementKind`.
    Column("kind", BigInteger, nullable=False),
    # The version that was current before; 0: none.
    Column("replaces", BigInteger, nullable=False),
    Column("principal", String, nullable=False),
    Column("reason", String, nullable=False),
    # Whether the broker has acknowledged it.
    Column("sent", Boolean, nullable=False),
)
consumers = Table(
    "consumers",
    metadata,
    Column("tenant", String, primary_key=True),
    Column("consumer", String, primary_key=True),
    Column("cursor", BigInteger, nullable=False),
)
pickups = Table(
    "pickups",
    metadata,
    Column("tenant", String, primary_key=True),
    Column("consumer", String, primary_key=True),
    Column("model", String, primary_key=True),
    Column("version", BigInteger, primary_key=True),
    Column("time_us", BigInteger, nullable=False),
)
# Images that are pushed, or about to be, and not announced: they reveal the leftovers of a killed publisher.
pushes = Table(
    "pushes",
    metadata,
    Column("tenant", String, primary_key=True),
    Column("model", String, primary_key=True),
    Column("digest", String, primary_key=True),
    Column("time_us", BigInteger, nullable=False),
)
