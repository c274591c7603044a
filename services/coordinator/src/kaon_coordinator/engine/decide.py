"""The entry point of the engine: a message in, a decision out."""

from __future__ import annotations

from kaon_coordinator.engine.commands import new_version
from kaon_coordinator.engine.commands.retry import failed_nodes
from kaon_coordinator.engine.decision import Context, Decision
from kaon_coordinator.engine.handlers import handle
from kaon_coordinator.engine.kinds.table import KINDS
from kaon_coordinator.engine.messages import Lease, Message
from kaon_coordinator.engine.state.state import RunState
from kaon_coordinator.engine.steps.leases import revoke_unless_current
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


def renew(
    state: RunState, lease: Lease, context: Context, *, queued: bool
) -> tuple[bool, Decision]:
    """Decide what follows from the renewal of a lease; return whether it is, or may still become, the step's."""
    decision = Decision(state=state, context=context, kinds=KINDS)
    current = revoke_unless_current(decision, lease, queued=queued)
    decision.settle()
    return current, decision


def submit(state: RunState, *, submitted: history_pb2.RunSubmitted, context: Context) -> Decision:
    """Return the first events of an accepted run; those of a fork say what it keeps.

    `submitted` receives the paths of what begins anew because it had failed.
    """
    decision = Decision(state=state, context=context)
    if submitted.fork.failed:
        failed = [node.path for node in failed_nodes(state)]
        submitted.fork.reset.extend(path for path in failed if path not in submitted.fork.reset)
    decision.emit(run_submitted=submitted)
    if state.into is not None:
        new_version.change(decision)
    return decision
