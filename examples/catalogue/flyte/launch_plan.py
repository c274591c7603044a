"""A workflow with defaults, and a plan that fixes inputs and gives the time of the schedule: Flyte's basics/launch_plan.py."""

from __future__ import annotations

from kaon import Workflow, param, steps


def slope(a: int, b: int, kickoff: str) -> str:
    """Computes something of all inputs."""
    return f"{kickoff}: {a * 10 + b}"


computed = steps.python(
    "slope",
    slope,
    a=param("a", int, default=1),
    b=param("b", int, default=2),
    kickoff=param("kickoff", "date", default="1970-01-01"),
    outputs={"text": str},
)

workflow = Workflow("greeting-workflow", computed, outputs={"text": computed["text"]})

EXPECTED = [
    {
        "schedule": "launch_plan",
        "at": "2026-11-24T07:00:00Z",
        "outputs": {"text": "2026-11-24: 32"},
    },
    {"outputs": {"text": "1970-01-01: 12"}},
]
