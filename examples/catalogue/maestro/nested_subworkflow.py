"""A sub-workflow in a sub-workflow, retried from the outermost run: Maestro's sample-nested-subworkflow-wf.json."""

from __future__ import annotations

from kaon import Workflow, param, steps, sub_workflow

place = param("place", str)
once = steps.shell("count", ["sh", "-c", 'echo x >> "$KAON_INPUT_PLACE"'], place=place)
# Fails the first time.
work = steps.shell(
    "work",
    ["sh", "-c", 'test -e "$0.go" || { touch "$0.go"; exit 1; }; wc -l < "$0"', "${place}"],
    place=place,
    stdout="lines",
    outputs={"lines": int},
)
inner = Workflow("nested-inner", once >> work, outputs={"lines": work["lines"]})
middle_step = sub_workflow("sub-step1", inner, place=place)
middle = Workflow("nested-middle", middle_step, outputs={"lines": middle_step["lines"]})
outer = sub_workflow("job1", middle, place=place)

workflow = Workflow("nested-subworkflow", outer, outputs={"lines": outer["lines"]})

# What had succeeded in the innermost run is not run again.
EXPECTED = {
    "params": {"place": "{tmp}/lines"},
    "retried_after": "FAILED",
    "outputs": {"lines": 1},
}
