"""The first tables, including tables of earlier versions of Kaon, which had no migrations."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

# Announcements from before a version could be announced again.
_OLD_ANNOUNCEMENTS = "announcements"
# The only kind at that time.
_PUBLISHED = 1


def upgrade() -> None:
    """Create the tables; tables that were made without migrations stay unchanged."""
    bind, tables = op.get_bind(), _tables()
    tables.create_all(bind)
    if sa.inspect(bind).has_table(_OLD_ANNOUNCEMENTS):
        _take_over_announcements(bind, tables.tables["model_announcements"])


def _tables() -> sa.MetaData:
    metadata = sa.MetaData()
    sa.Table(
        "model_versions",
        metadata,
        _text("tenant", key=True),
        _text("model", key=True),
        _bigint("version", key=True),
        _text("idempotency_key"),
        _text("payload"),
        _text("record"),
        sa.UniqueConstraint("tenant", "idempotency_key"),
    )
    sa.Table(
        "model_announcements",
        metadata,
        _text("tenant", key=True),
        _bigint("cursor", key=True),
        _text("model"),
        _bigint("version"),
        _bigint("announce_us"),
        _bigint("kind"),
        _bigint("replaces"),
        _text("principal"),
        _text("reason"),
        sa.Column("sent", sa.Boolean, nullable=False),
    )
    sa.Table(
        "consumers",
        metadata,
        _text("tenant", key=True),
        _text("consumer", key=True),
        _bigint("cursor"),
    )
    sa.Table(
        "pickups",
        metadata,
        _text("tenant", key=True),
        _text("consumer", key=True),
        _text("model", key=True),
        _bigint("version", key=True),
        _bigint("time_us"),
    )
    sa.Table(
        "pushes",
        metadata,
        _text("tenant", key=True),
        _text("model", key=True),
        _text("digest", key=True),
        _bigint("time_us"),
    )
    return metadata


def _text(name: str, *, key: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.String, primary_key=key, nullable=False)


def _bigint(name: str, *, key: bool = False) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, primary_key=key, nullable=False)


def _take_over_announcements(bind: sa.Connection, announcements: sa.Table) -> None:
    old = sa.Table(_OLD_ANNOUNCEMENTS, sa.MetaData(), autoload_with=bind)
    same = ("tenant", "cursor", "model", "version", "announce_us", "sent")
    values = {
        **{name: old.c[name] for name in same},
        "kind": sa.literal(_PUBLISHED),
        "replaces": old.c.version - 1,
        "principal": sa.literal(""),
        "reason": sa.literal(""),
    }
    bind.execute(sa.insert(announcements).from_select([*values], sa.select(*values.values())))
    op.drop_table(_OLD_ANNOUNCEMENTS)
