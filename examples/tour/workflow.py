"""The workflow of the tour in the README: split, train each region, check, and again until it is good."""

from __future__ import annotations

import tour

from kaon import Workflow, each, param, repeat, steps

split = steps.python(
    "split", tour.split, count=param("count", int, default=3), outputs={"regions": list}
)
region = each("region", split["regions"])
train = steps.python("train", tour.train, region=region, outputs={"score": float})
check = steps.python(
    "check", tour.check, scores=train["score"], outputs={"good": bool, "mean": float}
)

workflow = Workflow(
    "tour", repeat(split >> train**region >> check, until=check["good"], max_iterations=5)
)
