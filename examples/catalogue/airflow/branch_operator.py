"""One of several ways is taken, and a join follows whichever it was: Airflow's example_branch_operator.py."""

from __future__ import annotations

import random

from kaon import Workflow, branch, expr, param, sequence, steps, when
from kaon.dsl import Step

WAYS = ["a", "b", "c", "d"]


def choose(seed: int) -> str:
    """Draws a way, the same for the same seed."""
    return random.Random(seed).choice(WAYS)


def named(name: str) -> Step:
    """A step that does nothing."""
    return steps.shell(name, ["true"])


seed = param("seed", int, default=0)
branching = steps.python("branching", choose, seed=seed, outputs={"way": str})
ways = [
    when(expr(f"way == '{way}'", way=branching["way"]), named(way) >> named(f"follow-{way}"))
    for way in WAYS
]

workflow = Workflow(
    "example-branch-operator",
    sequence(named("run-this-first"), branching, branch(*ways), named("join")),
    outputs={"way": branching["way"]},
)

EXPECTED = [
    {
        "params": {"seed": 1},
        "outputs": {"way": "b"},
        "steps": {"branch=1/follow-b": "SUCCEEDED", "branch=0/a": "SKIPPED", "join": "SUCCEEDED"},
    },
    {
        "params": {"seed": 3},
        "outputs": {"way": "b"},
        "count": {"follow-b": 1, "a": 0, "c": 0, "d": 0, "join": 1},
    },
]
