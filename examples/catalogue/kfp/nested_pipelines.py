"""Pipelines within a pipeline, with outputs and a condition: Kubeflow Pipelines' pipeline_in_pipeline_complex.py."""

from __future__ import annotations

from kaon import Workflow, branch, each, expr, param, steps, sub_workflow, when

text = param("text", str)
show = steps.shell("print", ["echo", "${text}"], text=text, stdout="text", outputs={"text": str})
inner = Workflow("print-one", show, outputs={"text": show["text"]})

item = each("item", expr("msg.split(' ')", msg=param("msg", str, default="Hello KFP!")))
loud = expr("word.upperAscii()", word=item)
one = sub_workflow("print-one", inner, text=loud)
graph = branch(when(expr("word != 'skip'", word=item), one), otherwise=None)

workflow = Workflow("pipeline-in-pipeline", graph**item, outputs={"texts": one["text"]})

EXPECTED = {
    "params": {"msg": "Hello skip KFP!"},
    "outputs": {"texts": ["HELLO", None, "KFP!"]},
}
