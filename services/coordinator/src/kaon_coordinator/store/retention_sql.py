"""Retention: deletes old runs, or only the archived lines of their steps."""

from __future__ import annotations

from sqlalchemy import ColumnElement, Connection, delete, exists, select, tuple_

from kaon_coordinator.store.tables import (
    blocks,
    history,
    inbox,
    log_chunks,
    log_leases,
    memos,
    permit_holds,
    permit_waits,
    run_labels,
    runs,
    snapshots,
    steps,
)

# Rows of one run besides its own. History comes after the run: the database keeps it as long as its run
# exists.
_OF_RUN = (
    steps,
    blocks,
    permit_holds,
    permit_waits,
    snapshots,
    run_labels,
    history,
    log_chunks,
    log_leases,
)


def remove_runs(connection: Connection, before_us: int, limit: int) -> list[str]:
    """Delete up to `limit` runs that ended before a time, with all their data, and return their ids.

    A run stays while others need it: one with a waiting command, with a fork, or with an existing parent.
    """
    query = select(runs.c.run_id).where(_removable(before_us)).order_by(runs.c.end_us).limit(limit)
    # Commands hold a shared lock on the run's row while they are written: none is written for a deleted run.
    found = list(connection.execute(query.with_for_update(skip_locked=True)).scalars())
    if found:
        connection.execute(delete(runs).where(runs.c.run_id.in_(found)))
        for table in _OF_RUN:
            connection.execute(delete(table).where(table.c.run_id.in_(found)))
    return found


def remove_logs(connection: Connection, before_us: int, limit: int) -> list[str]:
    """Delete the archived lines of up to `limit` runs that ended before a time, and return the runs' ids."""
    query = (
        select(log_leases.c.run_id)
        .join(runs, runs.c.run_id == log_leases.c.run_id)
        .where(runs.c.end_us > 0, runs.c.end_us < before_us)
        .distinct()
        .limit(limit)
    )
    found = list(connection.execute(query).scalars())
    for table in (log_chunks, log_leases):
        connection.execute(delete(table).where(table.c.run_id.in_(found)))
    return found


def remove_memos(connection: Connection, before_us: int, limit: int) -> list[str]:
    """Delete up to `limit` memos from before a time, and return their keys."""
    found = connection.execute(
        select(memos.c.tenant, memos.c.key).where(memos.c.time_us < before_us).limit(limit)
    ).all()
    if found:
        # A memo that was stored anew meanwhile stays.
        old = tuple_(memos.c.tenant, memos.c.key).in_([tuple(row) for row in found])
        connection.execute(delete(memos).where(old, memos.c.time_us < before_us))
    return [row.key for row in found]


def _removable(before_us: int) -> ColumnElement[bool]:
    fork, parent = runs.alias("fork"), runs.alias("parent")
    return (
        (runs.c.open == 0)
        & (runs.c.end_us > 0)
        & (runs.c.end_us < before_us)
        & ~exists().where(inbox.c.run_id == runs.c.run_id)
        & ~exists().where(fork.c.fork_run_id == runs.c.run_id)
        & ~exists().where(parent.c.run_id == runs.c.parent_run_id)
    )
