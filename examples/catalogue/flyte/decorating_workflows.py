"""Setup before and teardown after a workflow, whatever happens in it: Flyte's advanced_composition/decorating_workflows.py."""

from __future__ import annotations

from kaon import Workflow, param, sequence, steps

path = param("path", str)
setup = steps.shell("setup", ["touch", "${path}"], path=path)
x = param("x", int, default=3)
t1 = steps.shell("t1", ["sh", "-c", "test -e ${path} && test ${x} -gt 0"], path=path, x=x)
t2 = steps.shell("t2", ["true"])
teardown = steps.shell("teardown", ["rm", "${path}"], path=path)

workflow = Workflow("decorated-workflow", sequence(setup, t1, t2), finally_=teardown)

EXPECTED = [
    {"params": {"path": "{tmp}/lock"}, "count": {"t1": 1, "t2": 1, "teardown": 1}},
    {
        "params": {"path": "{tmp}/lock", "x": 0},
        "status": "FAILED",
        "count": {"t1": 0, "t2": 0, "teardown": 1},
    },
]
