"""A run starts another workflow with a message and does not wait for it: Airflow's example_trigger_controller_dag.py."""

from __future__ import annotations

from kaon import Workflow, last_run, param, steps, sub_workflow

message = param("message", str, default="Hello World")
hear = steps.shell(
    "bash-task",
    ["echo", "heard: ${message}"],
    message=message,
    stdout="text",
    outputs={"text": str},
)
target = Workflow("example-trigger-target", hear, outputs={"text": hear["text"]})

trigger = sub_workflow("trigger", target, wait=False, message=message)
# Only to show here what the other run gave: the published one ends with the trigger.
heard = last_run("heard", target, params={"message": message}, timeout="1m")

workflow = Workflow("example-trigger-controller", trigger >> heard, outputs={"text": heard["text"]})

EXPECTED = {"params": {"message": "ahoy"}, "outputs": {"text": "heard: ahoy"}}
