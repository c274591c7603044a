"""The functions of the example of a sweep: a line is fitted to points by gradient descent."""

from __future__ import annotations

import random

from kaon.step import StepContext

_POINTS = 20_000


def train(context: StepContext, rate: float, decay: float, epochs: int) -> dict[str, float]:
    """Reports its loss after every epoch, by which the engine decides whether it goes on."""
    draw = random.Random(7)
    points = [(x := draw.uniform(-1, 1), 3 * x + draw.gauss(0, 0.1)) for _ in range(_POINTS)]
    slope = 0.0
    loss = _loss(points, slope)
    for epoch in range(1, epochs + 1):
        gradient = sum(2 * (slope * x - y) * x for x, y in points) / len(points)
        slope -= rate * (gradient + decay * slope)
        loss = _loss(points, slope)
        context.metric("loss", loss, step=epoch)
        context.progress(epoch / epochs)
    return {"loss": loss}


def choose(losses: list[float | None]) -> dict[str, float | int]:
    """The smallest loss, and how many trials were stopped: they have none."""
    there = [loss for loss in losses if loss is not None]
    return {"best": min(there), "stopped": len(losses) - len(there)}


def _loss(points: list[tuple[float, float]], slope: float) -> float:
    return sum((slope * x - y) ** 2 for x, y in points) / len(points)
