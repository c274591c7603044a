"""Read access to runs, their rows and histories."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, literal_column, select, tuple_

from kaon_coordinator.engine.rows.codec import CELL
from kaon_coordinator.engine.rows.rows import BlockRow, RunRow, StepRow
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.store.records import RunPage, RunRecord, RunSelection
from kaon_coordinator.store.run_filters import has_label, has_param, holds_param
from kaon_coordinator.store.tables import blocks, history, inbox, runs, steps
from kaon_service import page_tokens
from kaon_wire import canonical
from kaon_wire.errors import NotFound
from kaonapi.run.v1 import command_pb2, history_pb2

STEP_COLUMNS = [column for column in steps.c if column.name != "run_id"]
# So much of an id must be right for a hint: what was submitted within about nine hours begins alike.
_ALIKE = 5
# Cells that are read in one go.
_CELLS_AT_ONCE = 10_000
BLOCK_COLUMNS = [column for column in blocks.c if column.name != "run_id"]


def get_run(connection: Connection, tenant: str, run_id: str) -> RunRecord:
    """Return one run of a tenant."""
    row = connection.execute(
        select(runs).where(runs.c.run_id == run_id, runs.c.tenant == tenant)
    ).first()
    if row is None:
        near = _near(connection, tenant, run_id)
        hint = f"; did you mean {near}?" if near else ""
        raise NotFound(f"there is no run {run_id!r}{hint}")
    return run_record(row)


def common_length(one: str, other: str) -> int:
    """Return how many characters at the beginnings of two texts are the same."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(one), len(other)))


def _near(connection: Connection, tenant: str, run_id: str) -> str:
    """Return the run of the tenant whose id is most like one that does not exist; empty when none begins as it does."""
    begin = run_id[:_ALIKE]
    if len(begin) < _ALIKE:
        return ""
    own = select(runs.c.run_id).where(
        runs.c.tenant == tenant, runs.c.run_id.startswith(begin, autoescape=True)
    )
    before = own.where(runs.c.run_id < run_id).order_by(runs.c.run_id.desc()).limit(1)
    after = own.where(runs.c.run_id > run_id).order_by(runs.c.run_id).limit(1)
    found = [*connection.execute(before).scalars(), *connection.execute(after).scalars()]
    return max(found, key=lambda each: common_length(each, run_id), default="")


def waiting_commands(
    connection: Connection, partition: int, run_id: str
) -> list[command_pb2.RunCommand]:
    """Return the commands for a run that its owner has not applied yet, oldest first."""
    query = select(inbox.c.command).where(inbox.c.partition == partition, inbox.c.run_id == run_id)
    rows = connection.execute(query.order_by(inbox.c.inbox_id))
    return [command_pb2.RunCommand.FromString(row.command) for row in rows]


def list_runs(
    connection: Connection,
    tenant: str,
    which: RunSelection,
    page_size: int,
    page_token: str,
) -> RunPage:
    """Return one page of a tenant's runs."""
    query = select(runs).where(runs.c.tenant == tenant)
    if which.workflow:
        query = query.where(runs.c.workflow == which.workflow)
    if which.status:
        query = query.where(runs.c.status == which.status)
    if which.since_us:
        query = query.where(runs.c.create_us >= which.since_us)
    if which.prefix:
        query = query.where(runs.c.run_id.startswith(which.prefix, autoescape=True))
    query = query.where(*(has_label(name, value) for name, value in which.labels.items()))
    query = query.where(*(has_param(name, text) for name, text in which.params.items()))
    if page_token:
        query = query.where(
            tuple_(runs.c.create_us, runs.c.run_id) < tuple_(*page_tokens.place(page_token))
        )
    query = query.order_by(runs.c.create_us.desc(), runs.c.run_id.desc()).limit(page_size + 1)
    found = [run_record(row) for row in connection.execute(query)]
    page = found[:page_size]
    return RunPage(
        runs=page,
        next_page_token=page_tokens.made(page[-1].create_us, page[-1].run_id)
        if len(found) > page_size
        else "",
    )


def list_steps(
    connection: Connection, run_id: str, after: int = -1, limit: int | None = None
) -> list[StepRow]:
    """Return the steps of a run in order of creation."""
    query = (
        select(*STEP_COLUMNS)
        .where(steps.c.run_id == run_id)
        .order_by(steps.c.position)
        .limit(limit)
    )
    if after >= 0:
        query = query.where(steps.c.position > after)
    return [StepRow(**row) for row in connection.execute(query).mappings()]


def list_blocks(
    connection: Connection, run_id: str, after: int = -1, limit: int | None = None
) -> list[BlockRow]:
    """Return the blocks and cells of a run in order of creation."""
    query = (
        select(*BLOCK_COLUMNS)
        .where(blocks.c.run_id == run_id)
        .order_by(blocks.c.position)
        .limit(limit)
    )
    if after >= 0:
        query = query.where(blocks.c.position > after)
    return [BlockRow(**row) for row in connection.execute(query).mappings()]


def cells(connection: Connection, run_id: str, after: int = -1) -> Iterator[tuple[str, int]]:
    """Yield path and status of the cells of a run after a position: memory is bounded."""
    query = select(blocks.c.path, blocks.c.status).where(
        blocks.c.run_id == run_id, blocks.c.kind == CELL, blocks.c.position > after
    )
    result = connection.execute(query, execution_options={"yield_per": _CELLS_AT_ONCE})
    for row in result:
        yield row.path, row.status


def find_row(connection: Connection, run_id: str, path: str) -> StepRow | BlockRow | None:
    """Return the step, block or cell at a path."""
    step = select(*STEP_COLUMNS).where(steps.c.run_id == run_id, steps.c.path == path)
    if (row := connection.execute(step).mappings().first()) is not None:
        return StepRow(**row)
    block = select(*BLOCK_COLUMNS).where(blocks.c.run_id == run_id, blocks.c.path == path)
    row = connection.execute(block).mappings().first()
    return None if row is None else BlockRow(**row)


def events(
    connection: Connection, run_id: str, after_seq: int, limit: int
) -> list[history_pb2.HistoryEvent]:
    """Return the events of a run after a seq."""
    query = (
        select(history.c.event)
        .where(history.c.run_id == run_id, history.c.seq > after_seq)
        .order_by(history.c.seq)
        .limit(limit)
    )
    # All at once: one row after the other takes half as long again.
    found = connection.execute(query).scalars().all()
    return [history_pb2.HistoryEvent.FromString(data) for data in found]


def ended_runs(
    connection: Connection, tenant: str, workflow: str, since_us: int, limit: int
) -> list[RunRecord]:
    """Return the runs of a workflow that have ended since a time."""
    query = (
        select(runs)
        .where(*_ended(tenant, workflow, since_us), runs.c.status.in_(t.TERMINAL))
        .order_by(runs.c.end_us, runs.c.run_id)
        .limit(limit)
    )
    return [run_record(row) for row in connection.execute(query)]


def succeeded_run(
    connection: Connection, tenant: str, workflow: str, params: Mapping[str, str], since_us: int
) -> RunRecord | None:
    """Return the run with these parameters that has succeeded last, at or after a time."""
    query = (
        select(runs)
        .where(
            *_ended(tenant, workflow, since_us),
            runs.c.status == int(t.SUCCEEDED),
            # The run of a part of a workflow names its targets so.
            ~runs.c.data.contains('"only":["'),
            ~runs.c.data.contains('"until":["'),
            *(holds_param(connection, name, text) for name, text in sorted(params.items())),
        )
        .order_by(runs.c.end_us.desc(), runs.c.run_id.desc())
        .limit(1)
    )
    row = connection.execute(query).first()
    return None if row is None else run_record(row)


def _ended(tenant: str, workflow: str, since_us: int) -> tuple[ColumnElement[bool], ...]:
    return (
        runs.c.tenant == tenant,
        runs.c.workflow == workflow,
        # What the index says.
        runs.c.end_us > literal_column("0"),
        runs.c.end_us >= since_us,
    )


def run_record(row: Row[Any]) -> RunRecord:
    """Convert a row of table runs to a record."""
    return RunRecord(**run_fields(row))


def run_fields(row: Row[Any]) -> Mapping[str, Any]:
    """Return the fields of a `RunRecord`."""
    return {
        "tenant": row.tenant,
        "workflow": row.workflow,
        "version": row.version,
        "partition": row.partition,
        "params": canonical.loads(row.params),
        "submitter": row.submitter,
        "create_us": row.create_us,
        "published_seq": row.published_seq,
        "parent_run_id": row.parent_run_id,
        "parent_path": row.parent_path,
        "depth": row.depth,
        "fork_run_id": row.fork_run_id,
        "fork_seq": row.fork_seq,
        "origin": row.origin,
        "labels": canonical.loads(row.labels) if row.labels else {},
        "row": RunRow(
            run_id=row.run_id,
            status=row.status,
            seq=row.seq,
            start_us=row.start_us,
            end_us=row.end_us,
            error=row.error,
            cancel_requested=bool(row.cancel_requested),
            steps_total=row.steps_total,
            steps_succeeded=row.steps_succeeded,
            priority=row.priority,
            outputs=row.outputs,
            data=row.data,
        ),
    }
