"""Counts what tenants have stored."""

from __future__ import annotations

from sqlalchemy import ColumnElement, Connection, exists, func, select
from sqlalchemy.sql.selectable import FromClause

from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.store.tables import runs, schedules, workflow_names, workflows
from kaonapi.run.v1 import run_pb2

# Named one by one, so that the index by tenant and status serves.
_OPEN = sorted(set(run_pb2.Status.values()) - t.TERMINAL)


def count_open_runs(connection: Connection, tenant: str, most: int) -> int:
    """Count the tenant's runs that have not ended, and stop at `most`."""
    is_open = runs.c.status.in_(_OPEN)
    some = select(runs.c.run_id).where(runs.c.tenant == tenant, is_open).limit(most).subquery()
    return _count(connection, some)


def count_workflows(connection: Connection, tenant: str) -> int:
    """Count the tenant's workflow names."""
    return _count(connection, workflow_names, workflow_names.c.tenant == tenant)


def count_versions(connection: Connection, tenant: str, workflow: str) -> int:
    """Count the versions of a workflow."""
    mine = workflows.c.tenant == tenant
    return _count(connection, workflows, mine, workflows.c.name == workflow)


def count_schedules(connection: Connection, tenant: str) -> int:
    """Count the tenant's schedules."""
    return _count(connection, schedules, schedules.c.tenant == tenant)


def is_key_used(connection: Connection, tenant: str, workflow: str, key: str) -> bool:
    """Return whether a run of this idempotency key was submitted."""
    same = exists().where(
        runs.c.tenant == tenant, runs.c.workflow == workflow, runs.c.idempotency_key == key
    )
    return bool(connection.execute(select(same)).scalar())


def _count(connection: Connection, rows: FromClause, *which: ColumnElement[bool]) -> int:
    found = connection.execute(select(func.count()).select_from(rows).where(*which)).scalar()
    return int(found or 0)
