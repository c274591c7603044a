"""Converts records of the store to messages of the API."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from kaon_coordinator.engine.rows.cell_counts import counted
from kaon_coordinator.engine.rows.codec import CELL, error_of, occasion_in
from kaon_coordinator.engine.rows.row_views import block_view, cell_view, timestamp
from kaon_coordinator.engine.rows.rows import BlockRow
from kaon_coordinator.store.base import RunRecord, WorkflowRecord
from kaon_wire import canonical
from kaonapi.run.v1 import run_pb2
from kaonapi.workflow.v1 import workflow_service_pb2


def workflow(record: WorkflowRecord) -> workflow_service_pb2.Workflow:
    """Convert a registered version."""
    return workflow_service_pb2.Workflow(
        name=record.name,
        version=record.version,
        definition=record.definition,
        create_time=timestamp(record.create_us),
    )


def run(record: RunRecord) -> run_pb2.Run:
    """Convert a run."""
    row = record.row
    data = canonical.loads(row.data) if row.data else {}
    scheduled_us, previous = occasion_in(data)
    return run_pb2.Run(
        run_id=row.run_id,
        workflow=record.workflow,
        version=record.version,
        tenant=record.tenant,
        status=run_pb2.Status.ValueType(row.status),
        params_json=record.params,
        create_time=timestamp(record.create_us),
        start_time=timestamp(row.start_us),
        end_time=timestamp(row.end_us),
        error=error_of(row.error),
        last_seq=row.seq,
        submitter=record.submitter,
        steps_total=row.steps_total,
        steps_succeeded=row.steps_succeeded,
        priority=row.priority,
        parent_run_id=record.parent_run_id,
        parent_path=record.parent_path,
        forked_from_run_id=record.fork_run_id,
        forked_from_seq=record.fork_seq,
        origin=record.origin,
        outputs_json=canonical.loads(row.outputs) if row.outputs else {},
        labels=record.labels,
        late=data.get("late", False),
        breakpoints=data.get("breakpoints", ()),
        scheduled_time=timestamp(scheduled_us),
        previous_success=previous,
        bound_json=data.get("bound", {}),
    )


def blocks(
    rows: Sequence[BlockRow], counts: Mapping[str, Mapping[int, int]] | None = None
) -> list[run_pb2.BlockView]:
    """Convert the blocks, with the counts of their cells.

    Args:
        rows: The blocks, and cells, which are not shown.
        counts: How many cells blocks have in each status; without it they are counted among `rows`.
    """
    shown = [row for row in rows if row.kind != CELL]
    if counts is None:
        cells = ((row.path, row.status) for row in rows if row.kind == CELL)
        counts = counted(cells, {row.path for row in shown})
    return [block_view(row, counts.get(row.path, {})) for row in shown]


def cells(rows: Iterable[BlockRow]) -> list[run_pb2.CellView]:
    """Convert the cells that have an item: those of foreach blocks."""
    shown = [cell_view(row) for row in rows if row.kind == CELL]
    return [cell for cell in shown if cell.item_json]
