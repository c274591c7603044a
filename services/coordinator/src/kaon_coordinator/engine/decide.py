"""The entry point of the engine: a message in, a decision out."""

from __future__ import annotations

from kaon_coordinator.engine.decision import Context, Decision
from kaon_coordinator.engine.handlers import handle
from kaon_coordinator.engine.kinds.table import KINDS
from kaon_coordinator.engine.messages import Message
from kaon_coordinator.engine.state.state import RunState
from kaonapi.run.v1 import history_pb2


def decide(state: RunState, message: Message, context: Context) -> Decision:
    """Decide what follows from `message` and fold it into `state`.

    The function is total: a message that no longer fits (late, duplicate or stale) produces no events, at
    most a revoke or a recorded refusal.
    """
    decision = Decision(state=state, context=context, kinds=KINDS)
    handle(decision, message)
    decision.settle()
    return decision


def submit(state: RunState, *, submitted: history_pb2.RunSubmitted, context: Context) -> Decision:
    """Return the first event of an accepted run."""
    decision = Decision(state=state, context=context)
    decision.emit(run_submitted=submitted)
    return decision
