"""Snapshots: the rows of a run after an event, stored as one value."""

from __future__ import annotations

import json
import zlib
from dataclasses import fields
from typing import Any, TypeVar

from sqlalchemy import Connection, select

from kaon_coordinator.engine.rows.rows import BlockRow, RunRow, StepRow
from kaon_coordinator.store import run_sql
from kaon_coordinator.store.records import Snapshot
from kaon_coordinator.store.tables import runs, snapshots
from kaon_service.databases import Database
from kaon_wire.errors import NotFound

Row = TypeVar("Row", StepRow, BlockRow, RunRow)


def encode(snapshot: Snapshot) -> bytes:
    """Encode a snapshot: compressed JSON, with the names of fields only in the first row."""
    content = {
        "run": _values([snapshot.row], RunRow),
        "steps": _values(snapshot.steps, StepRow),
        "blocks": _values(snapshot.blocks, BlockRow),
    }
    return zlib.compress(json.dumps(content, separators=(",", ":")).encode(), 1)


def decode(data: bytes) -> Snapshot:
    """Decode a snapshot of this or an older version: fields that it lacks have their defaults."""
    content = json.loads(zlib.decompress(data))
    (row,) = _rows(content["run"], RunRow)
    return Snapshot(
        row=row, steps=_rows(content["steps"], StepRow), blocks=_rows(content["blocks"], BlockRow)
    )


def _values(rows: Any, kind: type[Any]) -> list[list[Any]]:
    names = [field.name for field in fields(kind)]
    return [names, *([getattr(row, name) for name in names] for row in rows)]


def _rows(values: list[list[Any]], kind: type[Row]) -> list[Row]:
    names, *rest = values
    return [kind(**dict(zip(names, each, strict=True))) for each in rest]


def read(connection: Connection, run_id: str) -> Snapshot | None:
    """Return the current rows of a run; None when they changed during the read."""
    row = _run(connection, run_id)
    found = Snapshot(
        row=row,
        steps=run_sql.list_steps(connection, run_id),
        blocks=run_sql.list_blocks(connection, run_id),
    )
    # Statements of one transaction may see different commits (PostgreSQL); each commit changes the run's row.
    return found if _run(connection, run_id).seq == row.seq else None


def _run(connection: Connection, run_id: str) -> RunRow:
    found = connection.execute(select(runs).where(runs.c.run_id == run_id)).first()
    if found is None:
        raise NotFound(f"there is no run {run_id!r}")
    row: RunRow = run_sql.run_fields(found)["row"]
    return row


def put(database: Database, connection: Connection, snapshot: Snapshot) -> None:
    """Store a snapshot, unless its run is gone or it exists already: it would be equal."""
    # Locked as commands do, so that retention does not delete the run meanwhile.
    there = (
        select(runs.c.run_id).where(runs.c.run_id == snapshot.row.run_id).with_for_update(read=True)
    )
    if connection.execute(there).first() is None:
        return
    values = {"run_id": snapshot.row.run_id, "seq": snapshot.row.seq, "state": encode(snapshot)}
    connection.execute(database.insert(snapshots).values(values).on_conflict_do_nothing())


def find(connection: Connection, run_id: str, seq: int) -> Snapshot | None:
    """Return the newest snapshot that is not newer than `seq`."""
    query = select(snapshots.c.state).where(snapshots.c.run_id == run_id, snapshots.c.seq <= seq)
    data = connection.execute(query.order_by(snapshots.c.seq.desc()).limit(1)).scalar()
    return None if data is None else decode(data)


def seqs(connection: Connection, run_id: str) -> list[int]:
    """Return the event numbers of the snapshots."""
    query = select(snapshots.c.seq).where(snapshots.c.run_id == run_id).order_by(snapshots.c.seq)
    return list(connection.execute(query).scalars())
