"""A task, and a workflow that returns what it says: Flyte's basics/hello_world.py."""

from __future__ import annotations

from kaon import Workflow, param, steps


def say_hello(name: str) -> str:
    """Greets."""
    return f"Hello, {name}!"


hello = steps.python(
    "say-hello", say_hello, name=param("name", str, default="World"), outputs={"greeting": str}
)

workflow = Workflow("hello-world-wf", hello, outputs={"greeting": hello["greeting"]})

EXPECTED = [
    {"outputs": {"greeting": "Hello, World!"}},
    {"params": {"name": "Ada"}, "outputs": {"greeting": "Hello, Ada!"}},
]
