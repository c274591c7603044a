"""Images that are pushed, or about to be, and not announced: they reveal the leftovers of a killed publisher."""

from __future__ import annotations

from sqlalchemy import ColumnElement, Connection, delete, insert, select, update

from kaon_publisher.store.tables import pushes


def begin(connection: Connection, tenant: str, model: str, digest: str, now_us: int) -> None:
    """Record an image before it is pushed: until it is announced, it may have to be deleted again."""
    this = _this(tenant, model, digest)
    if not connection.execute(update(pushes).where(this).values(time_us=now_us)).rowcount:
        connection.execute(
            insert(pushes).values(tenant=tenant, model=model, digest=digest, time_us=now_us)
        )


def abandoned(connection: Connection, before_us: int) -> list[tuple[str, str, str]]:
    """Return tenant, model and digest of images that were pushed before a time and never announced."""
    rows = connection.execute(select(pushes).where(pushes.c.time_us < before_us))
    return [(row.tenant, row.model, row.digest) for row in rows]


def forget(connection: Connection, tenant: str, model: str, digest: str) -> None:
    """Remove the record of a push: the image is deleted, or announced."""
    connection.execute(delete(pushes).where(_this(tenant, model, digest)))


def _this(tenant: str, model: str, digest: str) -> ColumnElement[bool]:
    return (pushes.c.tenant == tenant) & (pushes.c.model == model) & (pushes.c.digest == digest)
