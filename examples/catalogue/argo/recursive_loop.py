"""A template that calls itself until a counter is reached: Argo's recursive-for-loop.yaml."""

from __future__ import annotations

from kaon import Workflow, expr, last, param, steps, while_

limit = param("limit", int, default=10)
counter = last("iterate-counter.counter", 0)
iterate = steps.shell(
    "iterate-counter",
    ["sh", "-c", "echo $((KAON_INPUT_COUNTER + 1))"],
    counter=counter,
    stdout="counter",
    outputs={"counter": int},
)

workflow = Workflow(
    "recursive-for-loop",
    while_(expr("counter < limit", counter=counter, limit=limit), iterate),
    outputs={"counter": iterate["counter"]},
)

EXPECTED = [
    {"params": {"limit": 4}, "outputs": {"counter": 4}, "count": {"iterate-counter": 4}},
    {"params": {"limit": 0}, "outputs": {"counter": None}, "count": {"iterate-counter": 0}},
]
