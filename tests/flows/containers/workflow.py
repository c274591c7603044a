"""What the tests of the system in containers submit: a fan-out, and a small model that is published."""

from __future__ import annotations

import functions

from kaon import Workflow, each, param, steps

split = steps.python(
    "split", functions.split, count=param("count", int, default=4), outputs={"items": list}
)
item = each("item", split["items"])
work = steps.python(
    "work",
    functions.work,
    item=item,
    seconds=param("seconds", float, default=0.0),
    outputs={"item": int},
)
count = steps.python("count", functions.count, items=work["item"], outputs={"count": int})

fan_out = Workflow("fan-out", split >> work**item >> count)

made = steps.python(
    "make",
    functions.make_model,
    factor=param("factor", float, default=2.0),
    outputs={"model": "model"},
)
published = steps.publish(
    "publish",
    "multiplier",
    model=made["model"],
    outputs={"version": int, "digest": str, "reference": str},
)

publishing = Workflow("publishing", made >> published)
