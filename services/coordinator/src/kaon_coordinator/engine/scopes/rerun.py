"""Rerunning reset nodes: after a retry, a restart, a mark or a fork."""

from __future__ import annotations

from collections.abc import Sequence

from kaon_coordinator.engine.decision import Decision
from kaon_coordinator.engine.scopes.readiness import ending
from kaon_coordinator.engine.scopes.run_permits import permit_keys, take_permits
from kaon_coordinator.engine.scopes.scopes import advance
from kaon_coordinator.engine.scopes.timing import watch_node, watch_run
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.engine.state.resetting import Plan, has_lost_its_time
from kaon_coordinator.engine.state.state import ScopeState
from kaonapi.run.v1 import history_pb2


def run_again(
    decision: Decision,
    what: Plan,
    *,
    cause: str,
    requester: str,
    reason: str = "",
    continued: Sequence[str] = (),
    asked: int = 0,
) -> None:
    """Reset the planned nodes and start those that can start; their times count anew.

    A run that had ended first takes its permits again, as a new one does.

    Args:
        decision: The decision.
        what: The nodes to reset.
        cause: The cause, as `BlocksReset` records it.
        requester: The principal who requested it.
        reason: A text for people.
        continued: The sub-workflow blocks among them whose child runs continue.
        asked: The event number of a retry by the run's parent.
    """
    reopened = list(what.reopened.values())
    anew = [scope for scope in reopened if _counts_anew(scope)]
    waits = decision.state.ended and bool(permit_keys(decision.state))
    held = _held_back(decision)
    decision.emit(
        blocks_reset=history_pb2.BlocksReset(
            paths=what.paths,
            cause=cause,
            requester=requester,
            reason=reason,
            waits=waits,
            continued=continued,
            asked=asked,
        )
    )
    if waits:
        take_permits(decision)
    if decision.state.waits_since:
        return
    _watch_again(decision, anew)
    decision.then(advance, [*reopened, *_let_go(decision, held)])


def _held_back(decision: Decision) -> list[ScopeState]:
    """Return the scopes in which nothing new starts, because they or what is around them failed or was stopped."""
    scopes = decision.state.scopes.values()
    return [each for each in scopes if each.status == t.RUNNING and ending(decision, each)]


def _let_go(decision: Decision, held: list[ScopeState]) -> list[ScopeState]:
    """Return the scopes in which something may start again, since a reset took back why it could not."""
    known = decision.state.scopes
    free = [each for each in held if known.get(each.key) is each and not ending(decision, each)]
    for scope in free:
        decision.state.transient.stopping.discard(scope.key)
    return free


def _counts_anew(scope: ScopeState) -> bool:
    around = scope.parent
    return scope.status != t.RUNNING or (around is not None and has_lost_its_time(around))


def _watch_again(decision: Decision, opened: list[ScopeState]) -> None:
    for scope in opened:
        if scope.parent is not None:
            watch_node(decision, scope.parent)
        else:
            watch_run(decision)
