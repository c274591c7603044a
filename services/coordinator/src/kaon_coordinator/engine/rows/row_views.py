"""Converts rows to messages of the API."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping
from typing import Any

from google.protobuf import timestamp_pb2

from kaon_coordinator.engine.rows.codec import error_of
from kaon_coordinator.engine.rows.rows import BlockRow, StepRow
from kaon_coordinator.engine.state import transitions as t
from kaon_wire import canonical
from kaonapi.run.v1 import run_pb2
from kaonapi.workflow.v1 import definition_pb2 as d


def step_view(row: StepRow) -> run_pb2.StepView:
    """Return a step as the API shows it."""
    data: dict[str, Any] = canonical.loads(row.data)
    memo_run_id, memo_path = data.get("memo", ("", ""))
    return run_pb2.StepView(
        path=row.path,
        name=row.name,
        type=data["type"],
        status=row.status,  # type: ignore[arg-type]
        attempt=row.attempt,
        generation=row.generation,
        runner_id=row.runner_id,
        start_time=timestamp(row.start_us),
        end_time=timestamp(row.end_us),
        error=error_of(data.get("error", "")),
        outputs_json=data.get("outputs", {}),
        progress=1.0 if row.status == t.SUCCEEDED else 0.0,
        metrics={name: float(value) for name, value in data.get("metrics", {}).items()},
        lost_runners=data.get("lost_runners", 0),
        memo_run_id=memo_run_id,
        memo_path=memo_path,
        bound_json=data.get("bound", {}),
        at_breakpoint=data.get("held", False),
        inputs_json=data.get("inputs", {}) if data.get("held") else {},
    )


def block_view(row: BlockRow, cells: Mapping[int, int]) -> run_pb2.BlockView:
    """Return a block as the API shows it, with the counts of its `cells`."""
    data: dict[str, Any] = canonical.loads(row.data)
    memo_run_id, memo_path = data.get("memo", ("", ""))
    return run_pb2.BlockView(
        path=row.path,
        kind=row.kind,
        status=row.status,  # type: ignore[arg-type]
        started=sum(cells.values()),
        finished=sum(number for status, number in cells.items() if status in t.TERMINAL),
        total=data.get("total", 0),
        error=error_of(data.get("error", "")),
        outputs_json=data.get("outputs", {}),
        child_run_id=data.get("child", ""),
        gate=data.get("gate", ""),
        roles=data.get("roles", ()),
        message=data.get("message", ""),
        signal=data.get("signal", ""),
        where_cel=data.get("where", ""),
        fields=[
            d.Parameter.FromString(b64decode(text))
            for text in data.get("fields", ())
            if row.status == t.WAITING
        ],
        due_time=timestamp(data.get("due", 0)),
        bound_json=data.get("bound", {}),
        cells={t.short(status): number for status, number in cells.items()},  # type: ignore[arg-type]
        memo_run_id=memo_run_id,
        memo_path=memo_path,
    )


def cell_view(row: BlockRow) -> run_pb2.CellView:
    """Return a cell of a foreach as the API shows it."""
    data: dict[str, Any] = canonical.loads(row.data)
    return run_pb2.CellView(
        path=row.path,
        block=data["block"],
        index=data.get("index", 0),
        item_json=data.get("item", ""),
        status=row.status,  # type: ignore[arg-type]
        error=error_of(data.get("error", "")),
    )


def timestamp(time_us: int) -> timestamp_pb2.Timestamp | None:
    """Convert microseconds since the epoch to a timestamp, or return None for an unset time (0)."""
    if not time_us:
        return None
    stamp = timestamp_pb2.Timestamp()
    stamp.FromMicroseconds(time_us)
    return stamp
