"""Tried again by its exit code, only where that is safe: Argo's retry-conditional.yaml."""

from __future__ import annotations

from kaon import Retry, Workflow, param, steps

safe = steps.shell(
    "safe-to-retry",
    ["echo", "${attempts}"],
    attempts=param("attempts", int, default=10),
    stdout="attempts",
    outputs={"attempts": int},
)
# Code 1 is final; any other one is tried again as often as the step before says.
script = steps.shell(
    "retry-script",
    ["sh", "-c", "exit $KAON_INPUT_CODE"],
    code=param("code", int, default=2),
    retry=Retry(max_attempts=safe["attempts"], backoff="1ms", rules={1: 1}),
)

workflow = Workflow("retry-conditional", safe >> script)

EXPECTED = [
    {"params": {"code": 1}, "status": "FAILED", "attempts": {"retry-script": 1}},
    {"params": {"code": 2, "attempts": 3}, "status": "FAILED", "attempts": {"retry-script": 3}},
    {"params": {"code": 0}, "attempts": {"retry-script": 1}},
]
