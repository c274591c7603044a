"""Waits until somebody chooses a value, which later steps get: Argo's suspend-template-outputs.yaml."""

from __future__ import annotations

from kaon import Workflow, approval, branch, expr, param, steps, when

approve = approval("approve", fields=[param("approve", str, default="NO", choices=["YES", "NO"])])
release = steps.shell("release", ["echo", "released"])

workflow = Workflow(
    "suspend-outputs",
    approve >> branch(when(expr("a == 'YES'", a=approve["approve"]), release), otherwise=None),
    outputs={"chosen": approve["approve"]},
)

EXPECTED = [
    {
        "approvals": {"approve": {"approve": "YES"}},
        "outputs": {"chosen": "YES"},
        "steps": {"branch=0/release": "SUCCEEDED"},
    },
    {
        "approvals": {"approve": {"approve": "NO"}},
        "outputs": {"chosen": "NO"},
        "steps": {"branch=0/release": "SKIPPED"},
    },
]
