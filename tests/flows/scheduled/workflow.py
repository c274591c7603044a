"""One step with a tag, remembered; a workflow that calls it as a sub-workflow."""

import scheduled

from kaon import Workflow, param, steps, sub_workflow

say = steps.python(
    "say", scheduled.note, what=param("what", str), outputs={"said": str}, tags=["talk"], memo=True
)
workflow = Workflow("scheduled", say, outputs={"said": say["said"]})

call = sub_workflow("call", workflow, what="from above")
parent = Workflow("parent", call, outputs={"said": call["said"]})
