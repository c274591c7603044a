"""Tried again by its exit code, only where that is safe: Argo's retry-conditional.yaml."""

from __future__ import annotations

from kaon import Retry, RetryRule, Workflow, param, steps

safe = steps.shell(
    "safe-to-retry",
    ["echo", "${attempts}"],
    attempts=param("attempts", int, default=10),
    stdout="attempts",
    outputs={"attempts": int},
)
# Code 1 is final, and so is what speaks of a quota; anything else is tried again as often as the step before says, for an hour.
script = steps.shell(
    "retry-script",
    ["sh", "-c", 'test $KAON_INPUT_CODE != 4 || echo "no quota left" >&2; exit $KAON_INPUT_CODE'],
    code=param("code", int, default=2),
    retry=Retry(
        max_attempts=safe["attempts"],
        backoff="1ms",
        max_duration="1h",
        rules=[
            RetryRule(error=1, max_attempts=1),
            RetryRule(message="(?i)quota", max_attempts=1),
        ],
    ),
)

workflow = Workflow("retry-conditional", safe >> script)

EXPECTED = [
    {"params": {"code": 1}, "status": "FAILED", "attempts": {"retry-script": 1}},
    {"params": {"code": 2, "attempts": 3}, "status": "FAILED", "attempts": {"retry-script": 3}},
    {"params": {"code": 4}, "status": "FAILED", "attempts": {"retry-script": 1}},
    {"params": {"code": 0}, "attempts": {"retry-script": 1}},
]
