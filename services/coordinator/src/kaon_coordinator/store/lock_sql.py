"""Locks that are held around a run: by the blocks of its ancestors in which it runs."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Connection, select

from kaon_coordinator.engine.scopes.locks import PREFIX
from kaon_coordinator.engine.state.paths import at_or_under
from kaon_coordinator.store.lock_order import names, refusal
from kaon_coordinator.store.records import Holder, PermitWish
from kaon_coordinator.store.strategies import Refusal
from kaon_coordinator.store.tables import permit_holds, runs


def refusal_of(connection: Connection, wish: PermitWish) -> Refusal | None:
    """Return why the locks of a wish may not be taken where its run runs."""
    if not names(wish.keys):
        return None
    return refusal(wish.keys, _around(connection, wish.holder.run_id))


def _around(connection: Connection, run_id: str) -> Iterator[tuple[Holder, str]]:
    while True:
        parent = connection.execute(
            select(runs.c.parent_run_id, runs.c.parent_path).where(runs.c.run_id == run_id)
        ).first()
        if parent is None or not parent.parent_run_id:
            return
        run_id = parent.parent_run_id
        held = select(permit_holds).where(
            permit_holds.c.run_id == run_id, permit_holds.c.key.startswith(PREFIX)
        )
        for row in connection.execute(held):
            if at_or_under(parent.parent_path, row.path):
                yield Holder(run_id=run_id, path=row.path), row.key
