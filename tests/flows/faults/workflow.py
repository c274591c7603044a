"""A workflow in the shape of the main job, of plain Python steps: split, a foreach over what was found, and a join."""

from __future__ import annotations

import work

from kaon import Workflow, each, param, steps

ledger = param("ledger", str)
found = steps.python(
    "split",
    work.regions,
    count=param("count", int, default=4),
    ledger=ledger,
    outputs={"regions": list},
)
region = each("region", found["regions"])
train = steps.python(
    "train",
    work.train,
    region=region,
    seconds=param("seconds", float, default=1.0),
    ledger=ledger,
    outputs={"model": str},
)
join = steps.python("join", work.join, models=train["model"], ledger=ledger, outputs={"count": int})

workflow = Workflow("faults", found >> train**region >> join)
