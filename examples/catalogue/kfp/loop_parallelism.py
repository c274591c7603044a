"""Loops with a limit, over numbers and over objects, one in the other: Kubeflow Pipelines' samples/core/loop_parallelism."""

from __future__ import annotations

from kaon import Workflow, each, expr, steps

outer = each("outer", [{"a": 1, "b": 10}, {"a": 2, "b": 20}], max_concurrency=1)
inner = each("inner", [100, 200], max_concurrency=2)
show = steps.shell(
    "print",
    ["echo", "${total}"],
    total=expr("o.a + o.b + i", o=outer, i=inner),
    stdout="total",
    outputs={"total": int},
)

workflow = Workflow("loop-parallelism", (show**inner) ** outer, outputs={"all": show["total"]})

EXPECTED = {"outputs": {"all": [[111, 211], [122, 222]]}}
