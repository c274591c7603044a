"""A loop over a list that a step gives, and all results collected: Kubeflow Pipelines' samples/core/loop_output/loop_output.py."""

from __future__ import annotations

from kaon import Workflow, each, steps


def generate() -> list[str]:
    """Gives the arguments."""
    return ["1.1", "1.2", "1.3"]


def show(text: str) -> str:
    """Prints one of them."""
    print(text)
    return text


generator = steps.python("args-generator", generate, outputs={"items": list[str]})
item = each("item", generator["items"])
printing = steps.python("print", show, text=item, outputs={"text": str})

workflow = Workflow("loop-output", generator >> printing**item, outputs={"texts": printing["text"]})

EXPECTED = {"outputs": {"texts": ["1.1", "1.2", "1.3"]}, "count": {"print": 3}}
