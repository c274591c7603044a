"""A step that cleans up when the workflow has failed, and knows why: Flyte's development_lifecycle/failure_node.py."""

from __future__ import annotations

from kaon import Workflow, expr, outcome, param, steps

name = param("name", str)
create = steps.shell("create-cluster", ["true"])
task = steps.shell("t1", ["sh", "-c", "echo cannot ${name}; exit 1"], name=name)
delete = steps.shell("delete-cluster", ["true"])
clean = steps.shell(
    "clean-up",
    ["echo", "Deleting cluster ${name} due to ${error}"],
    name=name,
    error=expr("error.type", error=outcome()["error"]),
)

workflow = Workflow("failure-node", create >> task >> delete, on_failure=clean)

EXPECTED = {
    "params": {"name": "flyteorg"},
    "status": "FAILED",
    "steps": {"delete-cluster": "SKIPPED", "clean-up": "SUCCEEDED"},
    "logs": {"clean-up": "Deleting cluster flyteorg due to ExitCode"},
}
