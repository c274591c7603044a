"""Resumption by a new owner: the actions that the state implies and that the last owner may not have executed."""

from __future__ import annotations

from collections.abc import Iterator

from kaon_coordinator.engine.actions import (
    Action,
    Continue,
    RequestStep,
    RevokeReason,
    TakePermits,
    WatchRetry,
)
from kaon_coordinator.engine.decision import Context, Decision
from kaon_coordinator.engine.definition.limits import DEFAULT, Limits
from kaon_coordinator.engine.kinds.table import KINDS
from kaon_coordinator.engine.scopes.readiness import in_turn, may_go
from kaon_coordinator.engine.scopes.run_permits import permit_keys
from kaon_coordinator.engine.scopes.timing import watch_node, watch_run
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.engine.state.counting import is_active
from kaon_coordinator.engine.state.state import BlockState, RunState, StepState
from kaon_coordinator.engine.steps.leases import grant, hand_over, lease_of, revoke, watch


def derive(state: RunState, *, now_us: int = 0, limits: Limits = DEFAULT) -> list[Action]:
    """Derive the actions that follow from the state alone: requests, watched leases and timers, open preparations.

    Decides nothing; executing any of the actions twice is harmless.
    """
    decision = Decision(state=state, context=Context(now_us=now_us, evaluate=_never, limits=limits))
    keys = permit_keys(state)
    if state.status == t.PENDING and state.seq > 0 and keys:
        decision.act(TakePermits(path="", asked=state.seq, keys=keys))
    if not state.ended and state.start_us and not state.waits_since:
        watch_run(decision)
        for step in state.steps.values():
            _derive_step(decision, step)
        for block in state.blocks.values():
            _derive_block(decision, block)
        for path in _startable(state):
            decision.act(Continue(path=path))
    return decision.actions


def _never(expression: str, variables: object) -> object:
    raise AssertionError(
        f"no decision is made here, yet {expression!r} over {variables!r} was evaluated"
    )


def _derive_step(decision: Decision, step: StepState) -> None:
    if not is_active(step):
        return
    watch_node(decision, step)
    if step.status == t.READY and not decision.state.halted:
        decision.act(RequestStep(path=step.path))
    elif step.status == t.PENDING:
        decision.act(WatchRetry(issue=step.issue, due_us=step.retry_us))
    elif step.status in t.HELD:
        _derive_lease(decision, step)


def _derive_lease(decision: Decision, step: StepState) -> None:
    decision.act(watch(step))
    if step.status == t.CANCELLING:
        revoke(decision, lease_of(step), RevokeReason(step.stop_reason))
        return
    if step.spec.exclusive:
        grant(decision, step)
    for kept in step.signals:
        hand_over(decision, step, kept)


def _derive_block(decision: Decision, block: BlockState) -> None:
    if not is_active(block):
        return
    if block.unlocked:
        decision.act(Continue(path=block.path))
        return
    watch_node(decision, block)
    KINDS.blocks[block.kind].derive(decision, block)


def _startable(state: RunState) -> Iterator[str]:
    """Return the nodes without open predecessors whose questions the last owner may not have asked."""
    if state.halted:
        return
    for scope in state.scopes.values():
        if scope.status != t.RUNNING:
            continue
        for name, node in scope.nodes.items():
            if (
                node.status == t.PENDING
                and not node.begun
                and may_go(scope, name)
                and in_turn(node)
            ):
                yield node.path
