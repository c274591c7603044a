"""A program that gives a parameter and tells of a table, and a condition on it: Maestro's sample-kubernetes-output-wf.json."""

from __future__ import annotations

from kaon import Workflow, branch, dataset, expr, steps, when

job = steps.shell(
    "job1",
    ["sh", "-c", 'echo hello world; echo bar > "$KAON_STEP_DIR/outputs/foo.txt"'],
    outputs={"foo": str},
    produces=[dataset("demo-table", partition=expr("'all'"))],
)
end = steps.shell("end", ["true"])

workflow = Workflow(
    "step-output",
    job >> branch(when(expr("foo != 'default'", foo=job["foo"]), end), otherwise=None),
    outputs={"foo": job["foo"]},
)

EXPECTED = {
    "outputs": {"foo": "bar"},
    "steps": {"branch=0/end": "SUCCEEDED"},
    "logs": {"job1": "hello world"},
}
