"""The end of a run."""

from __future__ import annotations

from kaon_coordinator.engine.actions import ReleasePermits, TellRun
from kaon_coordinator.engine.decision import Decision, user_error
from kaon_coordinator.engine.definition.compiled import floats_of
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.engine.state.bindings import resolve, typed
from kaon_wire.errors import KaonError
from kaonapi.run.v1 import command_pb2, history_pb2
from kaonapi.step.v1 import step_pb2


def end(decision: Decision, status: t.Status, error: step_pb2.StepError | None) -> None:
    """End the run: release its permits and notify its parent."""
    outputs: dict[str, str] = {}
    if status == t.SUCCEEDED:
        try:
            outputs = _outputs(decision)
        except KaonError as problem:
            status, error = (
                t.FAILED,
                user_error("BindingError", f"outputs of the workflow: {problem}"),
            )
    decision.emit(run_ended=history_pb2.RunEnded(status=status, error=error, outputs_json=outputs))
    decision.act(ReleasePermits(path=""))
    tell_parent(decision)


def tell_parent(decision: Decision) -> None:
    """Tell the parent of an ended run, if any, how the run ended."""
    state = decision.state
    if not state.parent_run_id:
        return
    ended = command_pb2.ChildEnded(
        path=state.parent_path,
        child_run_id=state.run_id,
        status=state.status,
        outputs_json=state.outputs,
        error=state.error,
        asked=state.asked,
    )
    command = command_pb2.RunCommand(run_id=state.parent_run_id, child_ended=ended)
    decision.act(TellRun(run_id=state.parent_run_id, command=command))


def _outputs(decision: Decision) -> dict[str, str]:
    state, context = decision.state, decision.context
    context.meter.begin_node()
    outputs = {
        name: resolve(state, state.root, output.value, context.evaluate)
        for name, output in sorted(state.workflow.definition.outputs.items())
    }
    declared = {name: each.type for name, each in state.workflow.definition.outputs.items()}
    outputs = typed(floats_of(declared), outputs)
    if large := context.limits.too_large(outputs):
        raise KaonError(large)
    return outputs
