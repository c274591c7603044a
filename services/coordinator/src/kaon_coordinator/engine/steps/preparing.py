"""Preparation of steps: inputs, memos, artifacts for large inputs, and permits, gathered before a runner is requested.

The history holds none of it: a lost preparation begins again.
"""

from __future__ import annotations

from kaon_coordinator.engine import memo_keys
from kaon_coordinator.engine.actions import LookUpMemo, ReleasePermits, TakePermits, WriteManifests
from kaon_coordinator.engine.decision import ENGINE_FAULT, Decision, user_error
from kaon_coordinator.engine.messages import (
    ManifestsWritten,
    MemoFound,
    MemoMissed,
    PermitsGranted,
    Unprepared,
)
from kaon_coordinator.engine.scopes import locks
from kaon_coordinator.engine.scopes.readiness import may_start
from kaon_coordinator.engine.scopes.scopes import end_node
from kaon_coordinator.engine.scopes.stopping import request_stop
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.engine.state.bindings import resolve
from kaon_coordinator.engine.state.state import BlockState, Preparation, StepState
from kaon_coordinator.engine.steps import attempts
from kaon_wire.errors import KaonError
from kaon_wire.packing import fill
from kaonapi.run.v1 import history_pb2
from kaonapi.step.v1 import step_pb2


def begin(decision: Decision, step: StepState) -> None:
    """Bind the inputs of a pending step and gather whatever else it needs."""
    if step.held:
        return
    try:
        inputs = {
            name: resolve(decision.state, step.scope, binding, decision.context.evaluate)
            for name, binding in step.spec.inputs
        }
        key = (
            memo_keys.of_step(step, decision.state.workflow.definition, inputs)
            if step.spec.has_memo
            else ""
        )
    except KaonError as error:
        attempts.end(
            decision, step, t.FAILED, error=user_error("BindingError", f"{step.path}: {error}")
        )
        return
    _look_up_memo(decision, step, Preparation(inputs=inputs, memo_key=key))


def _look_up_memo(decision: Decision, step: StepState, preparation: Preparation) -> None:
    if not step.spec.has_memo:
        _write_manifests(decision, step, preparation)
        return
    _await(decision, step, preparation, "memo")
    decision.act(
        LookUpMemo(
            path=step.path,
            asked=preparation.asked,
            key=preparation.memo_key,
            max_age_ms=step.block.step.memo.max_age_ms,
        )
    )


def _write_manifests(decision: Decision, step: StepState, preparation: Preparation) -> None:
    large = decision.context.limits.apart(preparation.inputs)
    if not large:
        _inputs_there(decision, step, preparation)
        return
    _await(decision, step, preparation, "manifests")
    decision.act(WriteManifests(path=step.path, asked=preparation.asked, values=large))


def _inputs_there(decision: Decision, step: StepState, preparation: Preparation) -> None:
    """Continue the preparation: the inputs fit into a request."""
    if problem := decision.context.limits.inputs_problem(preparation.inputs):
        decision.state.transient.preparing.pop(step.path, None)
        end_node(decision, step, t.FAILED, user_error("InputsTooLarge", f"{step.path}: {problem}"))
    elif decision.state.breaks(step):
        _hold(decision, step, preparation)
    else:
        _take_permits(decision, step, preparation)


def _hold(decision: Decision, step: StepState, preparation: Preparation) -> None:
    """Let a step wait at its breakpoint; when it goes on, it is prepared anew."""
    reached = history_pb2.BreakpointReached(path=step.path)
    fill(reached.inputs_json, preparation.inputs)
    decision.emit(breakpoint_reached=reached)


def _take_permits(decision: Decision, step: StepState, preparation: Preparation) -> None:
    tags = step.spec.tags
    if not tags and not step.spec.has_locks:
        _ready(decision, step, preparation)
        return
    try:
        bounds = locks.wanted(decision.state, step, decision.context.evaluate)
    except KaonError as error:
        decision.state.transient.preparing.pop(step.path, None)
        end_node(decision, step, t.FAILED, user_error("BindingError", f"{step.path}: {error}"))
        return
    _await(decision, step, preparation, "permits")
    decision.act(
        TakePermits(
            path=step.path,
            asked=preparation.asked,
            keys=(*(f"tag:{tag}" for tag in tags), *bounds),
            bounds=bounds,
        )
    )


def _ready(decision: Decision, step: StepState, preparation: Preparation) -> None:
    decision.state.transient.preparing.pop(step.path, None)
    attempts.become_ready(
        decision, step, attempt=1, inputs=preparation.inputs, memo_key=preparation.memo_key
    )


def _await(decision: Decision, step: StepState, preparation: Preparation, what: str) -> None:
    preparation.awaits, preparation.asked = what, decision.state.seq
    decision.state.transient.preparing[step.path] = preparation


def _answered(
    decision: Decision, path: str, what: str, asked: int
) -> tuple[StepState, Preparation] | None:
    """Return the step whose preparation awaits this answer.

    Return None when it no longer does, or may not start for now.
    """
    state = decision.state
    preparation, step = state.transient.preparing.get(path), state.steps.get(path)
    if (
        preparation is None
        or step is None
        or (preparation.awaits, preparation.asked) != (what, asked)
    ):
        return None
    if not may_start(decision, step):
        del state.transient.preparing[path]
        return None
    return step, preparation


def memo_found(decision: Decision, message: MemoFound) -> None:
    """Take the outputs of an equal execution."""
    found = _answered(decision, message.path, "memo", message.asked)
    if found is None or found[1].memo_key != message.key:
        return
    step, preparation = found
    if message.outputs.keys() != step.spec.outputs:
        _write_manifests(decision, step, preparation)
        return
    source = history_pb2.MemoSource(run_id=message.run_id, path=message.source_path)
    attempts.end(decision, step, t.SUCCEEDED, outputs=dict(message.outputs), memo=source)


def memo_missed(decision: Decision, message: MemoMissed) -> None:
    """Continue without a memo: the step must run itself."""
    found = _answered(decision, message.path, "memo", message.asked)
    if found is not None and found[1].memo_key == message.key:
        _write_manifests(decision, *found)


def manifests_written(decision: Decision, message: ManifestsWritten) -> None:
    """Continue with large inputs stored as artifacts."""
    found = _answered(decision, message.path, "manifests", message.asked)
    if found is not None:
        found[1].inputs.update(message.inputs)
        _inputs_there(decision, *found)


def permits_granted(decision: Decision, message: PermitsGranted) -> None:
    """Make the step READY with its permits; release them when it no longer needs them."""
    state = decision.state
    found = _answered(decision, message.path, "permits", message.asked)
    if found is not None:
        if state.breaks(found[0]):
            decision.act(ReleasePermits(path=message.path))
            _hold(decision, *found)
        else:
            _ready(decision, *found)
        return
    step = state.steps.get(message.path)
    if message.path in state.transient.preparing:
        # The preparation begins again, and permits that are held are granted again.
        return
    if step is None or not step.begun or step.status in t.TERMINAL:
        decision.act(ReleasePermits(path=message.path))


def unprepared(decision: Decision, message: Unprepared) -> None:
    """Fail a step or block whose request to the outside failed for good."""
    node = decision.state.node(message.path)
    preparation = decision.state.transient.preparing.get(message.path)
    if node is None or preparation is None or preparation.asked != message.asked:
        return
    del decision.state.transient.preparing[message.path]
    error = user_error(message.kind, f"{node.path}: {message.problem}")
    if message.kind in {"Platform", ENGINE_FAULT}:
        error.error_class = step_pb2.ERROR_CLASS_PLATFORM
    if isinstance(node, BlockState) and node.status == t.RUNNING:
        request_stop(decision, node, t.FAILED, cause="items", reason=message.problem)
    elif may_start(decision, node):
        end_node(decision, node, t.FAILED, error)
