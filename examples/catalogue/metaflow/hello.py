"""Three steps one after the other: Metaflow's tutorials/00-helloworld."""

from __future__ import annotations

from kaon import Workflow, steps


def start() -> str:
    """Begins with a value that later steps get."""
    return "Metaflow says: Hi!"


def hello(greeting: str) -> None:
    """Prints it."""
    print(greeting)


begin = steps.python("start", start, outputs={"greeting": str})
middle = steps.python("hello", hello, greeting=begin["greeting"])
end = steps.shell("end", ["echo", "all done"])

workflow = Workflow("hello-flow", begin >> middle >> end)

EXPECTED = {
    "steps": {"start": "SUCCEEDED", "hello": "SUCCEEDED", "end": "SUCCEEDED"},
    "logs": {"hello": "Metaflow says: Hi!"},
}
