"""Steps that serve others: when what comes after them may begin, and how they end."""

from __future__ import annotations

from kaon_coordinator.engine.actions import RevokeReason
from kaon_coordinator.engine.decision import Decision, user_error
from kaon_coordinator.engine.messages import Serves
from kaon_coordinator.engine.scopes.scopes import served
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.engine.state.bindings import typed
from kaon_coordinator.engine.state.state import StepState
from kaon_coordinator.engine.steps.attempts import (
    end_attempt,
    end_dismissed,
    output_error,
    request_stop_of,
    waits_for_attempt,
)
from kaon_coordinator.engine.steps.leases import claim
from kaon_wire.packing import fill
from kaonapi.run.v1 import history_pb2


def serves(decision: Decision, message: Serves) -> None:
    """Record that a step serves others, if its outputs match the declared ones; start what waited for that."""
    step = claim(decision, message)
    if step is None or step.status != t.RUNNING:
        return
    if not step.spec.serves:
        text = f"{step.path}: the step is not declared with serves=True"
        end_attempt(decision, step, user_error("NotAService", text))
        return
    outputs = typed(step.spec.floats, message.outputs)
    if (error := output_error(decision, step, outputs)) is not None:
        end_attempt(decision, step, error)
        return
    event = history_pb2.StepServing(path=step.path, attempt=step.attempt)
    fill(event.outputs_json, outputs)
    decision.emit(step_serving=event)
    served(decision, step)


def dismiss(decision: Decision, step: StepState) -> None:
    """Ask an open step that serves to stop, since nothing needs it any more; without a holder it ends at once."""
    if step.status in t.AT_WORK:
        request_stop_of(decision, step, RevokeReason.SCOPE_OVER)
    elif waits_for_attempt(step) or step.status == t.PENDING:
        end_dismissed(decision, step)
