"""Between states and rows: what changed as rows, rows back into a state, and rows as the API shows them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

from google.protobuf import timestamp_pb2

from kaon_coordinator.engine import transitions as t
from kaon_coordinator.engine.compiled import CompiledWorkflow
from kaon_coordinator.engine.rows import BlockRow, RunRow, StepRow
from kaon_coordinator.engine.state import (
    BlockState,
    Node,
    RunState,
    ScopeState,
    StepState,
    add_cell,
    add_node,
)
from kaon_wire import canonical
from kaonapi.run.v1 import run_pb2
from kaonapi.step.v1 import step_pb2

CELL = "cell"


def take_step_rows(state: RunState) -> list[StepRow]:
    """Rows of the steps that changed since the last call."""
    rows = [step_row(state.steps[path]) for path in sorted(state.touched_steps)]
    state.touched_steps.clear()
    return rows


def take_block_rows(state: RunState) -> list[BlockRow]:
    """Rows of the blocks and cells that changed since the last call."""
    rows = [_block_or_cell_row(state, path) for path in sorted(state.touched_blocks)]
    state.touched_blocks.clear()
    return rows


def run_row(state: RunState) -> RunRow:
    """The row of the run itself."""
    return RunRow(
        run_id=state.run_id,
        status=state.status,
        seq=state.seq,
        start_us=state.start_us,
        end_us=state.end_us,
        error=_error_json(state.error),
        cancel_requested=state.cancel_requested,
        steps_total=len(state.steps),
        steps_succeeded=state.steps_succeeded,
    )


def step_row(step: StepState) -> StepRow:
    """One step as a row."""
    data = {
        "inputs": step.inputs,
        "outputs": step.outputs,
        "error": _error_json(step.error),
        "log": step.log_json,
        "checkpoint": step.checkpoint_json,
        "metrics": step.metrics,
        "lost_runners": step.lost_runners,
        "platform_failures": step.platform_failures,
        "stop_reason": step.stop_reason,
        "type": step.block.step.type,
    }
    return StepRow(
        path=step.path,
        position=step.position,
        name=step.block.name,
        status=step.status,
        attempt=step.attempt,
        generation=step.generation,
        runner_id=step.runner_id,
        incarnation=step.incarnation,
        ready_us=step.ready_us,
        start_us=step.start_us,
        end_us=step.end_us,
        retry_us=step.retry_us,
        data=canonical.dumps({name: value for name, value in data.items() if value}),
    )


def _block_or_cell_row(state: RunState, path: str) -> BlockRow:
    block = state.blocks.get(path)
    if block is None:
        return cell_row(state.scopes[path])
    data = {
        "keys": list(block.keys),
        "items": list(block.items),
        "error": _error_json(block.error),
        "total": len(block.keys) if block.kind == "for_each" else block.block.repeat.max_iterations,
    }
    return BlockRow(
        path=block.path,
        position=block.position,
        kind=block.kind,
        status=block.status,
        data=canonical.dumps({name: value for name, value in data.items() if value}),
    )


def cell_row(cell: ScopeState) -> BlockRow:
    """One cell as a row."""
    assert cell.parent is not None
    data = {"block": cell.parent.path, "index": cell.index, "error": _error_json(cell.error)}
    return BlockRow(
        path=cell.path,
        position=cell.position,
        kind=CELL,
        status=cell.status,
        data=canonical.dumps({name: value for name, value in data.items() if value}),
    )


def restore(
    *,
    workflow: CompiledWorkflow,
    run: RunRow,
    tenant: str,
    submitter: str,
    params: dict[str, str],
    steps: Iterable[StepRow],
    blocks: Iterable[BlockRow],
) -> RunState:
    """The state that was saved as these rows. Counters are counted anew."""
    state = RunState(run_id=run.run_id, workflow=workflow, tenant=tenant, submitter=submitter, params=params)
    state.status = run.status  # type: ignore[assignment]
    state.seq, state.start_us, state.end_us = run.seq, run.start_us, run.end_us
    state.cancel_requested = run.cancel_requested
    state.error = _error(run.error)
    rows: list[StepRow | BlockRow] = sorted([*steps, *blocks], key=lambda row: row.position)
    for row in rows:
        if isinstance(row, StepRow):
            _restore_step(state, row)
        elif row.kind == CELL:
            _restore_cell(state, row)
        else:
            _restore_block(state, row)
    state.next_position = max((row.position for row in rows), default=0) + 1
    if state.ended:
        state.root.status = state.status
    for scope in state.scopes.values():
        _count(scope)
    state.steps_succeeded = sum(step.status == t.SUCCEEDED for step in state.steps.values())
    state.touched_steps.clear()
    state.touched_blocks.clear()
    return state


def _scope_of(state: RunState, path: str, name: str) -> ScopeState:
    return state.scopes[path[: -len(name)].removesuffix("/")]


def _restore_step(state: RunState, row: StepRow) -> None:
    scope = _scope_of(state, row.path, row.name)
    step = add_node(state, scope, row.name, scope.graph.blocks[row.name], row.position)
    assert isinstance(step, StepState)
    data: dict[str, Any] = canonical.loads(row.data)
    step.status = row.status  # type: ignore[assignment]
    step.attempt, step.generation = row.attempt, row.generation
    step.runner_id, step.incarnation = row.runner_id, row.incarnation
    step.ready_us, step.start_us, step.end_us, step.retry_us = (
        row.ready_us,
        row.start_us,
        row.end_us,
        row.retry_us,
    )
    step.inputs = data.get("inputs", {})
    step.outputs = data.get("outputs", {})
    step.error = _error(data.get("error", ""))
    step.log_json = data.get("log", "")
    step.checkpoint_json = data.get("checkpoint", "")
    step.metrics = data.get("metrics", {})
    step.lost_runners = data.get("lost_runners", 0)
    step.platform_failures = data.get("platform_failures", 0)
    step.stop_reason = data.get("stop_reason", "")


def _restore_block(state: RunState, row: BlockRow) -> None:
    name = row.path.rsplit("/", 1)[-1]
    scope = _scope_of(state, row.path, name)
    block = add_node(state, scope, name, scope.graph.blocks[name], row.position)
    assert isinstance(block, BlockState)
    data = canonical.loads(row.data)
    block.status = row.status  # type: ignore[assignment]
    block.keys = tuple(data.get("keys", ()))
    block.items = tuple(data.get("items", ()))
    block.error = _error(data.get("error", ""))


def _restore_cell(state: RunState, row: BlockRow) -> None:
    data = canonical.loads(row.data)
    cell = add_cell(state, state.blocks[data["block"]], row.path, data.get("index", 0), row.position)
    cell.status = row.status  # type: ignore[assignment]
    cell.error = _error(data.get("error", ""))


def _count(scope: ScopeState) -> None:
    for name, degree in scope.graph.in_degree.items():
        if degree and scope.nodes:
            scope.waiting[name] = degree
    broken: list[Node] = []
    for name, node in scope.nodes.items():
        ended = node.status in t.TERMINAL
        scope.remaining += not ended
        scope.active += not ended and _begun(node)
        scope.cancelled |= node.status == t.CANCELLED
        if node.status in t.BROKEN:
            broken.append(node)
        if node.status in t.PASSED and not (node.status == t.SKIPPED and scope.status != t.RUNNING):
            for successor in scope.graph.successors[name]:
                scope.waiting[successor] -= 1
        if isinstance(node, BlockState):
            node.active = sum(cell.status == t.RUNNING for cell in node.cells.values())
            node.failed = sum(cell.status in t.BROKEN for cell in node.cells.values())
    if broken and scope.status == t.RUNNING:
        scope.error = min(broken, key=_end_us).error


def _begun(node: Node) -> bool:
    return node.attempt > 0 if isinstance(node, StepState) else node.status == t.RUNNING


def _end_us(node: Node) -> int:
    return node.end_us if isinstance(node, StepState) else 0


def digest(state: RunState) -> str:
    """Digest of everything that a run's history decides; equal for a state that was folded and one that was restored."""
    hasher = hashlib.sha256(repr(run_row(state)).encode())
    for _, step in sorted(state.steps.items()):
        hasher.update(repr(step_row(step)).encode())
    for path in sorted([*state.blocks, *(path for path in state.scopes if path)]):
        hasher.update(repr(_block_or_cell_row(state, path)).encode())
    for path, scope in sorted(state.scopes.items()):
        if scope.status == t.RUNNING:
            counters = (path, scope.remaining, scope.active, scope.cancelled, sorted(scope.waiting.items()))
            hasher.update(repr(counters).encode())
    return "sha256:" + hasher.hexdigest()


def step_view(row: StepRow) -> run_pb2.StepView:
    """A step as the API shows it."""
    data: dict[str, Any] = canonical.loads(row.data)
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
        error=_error(data.get("error", "")),
        outputs_json=data.get("outputs", {}),
        progress=1.0 if row.status == t.SUCCEEDED else 0.0,
        metrics=data.get("metrics", {}),
        lost_runners=data.get("lost_runners", 0),
    )


def block_view(row: BlockRow, cells: Iterable[BlockRow]) -> run_pb2.BlockView:
    """A block as the API shows it, counting its `cells`."""
    statuses = [cell.status for cell in cells]
    return run_pb2.BlockView(
        path=row.path,
        kind=row.kind,
        status=row.status,  # type: ignore[arg-type]
        started=len(statuses),
        finished=sum(status in t.TERMINAL for status in statuses),
        total=canonical.loads(row.data).get("total", 0),
    )


def cell_block(row: BlockRow) -> str:
    """The path of the block that a cell's row belongs to."""
    path: str = canonical.loads(row.data)["block"]
    return path


def timestamp(time_us: int) -> timestamp_pb2.Timestamp | None:
    """Microseconds since the epoch as a timestamp; None for a time that has not come."""
    if not time_us:
        return None
    stamp = timestamp_pb2.Timestamp()
    stamp.FromMicroseconds(time_us)
    return stamp


def _error_json(error: step_pb2.StepError | None) -> str:
    if error is None:
        return ""
    return canonical.dumps(
        {
            "class": error.error_class,
            "type": error.type,
            "message": error.message,
            "details": error.details,
        }
    )


def _error(text: str) -> step_pb2.StepError | None:
    if not text:
        return None
    data = canonical.loads(text)
    return step_pb2.StepError(
        error_class=data["class"], type=data["type"], message=data["message"], details=data["details"]
    )
