"""A result that is not made again while it is young enough: Argo's memoize-simple.yaml."""

from __future__ import annotations

from kaon import Memo, Workflow, steps

# An Argo template names its cache key; here the inputs, the settings and the code are the key.
world = steps.shell(
    "whalesay",
    ["sh", "-c", "date +%s%N"],
    stdout="hello",
    outputs={"hello": str},
    memo=Memo(max_age="1h"),
)

workflow = Workflow("memoized", world, outputs={"hello": world["hello"]})

EXPECTED = [{"memo": []}, {"memo": ["whalesay"]}]
