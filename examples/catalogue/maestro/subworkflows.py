"""Sub-workflows that are waited for, that are not, and that get all parameters: Maestro's sample-subworkflow-wf.json."""

from __future__ import annotations

from kaon import Workflow, param, steps, sub_workflow

names = param("names", dict[str, str], default={"foo": "bar"})
greet = steps.shell(
    "greet", ["echo", "${foo}"], foo=names["foo"], stdout="text", outputs={"text": str}
)
child = Workflow("subworkflow-child", greet, outputs={"text": greet["text"]})

waited = sub_workflow("job1", child, names={"foo": "one"})
detached = sub_workflow("job2", child, wait=False, names={"foo": "two"})
passed_on = sub_workflow("job3", child, pass_params=True)

workflow = Workflow(
    "subworkflows",
    waited | detached | passed_on,
    parameters=[names],
    outputs={"one": waited["text"], "three": passed_on["text"]},
)

EXPECTED = {"params": {"names": {"foo": "three"}}, "outputs": {"one": "one", "three": "three"}}
