"""A condition that is not met skips what comes after it, but not what runs anyway: Airflow's example_short_circuit_operator.py."""

from __future__ import annotations

from kaon import Workflow, steps
from kaon.step import StepContext


def check(context: StepContext, good: bool) -> None:
    """Goes on only when the condition is met."""
    if not good:
        context.skip("the condition is not met")


met = steps.python("condition-is-true", check, good=True)
unmet = steps.python("condition-is-false", check, good=False)
good, bad, worse = (steps.shell(name, ["true"]) for name in ("true-1", "false-1", "false-2"))
anyway = steps.shell("runs-anyway", ["true"])

workflow = Workflow(
    "example-short-circuit",
    (met >> good.when_all_succeeded())
    | (unmet >> bad.when_all_succeeded() >> worse.when_all_succeeded() >> anyway.when_all_done()),
)

EXPECTED = {
    "steps": {
        "true-1": "SUCCEEDED",
        "condition-is-false": "SKIPPED",
        "false-1": "SKIPPED",
        "false-2": "SKIPPED",
        "runs-anyway": "SUCCEEDED",
    }
}
