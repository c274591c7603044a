"""Shell tasks that pass on files and values: Flyte's basics/shell_task.py."""

from __future__ import annotations

from kaon import Workflow, param, steps

x = param("x", int, default=10)
said = "Hey there! We run some shell with input ${x}"
first = steps.shell("t1", ["echo", said], x=x, stdout="text", outputs={"text": str})
second = steps.shell(
    "t2",
    ["sh", "-c", 'echo "${text}" | wc -w'],
    text=first["text"],
    stdout="words",
    outputs={"words": int},
)

workflow = Workflow("shell-task-wf", first >> second, outputs={"words": second["words"]})
EXPECTED = {"outputs": {"words": 9}}
