"""The output of whichever way was taken: Argo's dag-conditional-parameters.yaml."""

from __future__ import annotations

from kaon import Workflow, branch, coalesce, expr, param, steps, when

side = param("side", str, default="heads", choices=["heads", "tails"])
flip = steps.shell("flip-coin", ["echo", "${side}"], side=side, stdout="out", outputs={"out": str})
heads = steps.shell("heads", ["echo", "heads"], stdout="out", outputs={"out": str})
tails = steps.shell("tails", ["echo", "tails"], stdout="out", outputs={"out": str})
is_heads = expr("side == 'heads'", side=flip["out"])

workflow = Workflow(
    "dag-conditional-parameters",
    flip >> branch(when(is_heads, heads), otherwise=tails),
    outputs={"stepresult": coalesce(heads["out"], tails["out"])},
)

EXPECTED = [
    {
        "params": {"side": "heads"},
        "outputs": {"stepresult": "heads"},
        "steps": {"branch=0/heads": "SUCCEEDED", "branch=else/tails": "SKIPPED"},
    },
    {"params": {"side": "tails"}, "outputs": {"stepresult": "tails"}},
]
