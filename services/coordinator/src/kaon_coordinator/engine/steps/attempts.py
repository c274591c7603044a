"""Steps: the outcomes of their attempts."""

from __future__ import annotations

import math

from kaon_coordinator.engine.actions import (
    EndStep,
    ReleasePermits,
    RememberStep,
    RequestStep,
    RevokeReason,
    WatchRetry,
)
from kaon_coordinator.engine.backoff import later_us
from kaon_coordinator.engine.decision import Decision, user_error
from kaon_coordinator.engine.messages import (
    AttemptTimedOut,
    Failed,
    HandedBack,
    LeaseExpired,
    Reported,
    RetryDue,
    Stopped,
    Succeeded,
)
from kaon_coordinator.engine.scopes.locks import may_hold
from kaon_coordinator.engine.scopes.scopes import (
    happened,
    left_the_queue,
    node_ended,
    stop_error,
)
from kaon_coordinator.engine.scopes.stopping import request_stop
from kaon_coordinator.engine.scopes.timing import watch_node
from kaon_coordinator.engine.scopes.upstream import SKIPPED
from kaon_coordinator.engine.state import transitions as t
from kaon_coordinator.engine.state.bindings import typed
from kaon_coordinator.engine.state.evolve_steps import sweep_around
from kaon_coordinator.engine.state.state import StepState
from kaon_coordinator.engine.steps.leases import claim, lease_of, lose, revoke
from kaon_coordinator.engine.steps.retrying import retry_delay_us
from kaon_coordinator.engine.steps.succession import next_generation
from kaon_wire import canonical
from kaon_wire.errors import InvalidValue
from kaon_wire.packing import fill
from kaon_wire.texts import counted
from kaonapi.run.v1 import history_pb2
from kaonapi.step.v1 import step_pb2

# Characters of an error type.
_TYPE_CHARACTERS = 200


def become_ready(
    decision: Decision,
    step: StepState,
    *,
    attempt: int,
    inputs: dict[str, str] | None = None,
    memo_key: str = "",
) -> None:
    """Make the step READY and request a runner under the next generation."""
    first = not step.begun
    ready = history_pb2.StepBecameReady(
        path=step.path,
        attempt=attempt,
        generation=next_generation(decision, step),
        memo_key=memo_key,
    )
    fill(ready.inputs_json, inputs or {})
    decision.emit(step_became_ready=ready)
    if first and step.spec.is_timed:
        watch_node(decision, step)
    if not decision.state.halted:
        decision.act(RequestStep(path=step.path))


def stop(decision: Decision, step: StepState, status: t.Status) -> None:
    """Stop a step; a step without a holder ends at once with `status`."""
    if step.status in t.AT_WORK:
        request_stop_of(decision, step, RevokeReason.CANCELLED)
    elif waits_for_attempt(step):
        end(decision, step, status, error=stop_error(step.path, status))


def waits_for_attempt(step: StepState) -> bool:
    """Tell whether a step has begun and no runner holds it."""
    return step.status == t.READY or (step.status == t.PENDING and step.retry_us > 0)


def request_stop_of(decision: Decision, step: StepState, reason: RevokeReason) -> None:
    """Ask the holder of a step to stop."""
    decision.emit(
        step_stop_requested=history_pb2.StepStopRequested(path=step.path, reason=reason.value)
    )
    revoke(decision, lease_of(step), reason)


def reported(decision: Decision, message: Reported) -> None:
    """Record a metric or checkpoint from the holder."""
    step = claim(decision, message)
    if step is None:
        return
    limits, metric = decision.context.limits, message.metric
    if metric is None:
        problem = limits.checkpoint_problem(message.checkpoint_json)
    else:
        problem = limits.report_problem(step.metrics, step.reports, metric.name)
    if problem:
        end_attempt(decision, step, user_error("LimitExceeded", f"{step.path}: {problem}"))
        return
    report = history_pb2.StepReported(path=step.path)
    if metric is None:
        report.checkpointed.checkpoint_json = message.checkpoint_json
        decision.emit(step_reported=report)
        return
    report.metric.CopyFrom(metric)
    if not (metric.step or metric.step_given):
        report.metric.step = step.reports + 1
    decision.emit(step_reported=report)
    if math.isfinite(metric.value):
        _stop_early(decision, step, report.metric)


def end_attempt(decision: Decision, step: StepState, error: step_pb2.StepError) -> None:
    """End an attempt by an error of what it reported, without waiting for its holder.

    An attempt that is already stopping continues to stop.
    """
    if step.status not in t.AT_WORK:
        return
    revoke(decision, lease_of(step), RevokeReason.STALE_LEASE)
    lose(decision, step, reason="limit", cut_off=True)
    _attempt_failed(decision, step, error, "")


def _stop_early(decision: Decision, step: StepState, metric: step_pb2.StepMetric) -> None:
    swept = sweep_around(step, metric.name)
    if swept is None or step.status not in t.AT_WORK:
        return
    block, cell = swept
    assert block.curves is not None
    reason = block.curves.stops(cell.index, metric.step)
    if reason and cell.stop == t.NONE:
        request_stop(decision, cell, t.SKIPPED, cause="early_stopping", reason=reason)


def succeeded(decision: Decision, message: Succeeded) -> None:
    """Record the success of an attempt, if its outputs match the declared ones."""
    step = claim(decision, message)
    if step is None:
        return
    if step.spec.serves:
        _stopped_serving(decision, step, message.log_json)
        return
    outputs = typed(step.spec.floats, message.outputs)
    error = output_error(decision, step, outputs)
    if error is not None:
        _attempt_failed(decision, step, error, message.log_json)
        return
    if step.memo_key:
        decision.act(RememberStep(path=step.path, key=step.memo_key, outputs=outputs))
    decision.succeeded = step.path
    end(decision, step, t.SUCCEEDED, outputs=outputs, log_json=message.log_json)


def _stopped_serving(decision: Decision, step: StepState, log_json: str) -> None:
    """Record the end of an attempt of a step that serves: a failure, unless it was asked to stop."""
    if step.status == t.CANCELLING:
        end_stopped(decision, step, log_json)
        return
    told = "while others still need it" if step.status == t.SERVING else "before it served others"
    error = user_error("ServiceEnded", f"{step.path}: the attempt ended by itself {told}")
    _attempt_failed(decision, step, error, log_json)


def output_error(
    decision: Decision, step: StepState, outputs: dict[str, str]
) -> step_pb2.StepError | None:
    """Return what is wrong with the outputs of an attempt; None when nothing is."""
    kind, problem = "OutputMismatch", output_difference(step, outputs)
    if not problem and (problem := decision.context.limits.too_large(outputs)):
        kind = "OutputTooLarge"
    problem = problem or _malformed(outputs)
    return user_error(kind, f"{step.path}: {problem}") if problem else None


def _malformed(outputs: dict[str, str]) -> str:
    """Describe which outputs are not valid JSON; empty when all are."""
    for name, text in sorted(outputs.items()):
        try:
            canonical.strict(text)
        except InvalidValue as error:
            return f"output {name!r}: {error}"
    return ""


def output_difference(step: StepState, outputs: dict[str, str]) -> str:
    """Describe how outputs differ from the declared ones; empty when they do not."""
    declared, given = step.spec.outputs, outputs.keys()
    if declared == given:
        return ""
    missing, extra = sorted(declared - given), sorted(given - declared)
    return f"outputs differ from the declared ones: missing {missing}, not declared {extra}"


def failed(decision: Decision, message: Failed) -> None:
    """Record the failure of an attempt."""
    step = claim(decision, message)
    if step is None:
        return
    if step.status == t.CANCELLING:
        end_stopped(decision, step, message.log_json)
        return
    _attempt_failed(decision, step, _bounded(message.error, decision), message.log_json)


def _attempt_failed(
    decision: Decision, step: StepState, error: step_pb2.StepError, log_json: str
) -> None:
    if _asks_for_skip(step, error):
        why = user_error(SKIPPED, error.message)
        why.exit_code = error.exit_code
        end(decision, step, t.SKIPPED, error=why, log_json=log_json)
        return
    delay_us = retry_delay_us(decision, step, error) if step.stop == t.NONE else None
    if delay_us is None:
        timed_out = error.type == "Timeout"
        end(decision, step, t.TIMED_OUT if timed_out else t.FAILED, error=error, log_json=log_json)
        return
    decision.act(EndStep(issue=step.issue))
    decision.emit(
        step_retry_scheduled=history_pb2.StepRetryScheduled(
            path=step.path,
            attempt=step.attempt,
            error=error,
            retry_time_us=later_us(decision.context.now_us, delay_us),
            log_json=log_json,
        )
    )
    happened(decision, step)
    decision.act(WatchRetry(issue=step.issue, due_us=step.retry_us))


def _asks_for_skip(step: StepState, error: step_pb2.StepError) -> bool:
    if error.error_class == step_pb2.ERROR_CLASS_SKIP:
        return True
    return error.exit_code != 0 and error.exit_code in step.block.step.skip_exit_codes


def stopped(decision: Decision, message: Stopped) -> None:
    """Record that the attempt was stopped and no process of it is left."""
    step = claim(decision, message)
    if step is None:
        return
    if step.status == t.CANCELLING:
        end_stopped(decision, step, message.log_json)
        return
    error = step_pb2.StepError(
        error_class=step_pb2.ERROR_CLASS_PLATFORM,
        type="Stopped",
        message="stopped without being asked to",
    )
    _attempt_failed(decision, step, error, message.log_json)


def end_stopped(decision: Decision, step: StepState, log_json: str) -> None:
    """End a step that was asked to stop."""
    if step.stop != t.NONE:
        end(decision, step, step.stop, error=stop_error(step.path, step.stop), log_json=log_json)
    elif step.stop_reason == RevokeReason.TIMED_OUT:
        seconds = step.spec.timeout_ms / 1000
        error = user_error("Timeout", f"{step.path}: the attempt took longer than {seconds:g} s")
        _attempt_failed(decision, step, error, log_json)
    elif step.stop_reason == RevokeReason.SCOPE_OVER:
        end_dismissed(decision, step, log_json)
    else:
        end(decision, step, t.CANCELLED, log_json=log_json)


def end_dismissed(decision: Decision, step: StepState, log_json: str = "") -> None:
    """End a step that serves and that nothing needs any more: SUCCEEDED when it has served, else SKIPPED."""
    if step.served:
        outputs = dict(step.outputs)
        end(decision, step, t.SUCCEEDED, outputs=outputs, log_json=log_json)
    else:
        why = user_error(SKIPPED, "nothing needed it any more before it served others")
        end(decision, step, t.SKIPPED, error=why, log_json=log_json)


def retry_due(decision: Decision, message: RetryDue) -> None:
    """Begin the next attempt when the wait before it is over."""
    step = decision.state.steps.get(message.issue.path)
    if (
        step is None
        or step.status != t.PENDING
        or not step.is_newest(message.issue)
        or not step.retry_us
    ):
        return
    if decision.context.now_us < step.retry_us:
        decision.act(WatchRetry(issue=step.issue, due_us=step.retry_us))
    elif not decision.state.halted:
        try_again(decision, step)


def try_again(decision: Decision, step: StepState) -> None:
    """Begin the next attempt; an attempt that the platform broke does not count."""
    by_platform = step.error is not None and step.error.error_class == step_pb2.ERROR_CLASS_PLATFORM
    become_ready(decision, step, attempt=step.attempt if by_platform else step.attempt + 1)


def handed_back(decision: Decision, message: HandedBack) -> None:
    """Request another runner: this one declines the release."""
    step = claim(decision, message)
    if step is not None:
        reissue(decision, step, reason="handed_back")


def expired(decision: Decision, message: LeaseExpired) -> None:
    """Take the step from a holder whose lease has expired."""
    step = decision.state.steps.get(message.issue.path)
    if step is None or not step.is_newest(message.issue):
        return
    if step.status in t.HELD:
        reissue(decision, step, reason="expired")


def reissue(decision: Decision, step: StepState, *, reason: str) -> None:
    """Take the step from its runner or from the queue and request it under the next generation.

    A stopping step ends instead, and a step that is suspected of killing its runners is quarantined.
    """
    lost = lease_of(step)
    limits = decision.context.limits
    lose(decision, step, reason=reason, cut_off=reason == "expired")
    if lost.incarnation and reason == "expired":
        revoke(decision, lost, RevokeReason.STALE_LEASE)
    if step.status == t.CANCELLING:
        end_stopped(decision, step, "")
    elif reason == "expired" and step.lost_runners >= limits.lost_runners:
        text = f"{step.path}: {counted(step.lost_runners, 'runner was', 'runners were')} lost, each while it held this step"
        end(decision, step, t.QUARANTINED, user_error("LostRunners", text))
    else:
        decision.act(EndStep(issue=step.issue))
        become_ready(decision, step, attempt=step.attempt)


def attempt_timed_out(decision: Decision, message: AttemptTimedOut) -> None:
    """End an attempt that exceeded its time-out and that the runner did not end by itself."""
    step = decision.state.steps.get(message.issue.path)
    if step is not None and step.status == t.RUNNING and step.is_newest(message.issue):
        request_stop_of(decision, step, RevokeReason.TIMED_OUT)


def end(
    decision: Decision,
    step: StepState,
    status: t.Status,
    error: step_pb2.StepError | None = None,
    *,
    outputs: dict[str, str] | None = None,
    log_json: str = "",
    memo: history_pb2.MemoSource | None = None,
) -> None:
    """Settle a step, release its permits and notify its scope."""
    if step.begun:
        decision.act(EndStep(issue=step.issue))
    if may_hold(step):
        decision.act(ReleasePermits(path=step.path))
    ended = history_pb2.StepEndedEvent(
        path=step.path,
        status=status,
        attempt=step.attempt,
        generation=step.generation,
        error=error,
        log_json=log_json,
        memo=memo,
    )
    fill(ended.outputs_json, typed(step.spec.floats, outputs or {}))
    if status == t.SUCCEEDED and decision.state.workflow.makes_datasets:
        fill(ended.datasets, step.block.step.datasets)
    was_ready = step.status == t.READY
    decision.emit(step_ended=ended)
    if was_ready:
        left_the_queue(decision, step)
    node_ended(decision, step)


def _bounded(error: step_pb2.StepError, decision: Decision) -> step_pb2.StepError:
    limit = decision.context.limits.error_bytes
    bounded = step_pb2.StepError()
    bounded.CopyFrom(error)
    bounded.type = error.type[:_TYPE_CHARACTERS]
    bounded.message = error.message[:limit]
    bounded.details = error.details[-limit:]
    return bounded
