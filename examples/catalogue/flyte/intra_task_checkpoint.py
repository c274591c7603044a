"""A task that fails now and then goes on from what it has saved: Flyte's advanced_composition/checkpoint.py."""

from __future__ import annotations

from kaon import Retry, Workflow, param, steps
from kaon.step import StepContext


def count(context: StepContext, iterations: int) -> int:
    """Counts, and fails in each of its first attempts after two more iterations."""
    start = int(context.last_checkpoint or 0)
    for number in range(start, iterations):
        if context.attempt < 3 and number == start + 2:
            raise RuntimeError(f"failed at iteration {number}")
        context.checkpoint(number + 1)
    return iterations - start


counting = steps.python(
    "use-checkpoint",
    count,
    iterations=param("iterations", int, default=7),
    outputs={"left": int},
    retry=Retry(max_attempts=3, backoff="1ms"),
)

workflow = Workflow("checkpointing-example", counting, outputs={"left": counting["left"]})

EXPECTED = {"outputs": {"left": 3}, "attempts": {"use-checkpoint": 3}}
