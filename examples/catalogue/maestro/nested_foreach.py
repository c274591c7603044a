"""A sub-workflow for each pair of two lists, within a foreach: Maestro's sample-nested-foreach-subworkflow-wf.json."""

from __future__ import annotations

from kaon import Workflow, each, expr, grid, param, steps, sub_workflow

text = param("text", str)
show = steps.shell("show", ["echo", "${text}"], text=text, stdout="text", outputs={"text": str})
child = Workflow("nested-child", show, outputs={"text": show["text"]})

pair = each("pair", grid(i=[1, 2, 3], j=["a", "b"]), max_concurrency=2)
both = expr("string(i) + j", i=pair["i"], j=pair["j"])
job = steps.shell("job1", ["echo", "${both}"], both=both, stdout="param2", outputs={"param2": str})
sub = sub_workflow("sub-step2", child, text=job["param2"])

workflow = Workflow("nested-foreach", (job >> sub) ** pair, outputs={"texts": sub["text"]})

EXPECTED = {"outputs": {"texts": ["1a", "1b", "2a", "2b", "3a", "3b"]}, "count": {"job1": 6}}
