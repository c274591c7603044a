"""Converts changes of a state to rows, and rows to a state."""

from __future__ import annotations

import hashlib
import math
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from kaon_coordinator.engine.definition.compiled import BODY, CompiledWorkflow
from kaon_coordinator.engine.rows.rows import BlockRow, RunRow, StepRow
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.engine.state.awaiting import in_words
from kaon_coordinator.engine.state.bound_policies import give
from kaon_coordinator.engine.state.counting import recount
from kaon_coordinator.engine.state.curves import Curves
from kaon_coordinator.engine.state.guards import roles_of
from kaon_coordinator.engine.state.state import (
    BlockState,
    BufferedSignal,
    RunState,
    ScopeState,
    StepSignal,
    StepState,
    add_cell,
    add_node,
    named,
)
from kaon_wire import canonical
from kaon_wire.definitions.gate_fields import fields_of
from kaonapi.run.v1 import history_pb2, run_pb2
from kaonapi.step.v1 import step_pb2

CELL = "cell"


def take_step_rows(state: RunState) -> list[StepRow]:
    """Return the rows of the steps that changed since the last call."""
    rows = [step_row(state.steps[path]) for path in sorted(state.transient.touched_steps)]
    state.transient.touched_steps.clear()
    return rows


def take_block_rows(state: RunState) -> list[BlockRow]:
    """Return the rows of the blocks and cells that changed since the last call."""
    rows = [_block_or_cell_row(state, path) for path in sorted(state.transient.touched_blocks)]
    state.transient.touched_blocks.clear()
    return rows


def take_dropped(state: RunState) -> list[str]:
    """Return the paths and keys of the rows to delete, since the last call."""
    dropped = sorted(state.transient.dropped)
    state.transient.dropped.clear()
    return dropped


def touch_all(state: RunState) -> None:
    """Mark all rows as changed: a fork begins with rows of its own."""
    state.transient.touched_steps |= state.steps.keys()
    state.transient.touched_blocks |= state.blocks.keys() | (state.scopes.keys() - {""})


def _compact(data: Mapping[str, Any]) -> str:
    kept = {name: value for name, value in data.items() if value}
    return canonical.dumps(kept) if kept else "{}"


def run_row(state: RunState) -> RunRow:
    """Return the row of the run itself."""
    data = {
        **_scope_data(state.root),
        "force": state.force_stop,
        "late": state.late,
        "waits": state.waits_since,
        "floor": state.generation_floor,
        "next": state.next_position,
        "grant_floor": state.grant_floor_us,
        "submit": state.submit_us,
        "scheduled": state.scheduled_us,
        "previous": _previous_data(state.previous),
        "since": state.since_us,
        "bound": dict(state.bound),
        "fork_reset": list(state.fork_reset),
        "depth": state.depth,
        "parent_path": state.parent_path,
        "asked": state.asked,
        "trace": state.trace_parent,
        "breakpoints": sorted(state.breakpoints),
        "only": list(state.targets.only) if state.targets is not None else [],
        "until": list(state.targets.until) if state.targets is not None else [],
        "signals": {
            name: [[each.payload_json, each.requester] for each in waiting]
            for name, waiting in state.signals.items()
        },
    }
    return RunRow(
        run_id=state.run_id,
        status=state.status,
        seq=state.seq,
        start_us=state.start_us,
        end_us=state.end_us,
        error=error_json(state.error),
        cancel_requested=state.cancel_requested,
        steps_total=len(state.steps),
        steps_succeeded=state.steps_succeeded,
        priority=state.priority,
        outputs=canonical.dumps(dict(state.outputs)) if state.outputs else "",
        data=_compact(data),
    )


def _scope_data(scope: ScopeState) -> dict[str, Any]:
    return {
        "stop": int(scope.stop),
        "phase": int(scope.phase) if scope.phase != BODY else 0,
        "outcome": int(scope.outcome),
        "outcome_error": error_json(scope.outcome_error),
    }


def _restore_scope(scope: ScopeState, data: Mapping[str, Any]) -> None:
    scope.stop = data.get("stop", t.NONE)
    scope.phase = data.get("phase", BODY)
    scope.outcome = data.get("outcome", t.NONE)
    scope.outcome_error = error_of(data.get("outcome_error", ""))


def step_row(step: StepState) -> StepRow:
    """Return the row of a step."""
    data = {
        "inputs": step.inputs,
        "outputs": step.outputs,
        "log": step.log_json,
        "checkpoint": step.checkpoint_json,
        "reports": step.reports,
        "lost_runners": step.lost_runners,
        "platform_failures": step.platform_failures,
        "stop_reason": step.stop_reason,
        "stop": step.stop,
        "begin": step.begin_us,
        "grant": step.grant_us,
        "late": step.late,
        "memo_key": step.memo_key,
        "served": step.served,
        "held": step.held,
        "released": step.released,
        "type": step.spec.type,
    }
    if step.error is not None:
        data["error"] = error_json(step.error)
    if step.status in t.BROKEN:
        data["end_seq"] = step.end_seq
    if step.metrics:
        data["metrics"] = {name: _number_json(value) for name, value in step.metrics.items()}
    if step.bound:
        data["bound"] = step.bound
    if step.memo_source[0]:
        data["memo"] = list(step.memo_source)
    if step.signals:
        data["signals"] = [[each.seq, each.name, each.payload_json] for each in step.signals]
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
        data=_compact(data),
    )


def _block_or_cell_row(state: RunState, path: str) -> BlockRow:
    block = state.blocks.get(path)
    return cell_row(state.scopes[path]) if block is None else block_row(block)


def block_row(block: BlockState) -> BlockRow:
    """One block as a row."""
    data = {
        "case": block.case,
        "items_digest": block.items_digest,
        "error": error_json(block.error),
        "total": block.count if block.kind == "for_each" else block.block.repeat.max_iterations,
        "start": block.start_us,
        "since": block.since_us,
        "end": block.end_us,
        "end_seq": block.end_seq if block.status in t.BROKEN else 0,
        "due": block.due_us,
        "child": block.child_run_id,
        "asked": block.asked,
        "continues": block.continues,
        "memo_key": block.memo_key,
        "memo": list(block.memo_source) if block.memo_source[0] else [],
        "outputs": block.outputs,
        "stop": int(block.stop),
        "late": block.late,
        "locks": list(block.locks),
        "unlocked": block.unlocked,
        "awaited": _awaited_data(block.awaited),
        "bound": block.bound,
        **_shown_gate(block),
    }
    return BlockRow(
        path=block.path,
        position=block.position,
        kind=block.kind,
        status=block.status,
        data=_compact(data),
    )


def _shown_gate(block: BlockState) -> dict[str, Any]:
    """Return the description of a gate that people need to answer it; only the API reads it."""
    if block.kind != "gate":
        return {}
    gate = block.block.gate
    fields = [b64encode(each.SerializeToString()).decode() for each in fields_of(gate)]
    return {
        "gate": gate.WhichOneof("kind"),
        "roles": roles_of(gate),
        # Only where it is so, as rows of earlier versions.
        **({"not_submitter": True} if gate.approval.not_submitter else {}),
        **({"fields": fields} if fields else {}),
        "message": gate.approval.message or in_words(block.awaited),
        "signal": gate.signal.name,
        **({"where": gate.signal.where_cel} if gate.signal.where_cel else {}),
    }


def _awaited_data(awaited: history_pb2.AwaitedRun | None) -> dict[str, Any]:
    if awaited is None:
        return {}
    return {
        "workflow": awaited.workflow,
        "params": dict(awaited.params_json),
        "since": awaited.since_us,
    }


def _awaited_of(data: Mapping[str, Any]) -> history_pb2.AwaitedRun | None:
    """Parse what `_awaited_data` wrote."""
    if not data:
        return None
    return history_pb2.AwaitedRun(
        workflow=data["workflow"], params_json=data["params"], since_us=data["since"]
    )


def cell_row(cell: ScopeState) -> BlockRow:
    """Return the row of a cell."""
    assert cell.parent is not None
    curves = cell.parent.curves
    data = {
        "block": cell.parent.path,
        "index": cell.index,
        "item": cell.item_json,
        "error": error_json(cell.error) if cell.status != t.RUNNING else "",
        "reports": [] if curves is None else _reports_json(curves, cell.index),
        **_scope_data(cell),
    }
    return BlockRow(
        path=cell.key, position=cell.position, kind=CELL, status=cell.status, data=_compact(data)
    )


def _reports_json(curves: Curves, cell: int) -> list[list[float | str]]:
    return [[step, _number_json(value)] for step, value in curves.reports.get(cell, ())]


def _number_json(value: float) -> float | str:
    """Return a number as JSON; infinity and NaN, which JSON lacks, become texts that `float` parses."""
    return value if math.isfinite(value) else repr(value)


def restore(
    *,
    workflow: CompiledWorkflow,
    run: RunRow,
    tenant: str,
    submitter: str,
    params: Mapping[str, str],
    steps: Iterable[StepRow],
    blocks: Iterable[BlockRow],
    parent_run_id: str = "",
    fork_run_id: str = "",
    fork_seq: int = 0,
    origin: str = "",
) -> RunState:
    """Restore the state from its rows and recount the counters."""
    state = RunState(
        run_id=run.run_id, workflow=workflow, tenant=tenant, submitter=submitter, params=params
    )
    state.parent_run_id, state.origin = parent_run_id, origin
    state.fork_run_id, state.fork_seq = fork_run_id, fork_seq
    _restore_run(state, run)
    rows: list[StepRow | BlockRow] = sorted([*steps, *blocks], key=lambda row: row.position)
    for row in rows:
        if isinstance(row, StepRow):
            _restore_step(state, row)
        elif row.kind == CELL:
            _restore_cell(state, row)
        else:
            _restore_block(state, row)
    # A dropped node leaves no row, yet its position is not used again.
    state.next_position = max(
        state.next_position, max((row.position for row in rows), default=0) + 1
    )
    if state.ended:
        state.root.status = state.status
    for scope in sorted(state.scopes.values(), key=lambda each: -each.position):
        recount(scope)
    state.steps_succeeded = sum(step.status == t.SUCCEEDED for step in state.steps.values())
    state.newest_us = max(_times(state))
    state.transient.touched_steps.clear()
    state.transient.touched_blocks.clear()
    state.rest()
    return state


def _times(state: RunState) -> Iterator[int]:
    yield from (state.submit_us, state.start_us, state.since_us, state.end_us)
    for step in state.steps.values():
        yield from (step.ready_us, step.start_us, step.end_us)
    for block in state.blocks.values():
        yield from (block.start_us, block.since_us, block.end_us)


def _previous_data(run: run_pb2.PreviousRun | None) -> list[Any]:
    return [] if run is None else [run.run_id, run.end_time_us, run.scheduled_time_us]


def occasion_of(run: RunRow) -> tuple[int, run_pb2.PreviousRun | None]:
    """Return the time for which a schedule or backfill made a run, 0 without one, and the success before it."""
    return occasion_in(canonical.loads(run.data) if run.data else {})


def occasion_in(data: Mapping[str, Any]) -> tuple[int, run_pb2.PreviousRun | None]:
    """Return what `occasion_of` does, from the data of a run's row."""
    previous = None
    if "previous" in data:
        run_id, end_us, scheduled_us = data["previous"]
        previous = run_pb2.PreviousRun(
            run_id=run_id, end_time_us=end_us, scheduled_time_us=scheduled_us
        )
    return data.get("scheduled", 0), previous


def _restore_run(state: RunState, run: RunRow) -> None:
    state.status = run.status  # type: ignore[assignment]
    state.seq, state.start_us, state.end_us = run.seq, run.start_us, run.end_us
    state.cancel_requested = run.cancel_requested
    state.error = error_of(run.error)
    state.priority = run.priority
    state.outputs = named(canonical.loads(run.outputs)) if run.outputs else state.outputs
    if run.data:
        _restore_run_data(state, canonical.loads(run.data))
    if state.cancel_requested and state.root.stop == t.NONE:
        state.root.stop = t.CANCELLED


def _restore_run_data(state: RunState, data: Mapping[str, Any]) -> None:
    state.force_stop, state.late = data.get("force", False), data.get("late", False)
    state.grant_floor_us, state.next_position = data.get("grant_floor", 0), data.get("next", 1)
    state.generation_floor, state.submit_us = data.get("floor", 0), data.get("submit", 0)
    state.scheduled_us, state.previous = occasion_in(data)
    state.waits_since = data.get("waits", 0)
    state.depth, state.parent_path = data.get("depth", 0), data.get("parent_path", "")
    state.asked = data.get("asked", 0)
    state.since_us, state.fork_reset = data.get("since", 0), tuple(data.get("fork_reset", ()))
    state.trace_parent = data.get("trace", "")
    if "breakpoints" in data:
        state.breakpoints = frozenset(data["breakpoints"])
    if "bound" in data:
        state.bound = named(data["bound"])
    if "only" in data or "until" in data:
        only, until = data.get("only", ()), data.get("until", ())
        state.aim(run_pb2.RunTargets(only=only, until=until))
    for name, waiting in data.get("signals", {}).items():
        state.signals[name] = [
            BufferedSignal(payload_json=each[0], requester=each[1]) for each in waiting
        ]
    _restore_scope(state.root, data)


def _scope_of(state: RunState, path: str, name: str) -> ScopeState:
    around = path[: -len(name)]
    return state.scopes.get(around) or state.scopes[around.removesuffix("/")]


def _restore_step(state: RunState, row: StepRow) -> None:
    scope = _scope_of(state, row.path, row.name)
    step = add_node(state, scope, row.name, scope.graph.blocks[row.name], row.position)
    assert isinstance(step, StepState)
    data: dict[str, Any] = canonical.loads(row.data)
    if "bound" in data:
        give(state, step, data["bound"])
    step.status = row.status  # type: ignore[assignment]
    step.attempt, step.generation = row.attempt, row.generation
    step.runner_id, step.incarnation = row.runner_id, row.incarnation
    step.ready_us, step.start_us, step.end_us = row.ready_us, row.start_us, row.end_us
    step.retry_us = row.retry_us
    step.inputs, step.outputs = named(data.get("inputs", {})), named(data.get("outputs", {}))
    step.error = error_of(data.get("error", ""))
    step.log_json = data.get("log", "")
    step.checkpoint_json = data.get("checkpoint", "")
    if "metrics" in data:
        step.metrics = {name: float(value) for name, value in data["metrics"].items()}
    step.reports = data.get("reports", 0)
    step.lost_runners = data.get("lost_runners", 0)
    step.platform_failures = data.get("platform_failures", 0)
    step.stop_reason, step.stop = data.get("stop_reason", ""), data.get("stop", t.NONE)
    step.begin_us, step.grant_us = data.get("begin", 0), data.get("grant", 0)
    step.late, step.end_seq = data.get("late", False), data.get("end_seq", 0)
    step.memo_key = data.get("memo_key", "")
    step.served = data.get("served", False)
    step.held, step.released = data.get("held", False), data.get("released", False)
    source = data.get("memo", ("", ""))
    step.memo_source = (source[0], source[1])
    step.signals = tuple(
        StepSignal(seq=each[0], name=each[1], payload_json=each[2])
        for each in data.get("signals", ())
    )


def _restore_block(state: RunState, row: BlockRow) -> None:
    name = row.path.rsplit("/", 1)[-1]
    scope = _scope_of(state, row.path, name)
    block = add_node(state, scope, name, scope.graph.blocks[name], row.position)
    assert isinstance(block, BlockState)
    data = canonical.loads(row.data)
    if "bound" in data:
        give(state, block, data["bound"])
    block.status = row.status  # type: ignore[assignment]
    block.case, block.items_digest = data.get("case", ""), data.get("items_digest", "")
    block.count = data.get("total", 0) if block.kind == "for_each" else 0
    block.start_us, block.end_us = data.get("start", 0), data.get("end", 0)
    block.since_us = data.get("since", 0)
    block.end_seq, block.due_us = data.get("end_seq", 0), data.get("due", 0)
    block.child_run_id, block.asked = data.get("child", ""), data.get("asked", 0)
    block.continues = data.get("continues", "")
    block.memo_key = data.get("memo_key", "")
    run_id, path = data.get("memo", ("", ""))
    block.memo_source = (run_id, path)
    block.outputs = named(data.get("outputs", {}))
    block.stop, block.late = data.get("stop", t.NONE), data.get("late", False)
    block.locks, block.unlocked = tuple(data.get("locks", ())), data.get("unlocked", False)
    block.awaited = _awaited_of(data.get("awaited", {}))
    block.error = error_of(data.get("error", ""))
    if block.status == t.WAITING:
        state.gates[block.path] = block


def _restore_cell(state: RunState, row: BlockRow) -> None:
    data = canonical.loads(row.data)
    block = state.blocks[data["block"]]
    cell = add_cell(state, block, row.path, data.get("index", 0), row.position)
    cell.status = row.status  # type: ignore[assignment]
    cell.item_json = data.get("item", "")
    cell.error = error_of(data.get("error", ""))
    _restore_scope(cell, data)
    if block.curves is not None:
        block.curves.restore(
            cell.index, [(step, float(value)) for step, value in data.get("reports", ())]
        )


def facts(state: RunState) -> Iterator[str]:
    """Return everything that a run's history determines, in a canonical order: rows, and the counters of active nodes."""
    yield repr(run_row(state))
    for _, step in sorted(state.steps.items()):
        yield repr(step_row(step))
    for path in sorted([*state.blocks, *(path for path in state.scopes if path)]):
        yield repr(_block_or_cell_row(state, path))
    for path, scope in sorted(state.scopes.items()):
        if scope.status == t.RUNNING:
            yield repr(_counters(path, scope))
    for path, block in sorted(state.blocks.items()):
        if block.status == t.RUNNING:
            yield repr((path, block.active, block.failed, block.waiting))


def digest(state: RunState) -> str:
    """Return the digest of the facts; a folded and a restored state have equal digests."""
    hasher = hashlib.sha256()
    for fact in facts(state):
        hasher.update(fact.encode())
    return "sha256:" + hasher.hexdigest()


def _counters(path: str, scope: ScopeState) -> tuple[object, ...]:
    hook = error_json(scope.hook_error)
    waiting = sorted(scope.waiting.items())
    return (
        path,
        scope.remaining,
        scope.active,
        scope.cancelled,
        error_json(scope.error),
        hook,
        waiting,
    )


def error_json(error: step_pb2.StepError | None) -> str:
    """Return an error as canonical JSON; empty when there is none."""
    if error is None:
        return ""
    data: dict[str, object] = {
        "class": error.error_class,
        "type": error.type,
        "message": error.message,
        "details": error.details,
    }
    # Only where there is one, as rows of earlier versions.
    return canonical.dumps(data | {"exit": error.exit_code} if error.exit_code else data)


def error_of(text: str) -> step_pb2.StepError | None:
    """Parse an error that `error_json` wrote."""
    if not text:
        return None
    data = canonical.loads(text)
    return step_pb2.StepError(
        error_class=data["class"],
        type=data["type"],
        message=data["message"],
        details=data["details"],
        exit_code=data.get("exit", 0),
    )
