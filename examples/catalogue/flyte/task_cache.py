"""Results that are remembered, and computed once when two runs ask at once: Flyte's task_cache.py and task_cache_serialize.py."""

from __future__ import annotations

from kaon import Memo, Workflow, group, mutex, param, steps


def square(n: int) -> int:
    """Squares."""
    return n * n


n = param("n", int)
squared = steps.python("square", square, n=n, outputs={"value": int}, memo=Memo(max_age="1d"))
# One run computes it at a time. Who waits for the lock looks for the result only when it has it.
once = group(squared, name="once", locks=[mutex("square", key=n)])

workflow = Workflow("cached-square", once, outputs={"value": squared["value"]})

EXPECTED = [
    {"params": {"n": 3}, "outputs": {"value": 9}, "memo": []},
    {"params": {"n": 3}, "outputs": {"value": 9}, "memo": ["once/square"]},
    {"params": {"n": 4}, "outputs": {"value": 16}, "memo": []},
]
