"""Announcements, the last of which determines a model's current version."""

from __future__ import annotations

from typing import Any

from google.protobuf import timestamp_pb2
from sqlalchemy import Connection, Row, Select, func, insert, select, update

from kaon_publisher.serving import current_stack
from kaon_publisher.store.tables import announcements, versions
from kaon_publisher.store.versions import parse
from kaonapi.model.v1 import model_pb2


def after(
    connection: Connection, tenant: str, cursor: int, model: str, limit: int
) -> list[model_pb2.Announcement]:
    """Return announcements after a cursor, in order; of one model, or of all with an empty name."""
    query = (
        _announced()
        .where(announcements.c.tenant == tenant, announcements.c.cursor > cursor)
        .order_by(announcements.c.cursor)
        .limit(limit)
    )
    if model:
        query = query.where(announcements.c.model == model)
    return [_announcement(row) for row in connection.execute(query)]


def last(connection: Connection, tenant: str, model: str) -> model_pb2.Announcement | None:
    """Return the model's last announcement."""
    query = _announced().where(announcements.c.tenant == tenant, announcements.c.model == model)
    row = connection.execute(query.order_by(announcements.c.cursor.desc()).limit(1)).one_or_none()
    return None if row is None else _announcement(row)


def stack(connection: Connection, tenant: str, model: str) -> list[int]:
    """Return the versions to which rollbacks lead, the current one last."""
    query = (
        select(announcements.c.kind, announcements.c.version)
        .where(announcements.c.tenant == tenant, announcements.c.model == model)
        .order_by(announcements.c.cursor)
    )
    return current_stack((row.kind, row.version) for row in connection.execute(query))


def append(
    connection: Connection,
    version: model_pb2.ModelVersion,
    now_us: int,
    *,
    kind: model_pb2.AnnouncementKind.ValueType,
    principal: str = "",
    reason: str = "",
) -> None:
    """Append the next announcement of the tenant.

    Raises:
        IntegrityError: Another transaction took this cursor.
    """
    ours = announcements.c.tenant == version.tenant
    before = connection.execute(select(func.max(announcements.c.cursor)).where(ours)).scalar() or 0
    current = stack(connection, version.tenant, version.model)
    connection.execute(
        insert(announcements).values(
            tenant=version.tenant,
            cursor=before + 1,
            model=version.model,
            version=version.version,
            announce_us=now_us,
            kind=kind,
            replaces=current[-1] if current else 0,
            principal=principal,
            reason=reason,
            sent=False,
        )
    )


def unsent(connection: Connection) -> list[tuple[str, int]]:
    """Return tenant and cursor of announcements that the broker has not acknowledged, in order."""
    query = select(announcements.c.tenant, announcements.c.cursor).where(
        announcements.c.sent.is_(False)
    )
    rows = connection.execute(query.order_by(announcements.c.tenant, announcements.c.cursor))
    return [(row.tenant, row.cursor) for row in rows]


def mark_sent(connection: Connection, tenant: str, cursor: int) -> None:
    """Record that the broker has acknowledged this announcement."""
    this = (announcements.c.tenant == tenant) & (announcements.c.cursor == cursor)
    connection.execute(update(announcements).where(this).values(sent=True))


def _announced() -> Select[Any]:
    """Return announcements with the records of their versions."""
    return select(announcements, versions.c.record).join(
        versions,
        (versions.c.tenant == announcements.c.tenant)
        & (versions.c.model == announcements.c.model)
        & (versions.c.version == announcements.c.version),
    )


def _announcement(row: Row[Any]) -> model_pb2.Announcement:
    stamp = timestamp_pb2.Timestamp()
    stamp.FromMicroseconds(row.announce_us)
    return model_pb2.Announcement(
        cursor=row.cursor,
        version=parse(row.record),
        announce_time=stamp,
        kind=row.kind,
        replaces=row.replaces,
        principal=row.principal,
        reason=row.reason,
    )
