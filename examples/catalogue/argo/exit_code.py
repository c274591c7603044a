"""The exit code and the status of a step that failed as values: Argo's exit-code-output-variable.yaml, status-reference.yaml."""

from __future__ import annotations

from kaon import Workflow, branch, expr, steps, when

fail = steps.shell("failing-container", ["sh", "-c", "exit 123"])
echo = steps.shell("echo-container", ["echo", "Exit code was: ${code}"], code=fail.exit_code)
succeeded = steps.shell("succeeded", ["echo", "passed"])
failed = steps.shell("failed", ["echo", "failed"])

workflow = Workflow(
    "exit-code",
    fail.optional()
    >> (echo | branch(when(expr("s == 'SUCCEEDED'", s=fail.status), succeeded), otherwise=failed)),
)

EXPECTED = {
    "steps": {
        "failing-container": "FAILED",
        "echo-container": "SUCCEEDED",
        "branch=else/failed": "SUCCEEDED",
        "branch=0/succeeded": "SKIPPED",
    },
    "logs": {"echo-container": "Exit code was: 123"},
}
