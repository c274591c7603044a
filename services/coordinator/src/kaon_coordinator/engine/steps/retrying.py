"""Retry decisions: whether another attempt follows a failed one, and when."""

from __future__ import annotations

from kaon_coordinator.engine.backoff import backoff_ms, later_us
from kaon_coordinator.engine.decision import Decision
from kaon_coordinator.engine.state.state import StepState
from kaon_wire.definitions.retry_rules import matching_rule
from kaonapi.step.v1 import step_pb2

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
    delay_us = max(int(delay_ms * (1 + spread) * 1000), 1)
    return delay_us if _may_begin_in(decision, step, delay_us) else None


def _may_begin_in(decision: Decision, step: StepState, delay_us: int) -> bool:
    """Tell whether the policy lets another attempt of a step begin so long from now."""
    longest_ms = step.block.step.retry.max_duration_ms
    if not longest_ms:
        return True
    return later_us(decision.context.now_us, delay_us) <= later_us(step.begin_us, longest_ms * 1000)
