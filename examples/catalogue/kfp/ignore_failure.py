"""A clean-up that runs although what is before it failed, the run fails: Kubeflow Pipelines' ignore_upstream_failure."""

from __future__ import annotations

from kaon import Workflow, steps


def fail() -> str:
    """Fails."""
    raise RuntimeError("upstream failed intentionally")


def clean(text: str = "nothing came") -> str:
    """Gets its default where there is nothing."""
    print(text)
    return text


failing = steps.python("fail-always", fail, outputs={"text": str})
cleaning = steps.python("clean-up", clean, text=failing["text"], outputs={"text": str})

workflow = Workflow("ignore-upstream-failure", failing, finally_=cleaning)

EXPECTED = {
    "status": "FAILED",
    "steps": {"clean-up": "SUCCEEDED"},
    "logs": {"clean-up": "nothing came"},
}
