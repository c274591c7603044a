"""What a step needs, and that it is tried again where it needs luck: Metaflow's tutorials/05-hello-cloud."""

from __future__ import annotations

from kaon import Resources, Retry, Workflow, steps
from kaon.step import StepContext


def hello(context: StepContext) -> str:
    """Fails at the first attempt, as a machine in the cloud may."""
    if context.attempt == 1:
        raise ConnectionError("the machine has gone")
    return f"hello from attempt {context.attempt}"


step = steps.python(
    "hello",
    hello,
    outputs={"text": str},
    resources=Resources(cpu=1, memory="256MiB"),
    retry=Retry(max_attempts=3, backoff="1ms"),
    timeout="1m",
)

workflow = Workflow("hello-cloud", step, outputs={"text": step["text"]})

EXPECTED = {"outputs": {"text": "hello from attempt 2"}, "attempts": {"hello": 2}}
