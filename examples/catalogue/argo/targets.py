"""Only what a target needs is run: Argo's dag-targets.yaml."""

from __future__ import annotations

from kaon import Workflow, steps

a, b, c, d, e = (steps.shell(name, ["echo", name]) for name in "abcde")

workflow = Workflow("dag-targets", a >> (b >> d | c >> (d | e)))

EXPECTED = {
    "until": ["e"],
    "steps": {
        "a": "SUCCEEDED",
        "b": "SKIPPED",
        "c": "SUCCEEDED",
        "d": "SKIPPED",
        "e": "SUCCEEDED",
    },
}
