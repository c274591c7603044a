"""A condition that chooses the next step, and goes back until it is enough: Metaflow's conditional and recursive steps."""

from __future__ import annotations

from kaon import Workflow, branch, coalesce, expr, last, repeat, steps, when

value = last("grow.value", 1)
grow = steps.shell(
    "grow",
    ["sh", "-c", "echo $((KAON_INPUT_VALUE * 3))"],
    value=value,
    stdout="value",
    outputs={"value": int},
)
even = steps.shell("even", ["echo", "even"], stdout="kind", outputs={"kind": str})
odd = steps.shell("odd", ["echo", "odd"], stdout="kind", outputs={"kind": str})
switch = branch(when(expr("v % 2 == 0", v=grow["value"]), even), otherwise=odd)

workflow = Workflow(
    "switch-recursion",
    repeat(grow, until=expr("v > 50", v=grow["value"]), max_iterations=10) >> switch,
    outputs={"value": grow["value"], "kind": coalesce(even["kind"], odd["kind"])},
)

EXPECTED = {"outputs": {"value": 81, "kind": "odd"}, "count": {"grow": 4}}
