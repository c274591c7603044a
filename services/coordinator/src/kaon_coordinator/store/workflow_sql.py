"""Registered workflows."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, Select, select

from kaon_coordinator.store.records import WorkflowRecord
from kaon_coordinator.store.tables import workflow_names, workflows
from kaon_service.databases import Database
from kaon_wire.errors import NotFound
from kaonapi.workflow.v1 import definition_pb2


def put(
    database: Database, connection: Connection, record: WorkflowRecord, *, aside: bool = False
) -> bool:
    """Store a version unless it exists, and make it the current one unless another is and it is put aside.

    Returns:
        Whether it is new.
    """
    added = connection.execute(
        database.insert(workflows)
        .values(
            tenant=record.tenant,
            name=record.name,
            version=record.version,
            definition=record.definition.SerializeToString(deterministic=True),
            create_us=record.create_us,
        )
        .on_conflict_do_nothing()
        .returning(workflows.c.version)
    ).first()
    name = database.insert(workflow_names).values(
        tenant=record.tenant, name=record.name, current_version=record.version
    )
    connection.execute(
        name.on_conflict_do_nothing()
        if aside
        else name.on_conflict_do_update(
            index_elements=["tenant", "name"],
            set_={"current_version": name.excluded.current_version},
        )
    )
    return added is not None


def get(connection: Connection, tenant: str, name: str, version: str) -> WorkflowRecord:
    """Return one version, or the current one."""
    query = select(workflows).where(workflows.c.version == version) if version else _current()
    row = connection.execute(
        query.where(workflows.c.tenant == tenant, workflows.c.name == name)
    ).first()
    if row is None:
        wanted = f"workflow {name!r} in version {version!r}" if version else f"workflow {name!r}"
        raise NotFound(f"there is no {wanted}; register it first")
    return _record(row)


def of_tenant(
    connection: Connection, tenant: str, after: str = "", limit: int | None = None
) -> list[WorkflowRecord]:
    """Return the current version of at most `limit` workflows of a tenant after one, by name."""
    mine = (workflows.c.tenant == tenant) & (workflows.c.name > after)
    query = _current().where(mine).order_by(workflows.c.name).limit(limit)
    return [_record(row) for row in connection.execute(query)]


def _current() -> Select[Any]:
    return select(workflows).join(
        workflow_names,
        (workflow_names.c.tenant == workflows.c.tenant)
        & (workflow_names.c.name == workflows.c.name)
        & (workflow_names.c.current_version == workflows.c.version),
    )


def _record(row: Row[Any]) -> WorkflowRecord:
    return WorkflowRecord(
        tenant=row.tenant,
        name=row.name,
        version=row.version,
        definition=definition_pb2.WorkflowDefinition.FromString(row.definition),
        create_us=row.create_us,
    )
