"""The output of whichever of three ways was taken: Kubeflow Pipelines' if_elif_else_with_oneof_parameters.py."""

from __future__ import annotations

from kaon import Workflow, branch, coalesce, expr, param, steps, when
from kaon.dsl import Step

side = param("side", str, default="draw")


def result(name: str, text: str) -> Step:
    """One of the ways."""
    return steps.shell(name, ["echo", text], stdout="text", outputs={"text": str})


heads, tails, draw = result("heads", "got heads"), result("tails", "got tails"), result("draw", "?")
ways = branch(
    when(expr("s == 'heads'", s=side), heads),
    when(expr("s == 'tails'", s=side), tails),
    otherwise=draw,
)
one = coalesce(heads["text"], tails["text"], draw["text"])
show = steps.shell("print", ["echo", "${text}"], text=one, stdout="text", outputs={"text": str})

workflow = Workflow("one-of", ways >> show, outputs={"text": show["text"]})

EXPECTED = [
    {"params": {"side": "tails"}, "outputs": {"text": "got tails"}},
    {"outputs": {"text": "?"}, "steps": {"branch=else/draw": "SUCCEEDED"}},
]
