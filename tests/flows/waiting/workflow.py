"""A step that no runner can take, and one after it."""

from kaon import Resources, Workflow, steps

needs_gpu = steps.shell(
    "needs-gpu", ["true"], labels=["accelerator=a100"], resources=Resources(slots=2, gpu=1)
)
after = steps.shell("after", ["true"])

workflow = Workflow("waiting", needs_gpu >> after)
