"""Steps: who holds them, whose word counts, and what becomes of a failure."""

from __future__ import annotations

from kaon_coordinator.engine import blocks
from kaon_coordinator.engine import transitions as t
from kaon_coordinator.engine.actions import (
    EndStep,
    RequestStep,
    RevokeLease,
    RevokeReason,
    WatchAttempt,
    WatchRetry,
)
from kaon_coordinator.engine.bindings import resolve
from kaon_coordinator.engine.decide import Decision, user_error
from kaon_coordinator.engine.messages import (
    AttemptTimedOut,
    Failed,
    HandedBack,
    Lease,
    LeaseExpired,
    Message,
    Reported,
    RetryDue,
    Started,
    Stopped,
    Succeeded,
)
from kaon_coordinator.engine.state import StepState
from kaon_wire.errors import KaonError
from kaonapi.run.v1 import history_pb2
from kaonapi.step.v1 import step_pb2

HOUR_MS = 3_600_000
# Wait before a step that failed by the platform's fault is tried again.
PLATFORM_BACKOFF_US = 1_000_000


def start(decision: Decision, step: StepState) -> None:
    """Binds the inputs of a pending step and asks for a runner."""
    try:
        inputs = {
            name: resolve(decision.state, step.scope, binding, decision.context.evaluate)
            for name, binding in sorted(step.block.step.inputs.items())
        }
    except KaonError as error:
        _end(decision, step, t.FAILED, error=user_error("BindingError", f"{step.path}: {error}"))
        return
    _become_ready(decision, step, attempt=1, inputs=inputs)


def stop(decision: Decision, step: StepState) -> None:
    """Stops a step that its scope no longer wants."""
    if step.status == t.RUNNING:
        _request_stop(decision, step, RevokeReason.CANCELLED)
    elif step.status == t.READY or (step.status == t.PENDING and step.retry_us):
        _end(decision, step, t.CANCELLED)


def handle(decision: Decision, message: Message) -> None:
    """Handles a report of a runner or the passing of time."""
    match message:
        case LeaseExpired():
            _lease_expired(decision, message)
        case RetryDue():
            _retry_due(decision, message)
        case AttemptTimedOut():
            _attempt_timed_out(decision, message)
        case Started() | Reported() | Succeeded() | Failed() | Stopped() | HandedBack():
            _reported(decision, message)
        case _:
            raise TypeError(f"not a message about a step: {message!r}")


def _reported(
    decision: Decision, message: Started | Reported | Succeeded | Failed | Stopped | HandedBack
) -> None:
    lease = message.lease
    step = decision.state.steps.get(lease.path)
    if step is None or not _claim(decision, step, lease, message):
        return
    match message:
        case Started():
            pass
        case Reported():
            _record(decision, step, message)
        case Succeeded():
            _succeeded(decision, step, message)
        case Failed():
            _failed(decision, step, message)
        case Stopped():
            _stopped(decision, step, message)
        case HandedBack():
            _handed_back(decision, step)


def _claim(decision: Decision, step: StepState, lease: Lease, message: Message) -> bool:
    """Whether the lease's word counts: it is the step's newest issue, and its runner holds it or now becomes its holder.

    The first report that matches makes its runner the holder, be it Started or, when that was lost, a later one.
    """
    current = lease.generation == step.generation and lease.attempt == step.attempt
    if current and step.status in {t.RUNNING, t.CANCELLING} and lease.incarnation == step.incarnation:
        return True
    if current and step.status == t.READY:
        if not isinstance(message, HandedBack):
            _lease(decision, step, lease)
        return True
    # The holder's own late or doubled word about what has ended needs no answer; everybody else must stop.
    if not (current and step.status in t.TERMINAL and lease.incarnation == step.incarnation):
        decision.stale += 1
        if isinstance(message, Started | Reported):
            _revoke(decision, lease, RevokeReason.STALE_LEASE)
    return False


def revoke_unless_current(decision: Decision, lease: Lease, *, queued: bool) -> bool:
    """Answers a renewal: True when the lease is (or, queued, may still become) the step's; else its runner is told to stop."""
    step = decision.state.steps.get(lease.path)
    if step is not None and lease.generation == step.generation and lease.attempt == step.attempt:
        if step.status == t.READY:
            # A held lease whose Started was lost: the renewal says the same.
            if not queued:
                _lease(decision, step, lease)
            return True
        if step.status in {t.RUNNING, t.CANCELLING} and step.incarnation == lease.incarnation:
            if step.status == t.CANCELLING:
                _revoke(decision, lease, RevokeReason(step.stop_reason))
            return True
    decision.stale += 1
    _revoke(decision, lease, RevokeReason.STALE_LEASE)
    return False


def _lease(decision: Decision, step: StepState, lease: Lease) -> None:
    decision.emit(
        step_leased=history_pb2.StepLeased(
            path=step.path,
            attempt=step.attempt,
            generation=step.generation,
            runner_id=lease.runner_id,
            incarnation=lease.incarnation,
        )
    )
    decision.act(watch(step))


def watch(step: StepState) -> WatchAttempt:
    """The action that watches over a running step's lease and time-out."""
    timeout_ms = step.block.step.timeout_ms
    return WatchAttempt(
        path=step.path,
        generation=step.generation,
        incarnation=step.incarnation,
        timeout_us=step.start_us + timeout_ms * 1000 if timeout_ms else 0,
    )


def _record(decision: Decision, step: StepState, message: Reported) -> None:
    report = history_pb2.StepReported(path=step.path)
    if message.metric is not None:
        report.metric.CopyFrom(message.metric)
    else:
        report.checkpointed.checkpoint_json = message.checkpoint_json
    decision.emit(step_reported=report)


def _succeeded(decision: Decision, step: StepState, message: Succeeded) -> None:
    problem = _output_problem(decision, step, message)
    if problem:
        error = user_error("OutputMismatch", f"{step.path}: {problem}")
        _attempt_failed(decision, step, error, message.log_json)
        return
    _end(decision, step, t.SUCCEEDED, outputs=dict(message.outputs), log_json=message.log_json)


def _output_problem(decision: Decision, step: StepState, message: Succeeded) -> str:
    declared, given = set(step.block.step.outputs), set(message.outputs)
    if declared != given:
        missing, extra = sorted(declared - given), sorted(given - declared)
        return f"outputs differ from the declared ones: missing {missing}, not declared {extra}"
    limit = decision.context.limits.inline_output_bytes
    large = sorted(name for name, value in message.outputs.items() if len(value) > limit)
    return (
        f"outputs {large} exceed the limit inline_output_bytes of {limit}: use an artifact" if large else ""
    )


def _failed(decision: Decision, step: StepState, message: Failed) -> None:
    if step.status == t.CANCELLING:
        _end_stopped(decision, step, message.log_json)
        return
    _attempt_failed(decision, step, _bounded(message.error, decision), message.log_json)


def _attempt_failed(decision: Decision, step: StepState, error: step_pb2.StepError, log_json: str) -> None:
    delay_us = _retry_delay_us(decision, step, error) if step.status == t.RUNNING else None
    if delay_us is None:
        timed_out = error.type == "Timeout"
        _end(decision, step, t.TIMED_OUT if timed_out else t.FAILED, error=error, log_json=log_json)
        return
    decision.act(EndStep(path=step.path, attempt=step.attempt, generation=step.generation))
    decision.emit(
        step_retry_scheduled=history_pb2.StepRetryScheduled(
            path=step.path,
            attempt=step.attempt,
            error=error,
            retry_time_us=decision.context.now_us + delay_us,
            log_json=log_json,
        )
    )
    decision.act(WatchRetry(path=step.path, generation=step.generation, due_us=step.retry_us))


def _retry_delay_us(decision: Decision, step: StepState, error: step_pb2.StepError) -> int | None:
    """Microseconds until the next attempt; None when there is none."""
    if error.error_class == step_pb2.ERROR_CLASS_PLATFORM:
        again = step.platform_failures < decision.context.limits.platform_failures
        return PLATFORM_BACKOFF_US * 2**step.platform_failures if again else None
    retry = step.block.step.retry
    if step.attempt >= max(retry.max_attempts, 1):
        return None
    factor = retry.backoff_factor or 2.0
    delay_ms = retry.backoff_ms * factor ** (step.attempt - 1)
    return int(min(delay_ms, retry.max_backoff_ms or HOUR_MS) * 1000)


def _stopped(decision: Decision, step: StepState, message: Stopped) -> None:
    if step.status == t.CANCELLING:
        _end_stopped(decision, step, message.log_json)
        return
    error = step_pb2.StepError(
        error_class=step_pb2.ERROR_CLASS_PLATFORM, type="Stopped", message="stopped without being asked to"
    )
    _attempt_failed(decision, step, error, message.log_json)


def _end_stopped(decision: Decision, step: StepState, log_json: str) -> None:
    if step.stop_reason != "timed_out":
        _end(decision, step, t.CANCELLED, log_json=log_json)
        return
    seconds = step.block.step.timeout_ms / 1000
    error = user_error("Timeout", f"{step.path}: the attempt took longer than {seconds:g} s")
    _end(decision, step, t.TIMED_OUT, error=error, log_json=log_json)


def _handed_back(decision: Decision, step: StepState) -> None:
    _reissue(decision, step, reason="handed_back")


def _lease_expired(decision: Decision, message: LeaseExpired) -> None:
    step = decision.state.steps.get(message.path)
    if step is None or step.generation != message.generation:
        return
    if step.status not in {t.RUNNING, t.CANCELLING}:
        return
    _reissue(decision, step, reason="expired")


def _reissue(decision: Decision, step: StepState, *, reason: str) -> None:
    """Takes the step from its runner; it goes to another one, unless it was stopping or is suspected of killing its runners."""
    lost = Lease(
        path=step.path,
        attempt=step.attempt,
        generation=step.generation,
        runner_id=step.runner_id,
        incarnation=step.incarnation,
    )
    decision.emit(
        step_lease_lost=history_pb2.StepLeaseLost(
            path=step.path, generation=step.generation, incarnation=step.incarnation, reason=reason
        )
    )
    if lost.incarnation and reason == "expired":
        _revoke(decision, lost, RevokeReason.STALE_LEASE)
    if step.status == t.CANCELLING:
        _end_stopped(decision, step, "")
    elif step.lost_runners >= decision.context.limits.lost_runners:
        text = f"{step.path}: {step.lost_runners} runners were lost while they held this step"
        _end(decision, step, t.QUARANTINED, error=user_error("LostRunners", text))
    else:
        decision.act(EndStep(path=step.path, attempt=step.attempt, generation=step.generation))
        _become_ready(decision, step, attempt=step.attempt)


def _retry_due(decision: Decision, message: RetryDue) -> None:
    step = decision.state.steps.get(message.path)
    if step is None or step.status != t.PENDING or step.generation != message.generation:
        return
    if decision.context.now_us < step.retry_us:
        decision.act(WatchRetry(path=step.path, generation=step.generation, due_us=step.retry_us))
        return
    by_platform = step.error is not None and step.error.error_class == step_pb2.ERROR_CLASS_PLATFORM
    _become_ready(decision, step, attempt=step.attempt if by_platform else step.attempt + 1)


def _attempt_timed_out(decision: Decision, message: AttemptTimedOut) -> None:
    step = decision.state.steps.get(message.path)
    if step is not None and step.status == t.RUNNING and step.generation == message.generation:
        _request_stop(decision, step, RevokeReason.TIMED_OUT)


def _become_ready(
    decision: Decision, step: StepState, *, attempt: int, inputs: dict[str, str] | None = None
) -> None:
    decision.emit(
        step_became_ready=history_pb2.StepBecameReady(
            path=step.path, attempt=attempt, generation=step.generation + 1, inputs_json=inputs or {}
        )
    )
    decision.act(RequestStep(path=step.path))


def _request_stop(decision: Decision, step: StepState, reason: RevokeReason) -> None:
    decision.emit(step_stop_requested=history_pb2.StepStopRequested(path=step.path, reason=reason.value))
    holder = Lease(
        path=step.path,
        attempt=step.attempt,
        generation=step.generation,
        runner_id=step.runner_id,
        incarnation=step.incarnation,
    )
    _revoke(decision, holder, reason)


def _revoke(decision: Decision, lease: Lease, reason: RevokeReason) -> None:
    decision.act(
        RevokeLease(
            path=lease.path,
            attempt=lease.attempt,
            generation=lease.generation,
            incarnation=lease.incarnation,
            reason=reason,
        )
    )


def _end(
    decision: Decision,
    step: StepState,
    status: t.Status,
    *,
    outputs: dict[str, str] | None = None,
    error: step_pb2.StepError | None = None,
    log_json: str = "",
) -> None:
    if step.generation:
        decision.act(EndStep(path=step.path, attempt=step.attempt, generation=step.generation))
    decision.emit(
        step_ended=history_pb2.StepEndedEvent(
            path=step.path,
            status=status,
            attempt=step.attempt,
            generation=step.generation,
            outputs_json=outputs or {},
            error=error,
            log_json=log_json,
        )
    )
    blocks.node_ended(decision, step)


def _bounded(error: step_pb2.StepError, decision: Decision) -> step_pb2.StepError:
    limit = decision.context.limits.error_bytes
    bounded = step_pb2.StepError()
    bounded.CopyFrom(error)
    bounded.message = error.message[:limit]
    bounded.details = error.details[-limit:]
    return bounded
