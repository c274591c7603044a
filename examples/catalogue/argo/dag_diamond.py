"""Two steps side by side between two others: Argo's dag-diamond.yaml."""

from __future__ import annotations

from kaon import Workflow, steps
from kaon.dsl import Step


def echo(name: str) -> Step:
    """A template of Argo is a function that makes steps."""
    return steps.shell(name, ["echo", name], stdout="said", outputs={"said": str})


a, b, c, d = map(echo, "abcd")

workflow = Workflow("dag-diamond", a >> (b | c) >> d, outputs={"said": d["said"]})

EXPECTED = {"outputs": {"said": "d"}, "steps": dict.fromkeys("abcd", "SUCCEEDED")}
