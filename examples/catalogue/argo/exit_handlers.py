"""What runs at the end, whatever happened: Argo's exit-handlers.yaml."""

from __future__ import annotations

from kaon import Workflow, branch, expr, outcome, sequence, steps, when

status = outcome()["status"]
fail = steps.shell("intentional-fail", ["sh", "-c", "echo intentional failure; exit 1"])
notify = steps.shell("notify", ["echo", "e-mail: ${status}"], status=status)
celebrate = steps.shell("celebrate", ["echo", "hooray!"])
cry = steps.shell("cry", ["echo", "boohoo!"])

workflow = Workflow(
    "exit-handlers",
    fail,
    finally_=sequence(
        notify, branch(when(expr("s == 'SUCCEEDED'", s=status), celebrate), otherwise=cry)
    ),
)

EXPECTED = {
    "status": "FAILED",
    "steps": {
        "intentional-fail": "FAILED",
        "notify": "SUCCEEDED",
        "branch=0/celebrate": "SKIPPED",
        "branch=else/cry": "SUCCEEDED",
    },
    "logs": {"notify": "e-mail: FAILED"},
}
