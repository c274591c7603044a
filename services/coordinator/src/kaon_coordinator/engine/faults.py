"""Ends a run that the engine cannot go on with: something was raised that nobody has foreseen.

The shell has put the run's state back to what is stored. What ends here needs nothing of what the run was about to do: no
expression is evaluated, no hook begins, and nothing that may have raised is called again.
"""

from __future__ import annotations

from kaon_coordinator.engine.actions import EndStep, RevokeReason
from kaon_coordinator.engine.decision import ENGINE_FAULT, Context, Decision
from kaon_coordinator.engine.kinds.table import KINDS
from kaon_coordinator.engine.refusals import refuse
from kaon_coordinator.engine.scopes import run_ends
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.engine.state.counting import is_active
from kaon_coordinator.engine.state.state import BlockState, RunState, ScopeState, StepState
from kaon_coordinator.engine.steps.leases import lease_of, lose, revoke
from kaonapi.run.v1 import history_pb2
from kaonapi.step.v1 import step_pb2


def fault_error(message: str) -> step_pb2.StepError:
    """The error of such a run."""
    return step_pb2.StepError(error_class=step_pb2.ERROR_CLASS_PLATFORM, type=ENGINE_FAULT, message=message)


def end_faulted(state: RunState, message: str, context: Context, asked: int = 0) -> Decision:
    """Ends the run FAILED and everything that is active in it CANCELLED, so that a retry begins there. To a run that has ended only
    a refusal is added. `asked` is that of a retry by its parent which could not be applied."""
    decision = Decision(state=state, context=context)
    if state.ended and not asked:
        refuse(decision, "command", "", message, "kaon")
    _refuse_parent(decision, message, asked)
    if state.ended:
        return decision
    for step in sorted(state.steps.values(), key=lambda each: -each.position):
        if is_active(step):
            _end_step(decision, step)
    _end_blocks(decision)
    run_ends.end(decision, t.FAILED, fault_error(message))
    return decision


def end_barely(state: RunState, message: str, context: Context, asked: int = 0) -> Decision:
    """Ends the run FAILED and leaves what is in it as it is: for a run whose parts cannot be ended either."""
    decision = Decision(state=state, context=context)
    _refuse_parent(decision, message, asked)
    if state.ended:
        return decision
    run_ends.end(decision, t.FAILED, fault_error(message))
    return decision


def _refuse_parent(decision: Decision, message: str, asked: int) -> None:
    """Notes that the parent's retry was refused: it waits for an end that knows of it."""
    if asked:
        refuse(decision, "retry", "", message, "kaon", asked)
        if decision.state.ended:
            run_ends.tell_parent(decision)


def _end_step(decision: Decision, step: StepState) -> None:
    if step.status == t.RUNNING:
        stop = history_pb2.StepStopRequested(path=step.path, reason=RevokeReason.CANCELLED.value)
        decision.emit(step_stop_requested=stop)
    if step.status == t.CANCELLING:
        revoke(decision, lease_of(step), RevokeReason.CANCELLED)
        lose(decision, step, reason="fault", cut_off=True)
    decision.act(EndStep(issue=step.issue))
    decision.emit(
        step_ended=history_pb2.StepEndedEvent(
            path=step.path, status=t.CANCELLED, attempt=step.attempt, generation=step.generation
        )
    )


def _end_blocks(decision: Decision) -> None:
    """Ends what is around the steps, from the inside out: what is inside of something was created after it."""
    state = decision.state
    around: list[BlockState | ScopeState] = [*state.blocks.values()]
    around += [scope for scope in state.scopes.values() if scope.parent is not None]
    for each in sorted(around, key=lambda found: -found.position):
        if isinstance(each, ScopeState):
            if each.status == t.RUNNING:
                _end(decision, each.key)
        elif is_active(each):
            KINDS.blocks[each.kind].abandon(decision, each)
            _end(decision, each.path)


def _end(decision: Decision, path: str) -> None:
    decision.emit(block_ended=history_pb2.BlockEnded(path=path, status=t.CANCELLED))
