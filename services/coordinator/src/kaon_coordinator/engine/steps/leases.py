"""Holders of steps: the first matching report makes its runner the holder, and only the holder's reports count."""

from __future__ import annotations

from kaon_coordinator.engine.actions import (
    GrantLease,
    RevokeLease,
    RevokeReason,
    SignalHolder,
    Timer,
    WatchAttempt,
    WatchTime,
)
from kaon_coordinator.engine.backoff import later_us
from kaon_coordinator.engine.decision import Decision
from kaon_coordinator.engine.messages import (
    Due,
    Failed,
    HandedBack,
    Lease,
    Reported,
    Serves,
    Started,
    Stopped,
    Succeeded,
)
from kaon_coordinator.engine.scopes.scopes import happened, left_the_queue
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.engine.state.state import StepSignal, StepState
from kaon_coordinator.engine.steps.succession import may_hold
from kaonapi.run.v1 import history_pb2

Report = Started | Reported | Serves | Succeeded | Failed | Stopped | HandedBack


def lease_of(step: StepState) -> Lease:
    """Return the lease of the step's newest issue and its holder."""
    return Lease(
        issue=step.issue,
        runner_id=step.runner_id,
        incarnation=step.incarnation,
    )


def claim(decision: Decision, message: Report) -> StepState | None:
    """Return the step of a report that counts.

    The lease must be the step's newest issue. Its runner must hold the step, or becomes the holder now: by
    Started or, when that was lost, by a later report.
    """
    lease = message.lease
    step = decision.state.steps.get(lease.issue.path)
    if step is None:
        return None
    current = step.is_newest(lease.issue)
    if current and step.status in t.HELD and lease.incarnation == step.incarnation:
        return step
    if current and step.status == t.READY and may_hold(step, lease):
        if not isinstance(message, HandedBack):
            take(decision, step, lease)
        return step
    # A late or duplicate report of the holder about an ended step needs no answer; any other runner must
    # stop.
    if not (current and step.status in t.TERMINAL and lease.incarnation == step.incarnation):
        decision.stale += 1
        if isinstance(message, Started | Reported | Serves):
            revoke(decision, lease, RevokeReason.STALE_LEASE)
    return None


def started(decision: Decision, message: Started) -> None:
    """Record that a runner has started the step."""
    claim(decision, message)


def take(decision: Decision, step: StepState, lease: Lease) -> None:
    """Make the runner of a lease the holder."""
    decision.emit(
        step_leased=history_pb2.StepLeased(
            path=step.path,
            attempt=step.attempt,
            generation=step.generation,
            runner_id=lease.runner_id,
            incarnation=lease.incarnation,
            succession=bool(lease.succession),
        )
    )
    left_the_queue(decision, step)
    happened(decision, step)
    decision.act(watch(step))
    if step.spec.exclusive:
        grant(decision, step)
    for kept in step.signals:
        hand_over(decision, step, kept)


def grant(decision: Decision, step: StepState) -> None:
    """Let the holder of an exclusive step begin as soon as no earlier holder can still be running."""
    if decision.context.now_us < step.grant_us:
        decision.act(WatchTime(timer=Timer.GRANT, path=step.path, due_us=step.grant_us))
        return
    decision.act(
        GrantLease(
            issue=step.issue,
            incarnation=step.incarnation,
        )
    )


def grant_due(decision: Decision, message: Due) -> None:
    """Grant an exclusive step whose wait for an earlier holder is over."""
    step = decision.state.steps.get(message.path)
    if step is not None and step.status in t.AT_WORK and step.grant_us <= message.due_us:
        grant(decision, step)


def watch(step: StepState) -> WatchAttempt:
    """Return the action that watches a running step's lease and time-out."""
    timeout_ms = step.spec.timeout_ms
    return WatchAttempt(
        issue=step.issue,
        incarnation=step.incarnation,
        timeout_us=later_us(step.start_us, timeout_ms * 1000) if timeout_ms else 0,
    )


def revoke_unless_current(decision: Decision, lease: Lease, *, queued: bool) -> bool:
    """Check a renewal: return whether the lease is, or (queued) may still become, the step's; else revoke it."""
    step = decision.state.steps.get(lease.issue.path)
    if step is not None and step.is_newest(lease.issue):
        if step.status == t.READY and may_hold(step, lease):
            # The Started of a held lease was lost: the renewal replaces it.
            if not queued:
                take(decision, step, lease)
            return True
        if step.status in t.HELD and step.incarnation == lease.incarnation:
            if step.status == t.CANCELLING:
                revoke(decision, lease, RevokeReason(step.stop_reason))
            elif step.spec.exclusive:
                # The grant may have been lost.
                grant(decision, step)
            return True
    decision.stale += 1
    revoke(decision, lease, RevokeReason.STALE_LEASE)
    return False


def revoke(decision: Decision, lease: Lease, reason: RevokeReason) -> None:
    """Tell the runner of a lease to stop."""
    decision.act(
        RevokeLease(
            issue=lease.issue,
            incarnation=lease.incarnation,
            reason=reason,
        )
    )


def lose(decision: Decision, step: StepState, *, reason: str, cut_off: bool) -> None:
    """Take the step from its holder.

    `cut_off` means that the holder may execute it for one more lease, for which an exclusive step must wait.
    """
    waits = cut_off and step.spec.exclusive
    until_us = decision.context.now_us + decision.context.limits.exclusive_wait_us if waits else 0
    decision.emit(
        step_lease_lost=history_pb2.StepLeaseLost(
            path=step.path,
            generation=step.generation,
            incarnation=step.incarnation,
            reason=reason,
            grant_time_us=until_us,
        )
    )


def hand_over(decision: Decision, step: StepState, kept: StepSignal) -> None:
    """Deliver a signal to the step's holder."""
    decision.act(
        SignalHolder(
            issue=step.issue,
            incarnation=step.incarnation,
            name=kept.name,
            payload_json=kept.payload_json,
            seq=kept.seq,
        )
    )
