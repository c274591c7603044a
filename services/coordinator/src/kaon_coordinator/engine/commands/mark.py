"""The mark command: settles a step or block by hand."""

from __future__ import annotations

from kaon_coordinator.engine.actions import RevokeReason
from kaon_coordinator.engine.decision import Decision, user_error
from kaon_coordinator.engine.definition.compiled import floats_of
from kaon_coordinator.engine.messages import Mark
from kaon_coordinator.engine.refusals import NOT_BEGUN, refuse
from kaon_coordinator.engine.scopes.readiness import ending, had_turn, in_turn
from kaon_coordinator.engine.scopes.rerun import run_again
from kaon_coordinator.engine.scopes.scopes import end_block
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.engine.state.bindings import typed
from kaon_coordinator.engine.state.resetting import plan
from kaon_coordinator.engine.state.state import BlockState, Node, StepState
from kaon_coordinator.engine.steps.attempts import end as end_step
from kaon_coordinator.engine.steps.attempts import output_difference
from kaon_coordinator.engine.steps.leases import lease_of, lose, revoke
from kaon_wire.definitions.kinds import declared_outputs
from kaonapi.run.v1 import history_pb2


def mark(decision: Decision, message: Mark) -> None:
    """Settle a step or block by hand; the history records the requester and the reason."""
    node = decision.state.node(message.path)
    problem = (
        "there is no such step or block" if node is None else _mark_problem(decision, node, message)
    )
    if node is None or problem:
        refuse(decision, "mark", message.path, problem, message.requester)
        return
    status = t.Status(message.status)
    if node.status in t.TERMINAL:
        run_again(
            decision, plan([node]), cause="mark", requester=message.requester, reason=message.reason
        )
    decision.emit(
        block_marked=history_pb2.BlockMarked(
            path=node.path, status=status, requester=message.requester, reason=message.reason
        )
    )
    error = None
    if status == t.FAILED:
        error = user_error(
            "Marked", f"{node.path}: marked by {message.requester}: {message.reason}"
        )
    if isinstance(node, StepState):
        _settle_step(decision, node, status, message, error)
    else:
        outputs = typed(floats_of(node.block.sub_workflow.outputs), message.outputs)
        end_block(decision, node, status, error, outputs)


def _settle_step(
    decision: Decision, step: StepState, status: t.Status, message: Mark, error: object
) -> None:
    if step.status in t.HELD:
        revoke(decision, lease_of(step), RevokeReason.STALE_LEASE)
        lose(decision, step, reason="marked", cut_off=True)
    end_step(decision, step, status, outputs=dict(message.outputs), error=error)  # type: ignore[arg-type]


def _mark_problem(decision: Decision, node: Node, message: Mark) -> str:
    if message.status not in {t.SUCCEEDED, t.FAILED, t.SKIPPED}:
        return "only SUCCEEDED, FAILED and SKIPPED can be marked"
    if not decision.state.start_us:
        return NOT_BEGUN
    if not had_turn(node):
        return "its turn as a hook has not come"
    if node.status in t.TERMINAL:
        busy = plan([node]).busy
        if busy or decision.state.status == t.CANCELLING:
            return (
                f"{busy[0].path} runs after it: cancel it first"
                if busy
                else "the run is being cancelled"
            )
    elif not in_turn(node) or ending(decision, node.scope):
        return "its scope is ending or has not begun"
    elif isinstance(node, BlockState) and node.status == t.RUNNING:
        return "it is running: cancel it first, or mark the nodes inside"
    if message.status == t.SUCCEEDED and (problem := _output_problem(node, message)):
        return problem
    return decision.context.limits.too_large(message.outputs)


def _output_problem(node: Node, message: Mark) -> str:
    outputs = dict(message.outputs)
    if isinstance(node, StepState):
        return output_difference(node, outputs)
    missing = sorted(set(declared_outputs(node.block) or ()) - set(outputs))
    return f"outputs are missing: {', '.join(missing)}" if missing else ""
