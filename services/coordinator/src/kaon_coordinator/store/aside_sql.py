"""Runs and schedules that are set aside until a person takes them back."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Connection, bindparam, delete, exists, select, tuple_

from kaon_coordinator.store.bulk import Bulk
from kaon_coordinator.store.records import SetAside
from kaon_coordinator.store.tables import set_aside
from kaon_service.databases import Database

_COLUMNS = [column.name for column in set_aside.columns]
_KEYS = [column.name for column in set_aside.primary_key]


class Aside:
    """Writes what is set aside."""

    def __init__(self, database: Database) -> None:
        first = database.insert(set_aside).values({name: bindparam(name) for name in _COLUMNS})
        changed = {name: first.excluded[name] for name in _COLUMNS if name not in _KEYS}
        self._put = Bulk(
            database, first.on_conflict_do_update(index_elements=_KEYS, set_=changed), _COLUMNS
        )

    def put(self, connection: Connection, rows: Sequence[SetAside]) -> None:
        """Set things aside; the newest reason counts."""
        self._put.execute(
            connection, [tuple(getattr(row, name) for name in _COLUMNS) for row in rows]
        )


def listed(connection: Connection, limit: int) -> list[SetAside]:
    """Return what is set aside, the newest first; all of it when `limit` is 0."""
    query = select(set_aside).order_by(set_aside.c.time_us.desc(), set_aside.c.name)
    rows = connection.execute(query.limit(limit) if limit else query)
    return [SetAside(**row) for row in rows.mappings()]


def take_back(connection: Connection, kind: str, tenant: str, name: str) -> bool:
    """Return something to its owner; return False when it was not set aside."""
    key = (kind, tenant, name)
    query = delete(set_aside).where(
        tuple_(set_aside.c.kind, set_aside.c.tenant, set_aside.c.name) == tuple_(*key)
    )
    return connection.execute(query).rowcount > 0


def is_aside(run_id: ColumnElement[str]) -> ColumnElement[bool]:
    """Tell whether a run is set aside."""
    return exists().where(
        set_aside.c.kind == "run", set_aside.c.tenant == "", set_aside.c.name == run_id
    )
