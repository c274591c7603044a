"""Memos: the outputs of executions, for equal ones."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, select

from kaon_coordinator.store.bulk import Bulk, upsert
from kaon_coordinator.store.records import Memo
from kaon_coordinator.store.tables import memos
from kaon_service.databases import Database
from kaon_wire import canonical


class Memos:
    """Stores memos; the newest one under a key counts."""

    def __init__(self, database: Database) -> None:
        self._upsert = Bulk(
            database, upsert(database, memos), [column.name for column in memos.columns]
        )

    def remember(self, connection: Connection, new: Sequence[Memo]) -> None:
        """Store memos in a global order, so that no two transactions deadlock."""
        rows = {(memo.tenant, memo.key): memo for memo in new}
        self._upsert.execute(connection, [_values(memo) for _, memo in sorted(rows.items())])


def find(connection: Connection, tenant: str, key: str) -> Memo | None:
    """Return the newest memo under a key."""
    row = connection.execute(
        select(memos).where(memos.c.tenant == tenant, memos.c.key == key)
    ).first()
    if row is None:
        return None
    return Memo(
        tenant=row.tenant,
        key=row.key,
        outputs=canonical.loads(row.outputs),
        run_id=row.run_id,
        path=row.path,
        time_us=row.time_us,
    )


def _values(memo: Memo) -> tuple[str, str, str, str, str, int]:
    outputs = canonical.dumps(dict(memo.outputs))
    return memo.tenant, memo.key, outputs, memo.run_id, memo.path, memo.time_us
