"""A loop over a counter that a condition ends: Maestro's sample-while-wf.json."""

from __future__ import annotations

from kaon import Workflow, expr, last, param, steps, while_

first = param("first", int, default=20200101)
# Before the first pass there is no last one: the parameter stands for it.
i = expr("i == null ? first : i", i=last("job.1.i", None), first=first)
job = steps.shell(
    "job.1", ["sh", "-c", "echo $((KAON_INPUT_I + 1))"], i=i, stdout="i", outputs={"i": int}
)

workflow = Workflow("while-loop", while_(expr("i <= 20200105", i=i), job), outputs={"i": job["i"]})

EXPECTED = {"outputs": {"i": 20200106}, "count": {"job.1": 5}}
