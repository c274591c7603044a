"""Tasks and sub-workflows in an order that no value gives them: Flyte's advanced_composition/chain_entities.py."""

from __future__ import annotations

from kaon import Workflow, steps, sub_workflow


def child(name: str, text: str) -> Workflow:
    """A workflow of one step."""
    return Workflow(name, steps.shell(f"{name}-print", ["echo", text]))


write = steps.shell("write", ["true"])
first = sub_workflow("first", child("chained-first", "one"))
second = sub_workflow("second", child("chained-second", "two"))
read = steps.shell(
    "read", ["echo", "${status}"], status=second.status, stdout="text", outputs={"text": str}
)

workflow = Workflow(
    "chain-workflows", write >> first >> second >> read, outputs={"status": read["text"]}
)

EXPECTED = {"outputs": {"status": "SUCCEEDED"}, "count": {"write": 1, "read": 1}}
