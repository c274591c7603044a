"""The outbox of notifications."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Connection, Row, and_, case, delete, func, select, update

from kaon_coordinator.store.bulk import Bulk
from kaon_coordinator.store.records import DueNotice, Notice, Undelivered
from kaon_coordinator.store.tables import notices
from kaon_service.databases import Database

_COLUMNS = tuple(column.name for column in notices.columns)


class Notices:
    """Adds notices, each once."""

    def __init__(self, database: Database) -> None:
        # A new owner may make the event of a lost commit again, never that of a stored one.
        self._add = Bulk(database, database.insert(notices).on_conflict_do_nothing(), _COLUMNS)

    def add(self, connection: Connection, new: Sequence[Notice]) -> None:
        """Store notices; they are due at once."""
        rows = [
            (
                notice.run_id,
                notice.seq,
                notice.channel,
                notice.tenant,
                notice.payload,
                notice.time_us,
                0,
                "",
                notice.time_us,
            )
            for notice in new
        ]
        self._add.execute(connection, rows)


def take(connection: Connection, now_us: int, until_us: int, limit: int) -> list[DueNotice]:
    """Take due notices: each by an update that only one taker succeeds with."""
    due = select(notices).where(notices.c.due_us <= now_us)
    found = connection.execute(
        due.order_by(notices.c.due_us, notices.c.run_id, notices.c.seq).limit(limit)
    ).all()
    return [_due(row) for row in found if _moved(connection, row, until_us)]


def _moved(connection: Connection, row: Row[tuple[object, ...]], until_us: int) -> bool:
    taken = update(notices).where(_is(row.run_id, row.seq, row.channel))
    taken = taken.where(notices.c.due_us == row.due_us).values(due_us=until_us)
    return connection.execute(taken).rowcount == 1


def _due(row: Row[tuple[object, ...]]) -> DueNotice:
    return DueNotice(
        tenant=row.tenant,
        run_id=row.run_id,
        seq=row.seq,
        channel=row.channel,
        payload=row.payload,
        time_us=row.create_us,
        attempts=row.attempts,
    )


def next_us(connection: Connection) -> int | None:
    """Return when the next notice is due."""
    return connection.execute(select(func.min(notices.c.due_us))).scalar()


def remove(connection: Connection, notice: DueNotice) -> None:
    """Delete a notice."""
    connection.execute(delete(notices).where(_is(notice.run_id, notice.seq, notice.channel)))


def put_off(connection: Connection, notice: DueNotice, error: str, due_us: int | None) -> None:
    """Note a failed delivery."""
    failed = update(notices).where(_is(notice.run_id, notice.seq, notice.channel))
    connection.execute(failed.values(attempts=notice.attempts + 1, error=error, due_us=due_us))


def undelivered(connection: Connection, limit: int) -> list[Undelivered]:
    """Return what channels have not accepted, by tenant and channel."""
    given_up = func.sum(case((notices.c.due_us.is_(None), 1), else_=0))
    query = (
        select(
            notices.c.tenant,
            notices.c.channel,
            given_up.label("given_up"),
            func.count().label("all"),
            func.max(notices.c.error).label("error"),
        )
        .where(notices.c.attempts > 0)
        .group_by(notices.c.tenant, notices.c.channel)
        .order_by(notices.c.tenant, notices.c.channel)
        .limit(limit)
    )
    return [
        Undelivered(
            tenant=row.tenant,
            channel=row.channel,
            given_up=int(row.given_up),
            waiting=int(row.all) - int(row.given_up),
            error=row.error,
        )
        for row in connection.execute(query)
    ]


def remove_old(connection: Connection, before_us: int, limit: int) -> list[str]:
    """Delete notices that were given up."""
    old = select(notices).where(notices.c.due_us.is_(None), notices.c.create_us < before_us)
    found = connection.execute(old.limit(limit)).all()
    for row in found:
        connection.execute(delete(notices).where(_is(row.run_id, row.seq, row.channel)))
    return [row.run_id for row in found]


def _is(run_id: str, seq: int, channel: str) -> ColumnElement[bool]:
    return and_(notices.c.run_id == run_id, notices.c.seq == seq, notices.c.channel == channel)
