"""What follows from a message."""

from __future__ import annotations

from kaon_coordinator.engine.decision import Context, Decision
from kaon_coordinator.engine.handlers import handle
from kaon_coordinator.engine.kinds.table import KINDS
from kaon_coordinator.engine.messages import Message
from kaon_coordinator.engine.state.state import RunState
from kaonapi.run.v1 import history_pb2


def decide(state: RunState, message: Message, context: Context) -> Decision:
    """Decides what follows from `message` and folds it into `state`.

    Total: a message that no longer fits (late, doubled, stale) gives no events, at most a revoke or a refusal in the history.
    """
    decision = Decision(state=state, context=context, kinds=KINDS)
    handle(decision, message)
    decision.settle()
    return decision


def submit(state: RunState, *, submitted: history_pb2.RunSubmitted, context: Context) -> Decision:
    """The first event of a run that has just been accepted."""
    decision = Decision(state=state, context=context)
    decision.emit(run_submitted=submitted)
    return decision
