"""The tables of the model registry, and how older ones become these."""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    insert,
    inspect,
    literal,
    select,
    text,
)

from kaonapi.model.v1 import model_pb2

metadata = MetaData()
versions = Table(
    "model_versions",
    metadata,
    Column("tenant", String, primary_key=True),
    Column("model", String, primary_key=True),
    Column("version", BigInteger, primary_key=True),
    Column("idempotency_key", String, nullable=False),
    # Digest of what was asked for: the same key with another payload is refused.
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
# Images that are about to be pushed or were, and are not announced yet: what a killed publisher leaves is found by these.
pushes = Table(
    "pushes",
    metadata,
    Column("tenant", String, primary_key=True),
    Column("model", String, primary_key=True),
    Column("digest", String, primary_key=True),
    Column("time_us", BigInteger, nullable=False),
)

# Announcements as they were before a version could be announced again.
_OLD_ANNOUNCEMENTS = "announcements"


def create(connection: Connection) -> None:
    """Makes the tables that are missing, and moves what older ones hold; in the caller's transaction."""
    metadata.create_all(connection)
    if not inspect(connection).has_table(_OLD_ANNOUNCEMENTS):
        return
    old = Table(_OLD_ANNOUNCEMENTS, MetaData(), autoload_with=connection)
    columns = ("tenant", "cursor", "model", "version", "announce_us", "sent", "kind", "replaces", "principal")
    rows = select(
        *(old.c[name] for name in columns[:6]),
        literal(int(model_pb2.ANNOUNCEMENT_KIND_PUBLISHED)),
        old.c.version - 1,
        literal(""),
        literal(""),
    )
    connection.execute(insert(announcements).from_select([*columns, "reason"], rows))
    connection.execute(text(f"DROP TABLE {_OLD_ANNOUNCEMENTS}"))
