"""Consumers of models: their acknowledged cursors, and their pickups of versions."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, insert, select, update

from kaon_publisher.store import announcements
from kaon_publisher.store.tables import consumers, pickups
from kaon_wire.errors import NotFound

# More announcements than one consumer acknowledges at once.
_ALL = 100_000


@dataclass(frozen=True, kw_only=True)
class Pickup:
    """A consumer that has acknowledged a version."""

    consumer: str
    time_us: int


def pickups_of(connection: Connection, tenant: str, model: str, version: int) -> list[Pickup]:
    """Return the pickups of a version, in order of time."""
    mine = (
        (pickups.c.tenant == tenant) & (pickups.c.model == model) & (pickups.c.version == version)
    )
    rows = connection.execute(select(pickups).where(mine).order_by(pickups.c.time_us))
    return [Pickup(consumer=row.consumer, time_us=row.time_us) for row in rows]


def acknowledged(connection: Connection, tenant: str, consumer: str) -> int:
    """Return the last cursor that a consumer acknowledged; 0 for one that never did."""
    mine = (consumers.c.tenant == tenant) & (consumers.c.consumer == consumer)
    return connection.execute(select(consumers.c.cursor).where(mine)).scalar() or 0


def acknowledge(
    connection: Connection, tenant: str, consumer: str, cursor: int, now_us: int
) -> None:
    """Record that the consumer has picked up everything up to the cursor. A cursor never decreases.

    Raises:
        NotFound: The announcement does not exist.
    """
    before = acknowledged(connection, tenant, consumer)
    if cursor <= before:
        return
    fresh = announcements.after(connection, tenant, before, "", _ALL)
    if cursor not in {each.cursor for each in fresh}:
        raise NotFound(f"there is no announcement {cursor}")
    mine = (consumers.c.tenant == tenant) & (consumers.c.consumer == consumer)
    if not connection.execute(update(consumers).where(mine).values(cursor=cursor)).rowcount:
        connection.execute(
            insert(consumers).values(tenant=tenant, consumer=consumer, cursor=cursor)
        )
    seen = [each.version for each in fresh if each.cursor <= cursor]
    for model, version in {(each.model, each.version) for each in seen}:
        _pick_up(connection, tenant, consumer, model, version, now_us)


def _pick_up(
    connection: Connection, tenant: str, consumer: str, model: str, version: int, now_us: int
) -> None:
    """Record the pickup of a version.

    A repeated pickup, after a promotion or a rollback, gets the new time.
    """
    key = {"tenant": tenant, "consumer": consumer, "model": model, "version": version}
    where = [pickups.c[name] == value for name, value in key.items()]
    if not connection.execute(update(pickups).where(*where).values(time_us=now_us)).rowcount:
        connection.execute(insert(pickups).values(**key, time_us=now_us))
