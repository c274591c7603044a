"""The functions of the tour's steps."""

from __future__ import annotations

from kaon.step import StepContext


def split(count: int) -> dict[str, list[str]]:
    """Names the regions; how many there are is known only now."""
    return {"regions": [f"region-{number}" for number in range(1, count + 1)]}


def train(context: StepContext, region: str) -> dict[str, float]:
    """Gets better with every pass."""
    context.progress(0.5, f"training {region}")
    print(f"pass {context.iteration}: trained {region}")
    return {"score": 0.5 + 0.1 * context.iteration}


def check(scores: list[float]) -> dict[str, bool | float]:
    """Is the mean good enough?"""
    mean = sum(scores) / len(scores)
    return {"good": mean >= 0.75, "mean": mean}
