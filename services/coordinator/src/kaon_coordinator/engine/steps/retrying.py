"""Retry decisions: whether another attempt follows a failed one, and when."""

from __future__ import annotations

from kaon_coordinator.engine.backoff import backoff_ms
from kaon_coordinator.engine.decision import Decision
from kaon_coordinator.engine.state.state import StepState
from kaonapi.step.v1 import step_pb2
from kaonapi.workflow.v1 import definition_pb2 as d

# The wait before a step that failed because of the platform is tried again.
PLATFORM_BACKOFF_US = 1_000_000


def retry_delay_us(decision: Decision, step: StepState, error: step_pb2.StepError) -> int | None:
    """Return the microseconds until the next attempt, or None when there is none."""
    if error.error_class == step_pb2.ERROR_CLASS_PLATFORM:
        again = step.platform_failures < decision.context.limits.platform_failures
        return PLATFORM_BACKOFF_US * 2**step.platform_failures if again else None
    policy = step.block.step.retry
    rule = matching_rule(policy, error)
    attempts = rule.max_attempts if rule is not None else policy.max_attempts
    if step.attempt >= max(attempts, 1):
        return None
    first_ms = rule.backoff_ms if rule is not None and rule.backoff_ms else policy.backoff_ms
    factor = policy.backoff_factor or 2.0
    delay_ms = backoff_ms(first_ms, factor, step.attempt - 1, policy.max_backoff_ms)
    spread = policy.jitter * (2 * decision.context.random() - 1) if policy.jitter else 0.0
    return max(int(delay_ms * (1 + spread) * 1000), 1)


def matching_rule(policy: d.RetryPolicy, error: step_pb2.StepError) -> d.RetryRule | None:
    """Return the first rule for the exit code, or else for the error's type or, failing that, its nearest base class."""
    if error.exit_code:
        codes = (rule for rule in policy.rules if rule.exit_code == error.exit_code)
        if (found := next(codes, None)) is not None:
            return found
    types = (error.type, *error.type_bases)
    return next(
        (
            rule
            for each in types
            for rule in policy.rules
            if not rule.exit_code and _matches(rule.error_type, each)
        ),
        None,
    )


def _matches(pattern: str, error_type: str) -> bool:
    prefix = pattern.removesuffix("*")
    return error_type == pattern or (prefix != pattern and error_type.startswith(prefix))
