"""Conditions within a condition: Kubeflow Pipelines' samples/core/condition/nested_condition.py."""

from __future__ import annotations

import random

from kaon import Workflow, branch, expr, param, steps, when
from kaon.dsl import Step


def flip(seed: int, number: int) -> str:
    """Throws a coin; with the same seed it falls in the same way."""
    return random.Random(seed * 10 + number).choice(["heads", "tails"])


seed = param("seed", int, default=0)


def coin(number: int) -> Step:
    """The same component, used several times."""
    return steps.python(f"flip-{number}", flip, seed=seed, number=number, outputs={"side": str})


flips = [coin(number) for number in range(1, 5)]
one, two, three, four = (each["side"] for each in flips)
inner = branch(when(expr("b == c", b=two, c=three), flips[3]), otherwise=None)
outer = branch(when(expr("a != 'no-such-result'", a=one), flips[2] >> inner), otherwise=None)

workflow = Workflow("nested-conditions", (flips[0] | flips[1]) >> outer, outputs={"last": four})

EXPECTED = [
    {"params": {"seed": 0}, "count": {"flip-3": 1, "flip-4": 1}},
    {"params": {"seed": 2}, "count": {"flip-3": 1, "flip-4": 0}, "outputs": {"last": None}},
]
