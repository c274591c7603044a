"""Faults: ends a run that the engine cannot continue because of an unforeseen exception.

The shell has restored the run's state from the store. Ending the run depends on nothing that the run was
about to do: no expression is evaluated, no hook begins, and nothing that may have raised is called again.
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
    """Return the error of a run that ended by a fault."""
    return step_pb2.StepError(
        error_class=step_pb2.ERROR_CLASS_PLATFORM, type=ENGINE_FAULT, message=message
    )


def end_faulted(state: RunState, message: str, context: Context, asked: int = 0) -> Decision:
    """End the run FAILED and all of its active nodes CANCELLED, so that a retry begins there.

    If the run has ended already, only a refusal is recorded. `asked` is the event number of the parent's
    retry that could not be applied.
    """
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
    """End the run FAILED and leave its nodes as they are: for a run whose nodes cannot be ended either."""
    decision = Decision(state=state, context=context)
    _refuse_parent(decision, message, asked)
    if state.ended:
        return decision
    run_ends.end(decision, t.FAILED, fault_error(message))
    return decision


def _refuse_parent(decision: Decision, message: str, asked: int) -> None:
    """Record the refusal of the parent's retry: the parent waits for an end that names this retry."""
    if asked:
        refuse(decision, "retry", "", message, "kaon", asked)
        if decision.state.ended:
            run_ends.tell_parent(decision)


def _end_step(decision: Decision, step: StepState) -> None:
    if step.status in t.AT_WORK:
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
    """End the enclosing blocks of the steps, innermost first: inner nodes were created after outer ones."""
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
