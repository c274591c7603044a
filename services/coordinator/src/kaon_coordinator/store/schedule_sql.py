"""Schedules and their states."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import Connection, Row, delete, select, update

from kaon_coordinator.store.aside_sql import take_back
from kaon_coordinator.store.dataset_sql import note_runs
from kaon_coordinator.store.records import RunRecord, ScheduleRecord, ScheduleStep
from kaon_coordinator.store.submission_sql import Submissions
from kaon_coordinator.store.tables import schedules
from kaon_service.databases import Database
from kaon_wire.errors import Conflict, NotFound
from kaonapi.schedule.v1 import schedule_pb2


def put(
    database: Database, connection: Connection, record: ScheduleRecord
) -> tuple[ScheduleRecord, bool]:
    """Store a schedule, or replace the definition of the one with its name and keep its state.

    Tell whether it is new.
    """
    values = {
        "tenant": record.tenant,
        "name": record.name,
        "partition": record.partition,
        "definition": record.definition.SerializeToString(deterministic=True),
        "next_us": record.next_us,
        "state": record.state,
        "revision": 1,
        "create_us": record.create_us,
    }
    row = database.insert(schedules).values(values)
    changed = {
        "definition": row.excluded.definition,
        "next_us": row.excluded.next_us,
        "state": row.excluded.state,
        "revision": schedules.c.revision + 1,
    }
    statement = row.on_conflict_do_update(index_elements=["tenant", "name"], set_=changed)
    found = connection.execute(statement.returning(schedules)).one()
    return _record(found), found.revision == 1


def get(connection: Connection, tenant: str, name: str) -> ScheduleRecord:
    """Return one schedule."""
    query = select(schedules).where(schedules.c.tenant == tenant, schedules.c.name == name)
    row = connection.execute(query).first()
    if row is None:
        raise NotFound(f"there is no schedule {name!r}")
    return _record(row)


def of_tenant(
    connection: Connection, tenant: str, after: str = "", limit: int | None = None
) -> list[ScheduleRecord]:
    """Return at most `limit` of a tenant's schedules after one, by name."""
    mine = (schedules.c.tenant == tenant) & (schedules.c.name > after)
    query = select(schedules).where(mine).order_by(schedules.c.name).limit(limit)
    return [_record(row) for row in connection.execute(query)]


def remove(connection: Connection, tenant: str, name: str) -> None:
    """Delete a schedule."""
    chosen = (schedules.c.tenant == tenant, schedules.c.name == name)
    if connection.execute(delete(schedules).where(*chosen)).rowcount != 1:
        raise NotFound(f"there is no schedule {name!r}")
    take_back(connection, "schedule", tenant, name)


def due(
    connection: Connection, partitions: Collection[int], now_us: int, limit: int
) -> list[ScheduleRecord]:
    """Return the due schedules of some partitions, the longest waiting first."""
    query = (
        select(schedules)
        .where(schedules.c.partition.in_(sorted(partitions)), schedules.c.next_us <= now_us)
        .order_by(schedules.c.next_us, schedules.c.tenant, schedules.c.name)
        .limit(limit)
    )
    return [_record(row) for row in connection.execute(query)]


def advance(
    connection: Connection, submissions: Submissions, step: ScheduleStep
) -> list[tuple[RunRecord, bool] | Conflict] | None:
    """Write the owner's decision after the fence; return None when a client has changed the schedule since it was read."""
    schedule = step.schedule
    same = (
        schedules.c.tenant == schedule.tenant,
        schedules.c.name == schedule.name,
        schedules.c.revision == schedule.revision,
        schedules.c.create_us == schedule.create_us,
    )
    change = {"next_us": step.next_us, "state": step.state, "revision": schedule.revision + 1}
    if connection.execute(update(schedules).where(*same).values(change)).rowcount != 1:
        return None
    answers = submissions.submit(connection, step.runs)
    made = {answer[0].run_id for answer in answers if isinstance(answer, tuple) and answer[1]}
    note_runs(connection, [run for run in step.runs if run.run_id in made])
    if step.messages:
        submissions.tell(connection, step.messages)
    return answers


def _record(row: Row[Any]) -> ScheduleRecord:
    return ScheduleRecord(
        tenant=row.tenant,
        partition=row.partition,
        definition=schedule_pb2.Schedule.FromString(row.definition),
        next_us=row.next_us,
        state=row.state,
        revision=row.revision,
        create_us=row.create_us,
    )
