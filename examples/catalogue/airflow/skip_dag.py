"""What a skipped step does to those behind it, by their rules: Airflow's example_skip_dag.py."""

from __future__ import annotations

from kaon import Workflow, steps
from kaon.dsl import Part, Step


def named(name: str) -> Step:
    """A step that does nothing."""
    return steps.shell(name, ["true"])


def pipeline(suffix: str, join: Step) -> Part:
    """One step that is skipped and one that is not, a join, and a step after it."""
    skipped = steps.shell(f"skip-{suffix}", ["sh", "-c", "exit 99"], skip_exit_codes=[99])
    last = named(f"final-{suffix}").when_all_succeeded()
    return (skipped | named(f"always-true-{suffix}")) >> join >> last


workflow = Workflow(
    "example-skip-dag",
    pipeline("1", named("join-1").when_all_succeeded()) | pipeline("2", named("join-2").when_any()),
)

EXPECTED = {
    "steps": {
        "skip-1": "SKIPPED",
        "join-1": "SKIPPED",
        "final-1": "SKIPPED",
        "always-true-2": "SUCCEEDED",
        "join-2": "SUCCEEDED",
        "final-2": "SUCCEEDED",
    }
}
