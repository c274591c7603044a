"""Time-outs of single steps, given as parameters: Argo's dag-task-level-timeout.yaml."""

from __future__ import annotations

from kaon import Workflow, each, steps

item = each(
    "item",
    [{"name": "quick", "timeout": "1m"}, {"name": "slow", "timeout": "50ms"}],
    on_error="finish",
)
wait = steps.shell(
    "wait",
    ["sh", "-c", 'test "$KAON_INPUT_NAME" = quick || sleep 60'],
    name=item["name"],
    timeout=item["timeout"],
)
workflow = Workflow("task-level-timeout", wait**item)

EXPECTED = {
    "status": "FAILED",
    "steps": {"each-item[quick]/wait": "SUCCEEDED", "each-item[slow]/wait": "TIMED_OUT"},
}
